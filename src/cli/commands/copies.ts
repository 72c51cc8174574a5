/** `holdfast verify`, `compact` and `backup …`: the files of a store, and safe copies. */
import { createWriteStream } from 'node:fs'
import { resolve } from 'node:path'
import type { RepairReport, RestoreProgress, RestoreReport } from '../../admin/index.js'
import type { OperatorClient, OperatorProgress } from '../../operator/index.js'
import { type Context, commandContext, type Terminal } from '../terminal/context.js'
import { CommandError } from '../terminal/exit-codes.js'
import { instantText } from '../terminal/output.js'
import type { Command } from '../terminal/packages.js'
import { progressOn } from '../terminal/progress.js'

// Loaded by the commands that need it, so that `holdfast doctor` works where the native module does not load.
export const loadAdmin = () => import('../../admin/index.js')
export const loadConnect = () => import('../terminal/connect.js')

/** Adds the commands. */
export function addCopyCommands(program: Command, terminal: Terminal): void {
  program
    .command('verify')
    .description('Check every record of a store. Exit code 7 if damage is found.')
    .action(async (_options: unknown, command: Command) => {
      const context = commandContext(terminal, command)
      const { dir } = context
      const report = await withProgress(context, async (options) => {
        const { verify } = await loadAdmin()
        const { byHolder } = await loadConnect()
        return byHolder<Report>(
          dir,
          (client) => client.verify(options).finally(() => client.close()),
          () => verify({ dir, ...options }),
        )
      })
      printReport(context, report)
    })
  program
    .command('compact')
    .description('Remove what was deleted or overwritten from the files of the database.')
    .action(async (_options: unknown, command: Command) => {
      const context = commandContext(terminal, command)
      const report = await withProgress(context, ({ onProgress, signal }) =>
        context.withStore((store) =>
          store.mode === 'running'
            ? store.client.compact({ onProgress, signal })
            : store.holdfast.compact({ onProgress: (at) => onProgress({ phase: 'compact', ...at }), signal }),
        ),
      )
      const { bytesBefore, bytesAfter } = report
      const sentence = `The database has ${bytesAfter} bytes of tables now, and had ${bytesBefore} before; its log is not counted.`
      context.output.done(sentence, report)
    })
  program
    .command('repair')
    .description('Make a damaged store sound again, from what is whole of it. Exit code 7 if something was lost.')
    .option('--start', 'run its unfinished tasks at the next start, also if they may be older than they were')
    .action(async ({ start = false }: { start?: boolean }, command: Command) => {
      const context = commandContext(terminal, command)
      const { dir } = context
      const report = await withProgress(context, async (options) => {
        const { repair } = await loadAdmin()
        return repair({ dir, start, ...options })
      })
      printRepair(context, report)
    })
  const backup = program.command('backup').description('Make, check and restore copies of a store.')
  backup
    .command('create <file>')
    .description('Copy the store into one file, while its tasks run or at rest.')
    .option('--move', 'close the store to every later open, once the file is whole; stop the server first')
    .action(async (file: string, { move = false }: { move?: boolean }, command: Command) => {
      const context = commandContext(terminal, command)
      const target = resolve(file)
      const { verifyBackup } = await loadAdmin()
      await withProgress(context, (options) => createInto(target, context.dir, { move, ...options }))
      const info = await verifyBackup({ file: target })
      const end = move ? ` ${context.dir} accepts no open any more.` : ''
      context.output.done(`${target}: commit ${info.commit} of store ${info.storeId}.${end}`, { file: target, ...info })
    })
  backup
    .command('verify <file>')
    .description('Check a backup from its beginning to its end.')
    .action(async (file: string, _options: unknown, command: Command) => {
      const context = commandContext(terminal, command)
      const progress = progressOn(context)
      const { verifyBackup } = await loadAdmin()
      const info = await verifyBackup({ file, onProgress: ({ records }) => progress.on('read', records) }).finally(() =>
        progress.end(),
      )
      context.output.fields({ file, ...info }, [
        ['store', info.storeId],
        ['commit', info.commit],
        ['created', instantText(info.createdAt)],
        ['damaged records', info.damagedRecords],
      ])
    })
  backup
    .command('restore <file>')
    .description('Make a new store of a backup, in the empty directory that --dir names.')
    .option('--start', 'run its unfinished tasks at the next start; only if the original runs no more')
    .action(async (file: string, { start = false }: { start?: boolean }, command: Command) => {
      const context = commandContext(terminal, command)
      const { dir } = context
      const progress = progressOn(context)
      const onProgress = ({ phase, records }: RestoreProgress) => progress.on(phase, records)
      const { restoreBackup } = await loadAdmin()
      const report = await restoreBackup({ file, dir, start, onProgress }).finally(() => progress.end())
      const left = Object.values(report.unfinished).reduce((sum, count) => sum + count, 0)
      const [tasks, s] = left === 1 ? ['task', 's'] : ['tasks', '']
      const next = start ? `run${s} at the next start of the server` : `wait${s} for \`holdfast recovery --begin\``
      const { storeId, commit } = report.restoredFrom
      context.output.done(
        `${dir} is a new store, made of commit ${commit} of store ${storeId}. ${left} unfinished ${tasks} ${next}.`,
        report,
      )
      if (start && !context.output.json) printUnfinished(context, report)
    })
}

type Report = Awaited<ReturnType<OperatorClient['verify']>>

export interface RunOptions {
  readonly onProgress: (at: OperatorProgress) => void
  readonly signal: AbortSignal
}

/** Runs long work with a display of its progress. It ends when the user interrupts the command. */
export async function withProgress<T>(context: Context, work: (options: RunOptions) => Promise<T>): Promise<T> {
  const progress = progressOn(context)
  const onProgress = ({ phase, done, total }: OperatorProgress) => progress.on(phase, done, total)
  return work({ onProgress, signal: context.terminal.interrupted }).finally(() => progress.end())
}

/**
 * Makes a backup. A server sends it, so that no process but this one writes the file. A move needs a store at rest: a server that
 * closes its store at the request of a client would go on and refuse each call of its own clients.
 */
async function createInto(
  file: string,
  dir: string,
  { move, ...options }: RunOptions & { readonly move: boolean },
): Promise<void> {
  const { createBackup } = await loadAdmin()
  if (move) return void (await createBackup({ dir, file, move, ...options }))
  const { wholeFile } = await import('../../admin/whole-file.js')
  const { byHolder } = await loadConnect()
  const receive = (client: OperatorClient) =>
    wholeFile(file, async (partial) => {
      const stream = createWriteStream(partial, { mode: 0o600 })
      await client.backup({ ...options, stream })
    })
  await byHolder(
    dir,
    (client) => receive(client).finally(() => client.close()),
    async () => void (await createBackup({ dir, file, ...options })),
  )
}

/** Prints what runs at the next start of the server. */
function printUnfinished({ output }: Context, { unfinished, unfinishedTaskIds }: RestoreReport): void {
  const columns = [
    { title: 'TYPE', text: ([type]: [string, number]) => type },
    { title: 'UNFINISHED', text: ([, count]: [string, number]) => String(count) },
  ]
  output.rows(Object.entries(unfinished), columns)
  for (const taskId of unfinishedTaskIds) output.line(taskId)
  const more = Object.values(unfinished).reduce((sum, count) => sum + count, 0) - unfinishedTaskIds.length
  if (more > 0) output.note(`And ${more} more.`)
}

function printReport({ output }: Context, report: Report): void {
  if (output.json) output.object(report)
  else {
    if (report.findings.length > 0) {
      output.rows(report.findings, [
        { title: 'FINDING', text: ({ code }) => code },
        { title: 'KEY', text: ({ key }) => key },
        { title: 'FOUND', text: ({ message }) => message },
        { title: 'MEANING', text: ({ meaning }) => meaning },
        { title: 'WHAT TO DO', text: ({ action }) => action },
      ])
    }
    const records = Object.values(report.counts).reduce((sum, count) => sum + count, 0)
    if (report.isSound) output.line(`${records} records, commit ${report.commit}: no damage.`)
  }
  if (!report.isSound) throw new CommandError(7, 'The store has damage. Restore a backup, or follow the advice above.')
}

function printRepair({ output }: Context, report: RepairReport): void {
  const { isChanged, isWhole, counts, failedTasks, held, keptIn } = report
  if (output.json) output.object(report)
  else {
    if (isChanged) {
      output.rows(report.changes, [
        { title: 'FINDING', text: ({ code }) => code },
        { title: 'KEY', text: ({ key }) => key },
        { title: 'FOUND', text: ({ message }) => message },
        { title: 'LOST', text: ({ isLoss }) => (isLoss ? 'yes' : 'no') },
        { title: 'DONE', text: ({ done }) => done },
      ])
    }
    output.line(isChanged ? repairedText(counts, failedTasks) : 'No damage was found. Nothing was changed.')
    if (held !== undefined) output.line('Unfinished tasks may be older than they were. They wait for recover().')
    if (keptIn !== undefined) output.line(`The store as it was is in ${keptIn}.`)
  }
  if (!isWhole) throw new CommandError(7, 'The store is sound again. Something was lost: see the report above.')
}

function repairedText({ lost, madeAnew }: RepairReport['counts'], failedTasks: number): string {
  return `The store is sound again: ${lost} losses, ${madeAnew} records made anew, ${failedTasks} tasks failed with RECORD_DAMAGED.`
}
