/** `holdfast audit …`: reads the audit, exports it, and verifies its hash chain. */
import { createWriteStream } from 'node:fs'
import { resolve } from 'node:path'
import type { AuditExportReport, AuditReport } from '../../admin/index.js'
import type { OperatorClient } from '../../operator/index.js'
import { type Context, commandContext, type Terminal } from '../terminal/context.js'
import { CommandError } from '../terminal/exit-codes.js'
import { instantText } from '../terminal/output.js'
import { type Command, Option } from '../terminal/packages.js'
import { loadAdmin, loadConnect, type RunOptions, withProgress } from './copies.js'
import { durationOption } from './tasks.js'

/** Adds the commands. */
export function addAuditCommands(program: Command, terminal: Terminal): void {
  const audit = program.command('audit').description('Read, export and verify the audit.')
  audit
    .command('list')
    .description('List audit entries, oldest first.')
    .option('--task <taskId>', 'only entries of this task')
    .option('--since <duration>', 'only entries of this last time, such as 12h or 7d')
    .addOption(new Option('--limit <number>', 'number of entries').argParser(Number).default(1_000))
    .action(async ({ task, since, limit }: ListOptions, command: Command) => {
      const context = commandContext(terminal, command)
      const from = since === undefined ? undefined : terminal.now() - durationOption('--since', since)
      await context.withStore(async ({ calls }) => {
        const { entries } = await calls.audit({ taskId: task, since: from, limit })
        context.output.rows(entries, [
          { title: 'AT', text: ({ at }) => instantText(at) },
          { title: 'TASK', text: ({ taskId }) => taskId },
          { title: 'TYPE', text: ({ type }) => type },
          { title: 'ACTION', text: ({ action }) => action },
          { title: 'FROM', text: ({ from }) => from },
          { title: 'TO', text: ({ to }) => to },
          { title: 'BY', text: ({ by }) => by },
          { title: 'WHY', text: ({ why }) => why },
        ])
      })
    })
  audit
    .command('export <file>')
    .description('Write the audit into a file of lines of JSON, with its head. Exit code 7 if its chain is broken.')
    .action(async (file: string, _options: unknown, command: Command) => {
      const context = commandContext(terminal, command)
      const target = resolve(file)
      const report = await withProgress(context, (options) => exportInto(target, context.dir, options))
      const { entries, commits } = report
      context.output.done(`${target}: ${entries} entries of ${commits} commits. ${headLine(report)}`, {
        file: target,
        ...report,
      })
      if (!report.isSound) printFindings(context, report)
    })
  audit
    .command('verify [file]')
    .description('Check the hash chain of the audit, or of an exported file. Exit code 7 if it is broken.')
    .option('--head <head>', 'head of an earlier export: <commit>:<hash>, or a file that has one in its last line')
    .option('--kept <duration>', 'time for which all entries must be kept, such as 90d')
    .action(async (file: string | undefined, { head, kept }: VerifyOptions, command: Command) => {
      const context = commandContext(terminal, command)
      const keptSince = kept === undefined ? undefined : terminal.now() - durationOption('--kept', kept)
      const report = await withProgress(context, (run) => verifyOne({ file, head, keptSince }, context, run))
      if (context.output.json) context.output.object(report)
      if (!report.isSound) printFindings(context, report)
      if (context.output.json) return
      context.output.line(
        `${report.entries} entries of ${report.commits} commits: the chain holds. ${headLine(report)}`,
      )
      for (const note of notesOn(report, head)) context.output.note(note)
    })
}

interface ListOptions {
  readonly task?: string
  readonly since?: string
  readonly limit: number
}

interface VerifyOptions {
  readonly head?: string
  readonly kept?: string
}

type Wanted = {
  readonly file: string | undefined
  readonly head: string | undefined
  readonly keptSince: number | undefined
}

async function verifyOne(
  { file, head: given, keptSince }: Wanted,
  { dir }: Context,
  run: RunOptions,
): Promise<AuditReport> {
  const { verifyAudit } = await loadAdmin()
  const { readAuditHead } = await import('../../admin/audit/audit-head.js')
  // Read here: the server opens no file that a client names.
  const head = given === undefined ? undefined : await readAuditHead(given)
  if (file !== undefined) return verifyAudit({ file, head, keptSince, ...run })
  const { byHolder } = await loadConnect()
  return byHolder<AuditReport>(
    dir,
    async (client) =>
      (await client.verifyAudit({ head, keptSince, ...run }).finally(() => client.close())) as AuditReport,
    () => verifyAudit({ dir, head, keptSince, ...run }),
  )
}

/** Exports the audit. A server sends it, so that no process but this one writes the file. */
async function exportInto(file: string, dir: string, run: RunOptions): Promise<AuditExportReport> {
  const { exportAudit } = await loadAdmin()
  const { auditExportFailed, wholeFile } = await import('../../admin/whole-file.js')
  const { byHolder } = await loadConnect()
  const receive = (client: OperatorClient) =>
    wholeFile(
      file,
      async (partial) => {
        const stream = createWriteStream(partial, { mode: 0o600 })
        return (await client.exportAudit({ ...run, stream })) as AuditExportReport
      },
      auditExportFailed,
    )
  return byHolder(
    dir,
    (client) => receive(client).finally(() => client.close()),
    () => exportAudit({ dir, file, ...run }),
  )
}

function headLine({ head }: AuditReport): string {
  return head ? `Head: ${head.commit}:${head.hash}` : 'There is no entry yet.'
}

function notesOn({ unchained, deleted }: AuditReport, head: string | undefined): string[] {
  return [
    ...(head === undefined ? ['Without --head, entries that were cut off at the end are not found.'] : []),
    ...(unchained > 0 ? [`The first ${unchained} commits were written before there was a chain.`] : []),
    ...(deleted ? [`Entries up to ${instantText(deleted.at)} were deleted by the retention.`] : []),
  ]
}

/** Prints what is wrong. @throws CommandError with exit code 7 */
function printFindings({ output }: Context, { findings, findingCount }: AuditReport): never {
  if (!output.json) {
    output.rows(findings, [
      { title: 'FINDING', text: ({ code }) => code },
      { title: 'LINE', text: ({ line }) => line },
      { title: 'COMMIT', text: ({ commit }) => commit },
      { title: 'ENTRY', text: ({ entryId }) => entryId },
      { title: 'FOUND', text: ({ message }) => message },
    ])
  }
  const [first] = findings
  throw new CommandError(
    7,
    `The audit was changed. The first wrong entry is ${first?.entryId}. Number of findings: ${findingCount}.`,
  )
}
