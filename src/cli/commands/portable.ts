/** `holdfast export` and `holdfast import`: one task in a file. */
import { createReadStream, createWriteStream } from 'node:fs'
import { rm } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { ExportReport } from '../../admin/index.js'
import { HoldfastError } from '../../base/errors.js'
import type { OperatorClient } from '../../operator/index.js'
import { commandContext, type Terminal } from '../terminal/context.js'
import { CommandError } from '../terminal/exit-codes.js'
import { type Command, Option } from '../terminal/packages.js'

// Loaded by the commands that need it, so that `holdfast doctor` works where the native module does not load.
const loadAdmin = () => import('../../admin/index.js')
const loadConnect = () => import('../terminal/connect.js')

interface ExportFlags {
  readonly move?: boolean
  readonly redact?: boolean
}

/** Adds the commands. */
export function addPortableCommands(program: Command, terminal: Terminal): void {
  program
    .command('export <taskId> <file>')
    .description('Write a task with its log and audit into a file, for another store or a bug report.')
    .option('--move', 'settle the task here as cancelled (moved), once the file is whole')
    .addOption(
      new Option('--redact', 'leave out inputs, results, owners and keys; such a file cannot be imported').conflicts(
        'move',
      ),
    )
    .action(async (taskId: string, file: string, { move = false, redact = false }: ExportFlags, command: Command) => {
      const context = commandContext(terminal, command)
      const { dir } = context
      const target = resolve(file)
      const signal = terminal.interrupted
      const { exportTask } = await loadAdmin()
      const { actorName, byHolder } = await loadConnect()
      const report = await byHolder<Omit<ExportReport, 'parked'>>(
        dir,
        (client) => receive(client, taskId, target, { move, redact, signal }).finally(() => client.close()),
        () => exportTask({ dir, taskId, file: target, move, redact, actor: actorName(), signal }),
      )
      const { type, status, records } = report
      const end = move ? 'It is cancelled here: moved.' : redact ? 'It is redacted, and cannot be imported.' : ''
      const sentence = `${target}: task ${taskId} (${type}, ${status}), ${records} records. ${end}`.trim()
      context.output.done(sentence, { file: target, ...report })
    })
  program
    .command('import <file>')
    .description('Write a task that was exported into the store. An unfinished one waits for `tasks resume`.')
    .action(async (file: string, _options: unknown, command: Command) => {
      const context = commandContext(terminal, command)
      const { dir } = context
      const { importTask } = await loadAdmin()
      const { actorName, byHolder } = await loadConnect()
      const report = await byHolder(
        dir,
        (client) => send(client, file, terminal.interrupted).finally(() => client.close()),
        () => importTask({ dir, file, actor: actorName() }),
      )
      const { taskId, type, status, isParked } = report
      const next = isParked ? ` It is parked: holdfast tasks resume ${taskId}` : ''
      context.output.done(`${taskId} (${type}, ${status}) is imported.${next}`, report)
    })
}

/** Exports a task of a running server, which opens no file: this process writes it. */
async function receive(
  client: OperatorClient,
  taskId: string,
  file: string,
  { move, redact, signal }: { move: boolean; redact: boolean; signal: AbortSignal },
): Promise<Omit<ExportReport, 'parked'>> {
  const { exportFailed, wholeFile } = await import('../../admin/whole-file.js')
  const write = (partial: string) => {
    const stream = createWriteStream(partial, { mode: 0o600 })
    return client.exportTask({ taskId, redact, move, stream, signal })
  }
  const report = await wholeFile(file, write, exportFailed)
  if (!move) return report
  try {
    await client.endMove({ taskId, commits: report.commits })
  } catch (error) {
    const mayBeMoved = error instanceof HoldfastError && error.mayBeWritten
    // The file is of an earlier state of the task.
    if (!mayBeMoved) await rm(file, { force: true })
    throw error
  }
  return report
}

async function send(client: OperatorClient, file: string, signal: AbortSignal) {
  const stream = createReadStream(file)
  const unreadable = new Promise<never>((_, reject) => {
    stream.once('error', (error) => reject(new CommandError(7, `The file ${file} cannot be read: ${error.message}`)))
  })
  await Promise.race([unreadable, new Promise<void>((opened) => stream.once('ready', () => opened()))])
  return Promise.race([unreadable, client.importTask({ stream, signal })])
}
