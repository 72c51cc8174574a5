/** Commands that act on one task, or on all that match filters. */

import type { OperatorRouteCalls } from '../../operator/index.js'
import type { Connected } from '../terminal/connect.js'
import { commandContext, type Terminal } from '../terminal/context.js'
import { CommandError } from '../terminal/exit-codes.js'
import type { Command } from '../terminal/packages.js'
import { addFilters, type FilterOptions, filterOf, hasFilter } from './filters.js'

interface ActionOptions extends FilterOptions {
  readonly dryRun?: boolean
  readonly yes?: boolean
  readonly reason?: string
  readonly force?: boolean
}

export type BulkRequest = NonNullable<Parameters<OperatorRouteCalls['cancelTasks']>[0]>
type BulkReport = Awaited<ReturnType<OperatorRouteCalls['cancelTasks']>>

/** One action on tasks. */
export interface Action {
  readonly verb: string
  readonly past: string
  /** True if only a running server can carry the action out. */
  readonly needsServer: boolean
  /** Adds options of this action. */
  readonly options?: (command: Command) => Command
  /** Acts on one task. Returns a further sentence for the operator. */
  readonly one: (store: Connected, taskId: string, options: ActionOptions) => Promise<string | undefined>
  /** Acts on a part of the tasks that match. */
  readonly many: (store: Connected, request: BulkRequest) => Promise<BulkReport>
}

/** Adds the options and the action to a command. */
export function bulk(terminal: Terminal, command: Command, action: Action): void {
  action.options?.(command)
  addFilters(command)
    .option('--dry-run', 'count the tasks that match, and change nothing')
    .option('--yes', 'act on all that match, without a question')
    .action(async (taskId: string | undefined, options: ActionOptions, own: Command) => {
      const context = commandContext(terminal, own)
      if ((taskId === undefined) === !hasFilter(options)) {
        throw new CommandError(2, `Name either one task, or at least one filter such as --type or --status.`)
      }
      if (taskId !== undefined && options.dryRun) {
        throw new CommandError(2, '--dry-run is for filters. Look at one task with `holdfast tasks explain`.')
      }
      await context.withStore(
        async (store) => {
          if (taskId === undefined) return onAll(terminal, context, store, options, action)
          const more = await action.one(store, taskId, options)
          context.output.done([`${taskId} ${action.past}.`, ...(more ? [more] : [])].join(' '), {
            taskId,
            [action.past]: true,
            note: more ?? undefined,
          })
        },
        { needsServer: action.needsServer },
      )
    })
}

async function onAll(
  terminal: Terminal,
  { output }: ReturnType<typeof commandContext>,
  store: Connected,
  options: ActionOptions,
  { verb, past, many }: Action,
): Promise<void> {
  const request: BulkRequest = { ...filterOf(options), reason: options.reason }
  const counted = await inParts(terminal, (cursor) => many(store, { ...request, cursor, dryRun: true }))
  if (options.dryRun) {
    output.done(`${counted.done} tasks match. Nothing was changed.`, { dryRun: true, ...counted })
    return
  }
  if (!options.yes) {
    if (!terminal.isTerminal) throw new CommandError(2, `${counted.done} tasks match. Add --yes to ${verb} them all.`)
    if (!(await terminal.confirm(`${verb} ${counted.done} tasks?`))) {
      output.note('Nothing was changed.')
      return
    }
  }
  const report = await inParts(terminal, (cursor) => many(store, { ...request, cursor }))
  output.done(`${report.done} tasks ${past}. ${report.changed} had changed before their turn.`, report)
  for (const { taskId, code, message } of report.errors) output.note(`${taskId}: ${code}: ${message}`)
  if (report.failed > 0) throw new CommandError(10, `${report.failed} tasks were not ${past}.`)
}

const ERRORS_SHOWN_MAX = 20

/** Calls `part` until it has no cursor, and adds up the reports. */
async function inParts(terminal: Terminal, part: (cursor: string | undefined) => Promise<BulkReport>) {
  const sum = { done: 0, notApplicable: 0, changed: 0, failed: 0, errors: [] as BulkReport['errors'][number][] }
  let cursor: string | undefined
  do {
    terminal.interrupted.throwIfAborted()
    const { counts, errors, ...page } = await part(cursor)
    for (const name of ['done', 'notApplicable', 'changed', 'failed'] as const) sum[name] += counts[name]
    sum.errors.push(...errors.slice(0, ERRORS_SHOWN_MAX - sum.errors.length))
    cursor = page.cursor
  } while (cursor !== undefined)
  return sum
}
