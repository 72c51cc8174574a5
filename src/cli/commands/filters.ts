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
  readonly attribute?: AttributeOption
}

/** Attributes of the command line by name. `null` stands for one that is removed. */
export type AttributeOption = Readonly<Record<string, string | number | boolean | null>>

/** Adds the options of the filters to a command. */
export function addFilters(command: Command): Command {
  return command
    .option('--owner <owner>', 'only tasks of this owner')
    .addOption(new Option('--status <status...>', 'only tasks of these statuses').choices(STATUSES))
    .option('--type <type>', 'only tasks of this definition')
    .option('--parent <taskId>', 'only children of this task')
    .option('--created-after <instant>', 'only tasks created at this instant or later (ISO 8601)', instantOption)
    .option('--created-before <instant>', 'only tasks created before this instant (ISO 8601)', instantOption)
    .option('--attribute <name=value>', 'only tasks with this attribute; up to two times', attribute)
}

/** The filters of a request. */
export function filterOf({ owner, status, type, parent, createdAfter, createdBefore, attribute }: FilterOptions) {
  const attributes = attribute && wantedOf(attribute)
  return { owner, status, type, parent, createdAfter, createdBefore, attributes }
}

/** Attributes to look for, or to give to a new task. @throws CommandError for one without a value */
export function wantedOf(attributes: AttributeOption): Readonly<Record<string, string | number | boolean>> {
  return Object.fromEntries(
    Object.entries(attributes).map(([name, value]) => {
      if (value !== null) return [name, value]
      throw new CommandError(2, `The attribute '${name}' has no value. For the text null, write '${name}="null"'.`)
    }),
  )
}

/** Adds an attribute of the command line to those before it. A number, true, false, null and a text in quotes are JSON. */
export function attribute(text: string, before: AttributeOption = {}): AttributeOption {
  const [, name, value = ''] = /^([^=]+)=(.*)$/s.exec(text) ?? []
  if (name === undefined) throw new CommandError(2, `Expected an attribute such as customer=a-17, and got '${text}'.`)
  return { ...before, [name]: attributeValue(value) }
}

function attributeValue(text: string): string | number | boolean | null {
  if (!/^(true|false|null|".*"|-?\d.*)$/s.test(text)) return text
  try {
    const value = JSON.parse(text) as string | number | boolean | null
    // A number that is written in another way, such as a long code of digits, is meant as a text.
    return typeof value === 'number' && String(value) !== text ? text : value
  } catch {
    // A text such as `2026-01-31`.
    return text
  }
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
