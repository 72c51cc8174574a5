/** Commands that act on one task, or on all that match filters. */

import type { OperatorRouteCalls } from '../../operator/index.js'
import type { Connected } from '../terminal/connect.js'
import { commandContext, type Terminal } from '../terminal/context.js'
import { CommandError, errorText } from '../terminal/exit-codes.js'
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
  if (counted.stoppedBy !== undefined) throw counted.stoppedBy
  if (options.dryRun) {
    output.done(`${countText(counted.done)} ${counted.done === 1 ? 'matches' : 'match'}. Nothing was changed.`, {
      dryRun: true,
      ...counted,
    })
    return
  }
  if (!options.yes) {
    if (!terminal.isTerminal)
      throw new CommandError(
        2,
        `${countText(counted.done)} ${counted.done === 1 ? 'matches' : 'match'}. Add --yes to ${verb} all that match.`,
      )
    if (!(await terminal.confirm(`${verb} ${countText(counted.done)}?`))) {
      output.note('Nothing was changed.')
      return
    }
  }
  const report = await inParts(terminal, (cursor) => many(store, { ...request, cursor }))
  const { stoppedBy, ...counts } = report
  output.done(`${countText(report.done)} ${past}. ${report.changed} had changed before their turn.`, counts)
  for (const { taskId, code, message } of report.errors) output.note(`${taskId}: ${code}: ${message}`)
  if (stoppedBy !== undefined) {
    const message = `The command stopped before it had tried all tasks. ${errorText(stoppedBy)}`
    throw new CommandError(10, message, { cause: stoppedBy })
  }
  if (report.failed > 0) throw new CommandError(10, `${countText(report.failed)} could not be ${past}.`)
}

const ERRORS_SHOWN_MAX = 20

function countText(tasks: number): string {
  return tasks === 1 ? '1 task' : `${tasks} tasks`
}

interface BulkSum extends Record<keyof BulkReport['counts'], number> {
  readonly errors: BulkReport['errors'][number][]
  /** The error of a part, if earlier parts were done. */
  stoppedBy?: unknown
}

/**
 * Calls `part` until it has no cursor, and adds up the reports.
 * @throws what the first part throws. An error of a later one is in the sum, since the earlier parts were done.
 */
async function inParts(
  terminal: Terminal,
  part: (cursor: string | undefined) => Promise<BulkReport>,
): Promise<BulkSum> {
  const sum: BulkSum = { done: 0, notApplicable: 0, changed: 0, failed: 0, errors: [] }
  let cursor: string | undefined
  do {
    let report: BulkReport
    try {
      terminal.interrupted.throwIfAborted()
      report = await part(cursor)
    } catch (error) {
      if (cursor === undefined) throw error
      return { ...sum, stoppedBy: error }
    }
    const { counts, errors, ...page } = report
    for (const name of ['done', 'notApplicable', 'changed', 'failed'] as const) sum[name] += counts[name]
    sum.errors.push(...errors.slice(0, ERRORS_SHOWN_MAX - sum.errors.length))
    cursor = page.cursor
  } while (cursor !== undefined)
  return sum
}
