/** The filters that lists and bulk commands share. */

import { CommandError } from '../terminal/exit-codes.js'
import { type Command, Option } from '../terminal/packages.js'

export const STATUSES = ['pending', 'running', 'input_required', 'completed', 'failed', 'cancelled'] as const
type Status = (typeof STATUSES)[number]

export interface FilterOptions {
  readonly owner?: string
  readonly status?: Status[]
  readonly type?: string
  readonly parent?: string
  readonly createdAfter?: number
  readonly createdBefore?: number
}

/** Adds the options of the filters to a command. */
export function addFilters(command: Command): Command {
  return command
    .option('--owner <owner>', 'only tasks of this owner')
    .addOption(new Option('--status <status...>', 'only tasks of these statuses').choices(STATUSES))
    .option('--type <type>', 'only tasks of this definition')
    .option('--parent <taskId>', 'only children of this task')
    .option('--created-after <instant>', 'only tasks created at this instant or later (ISO 8601)', instantOption)
    .option('--created-before <instant>', 'only tasks created before this instant (ISO 8601)', instantOption)
}

/** The filters of a request. */
export function filterOf({ owner, status, type, parent, createdAfter, createdBefore }: FilterOptions) {
  return { owner, status, type, parent, createdAfter, createdBefore }
}

/** True if at least one filter is given. */
export function hasFilter(options: FilterOptions): boolean {
  return Object.values(filterOf(options)).some((value) => value !== undefined)
}

/** The instant in a text. @throws CommandError */
export function instantOption(text: string): number {
  const at = Date.parse(text)
  if (!Number.isNaN(at)) return at
  throw new CommandError(2, `Expected an instant such as 2026-01-31T12:00:00Z, and got '${text}'.`)
}
