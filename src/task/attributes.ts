/**
 * The title and the attributes of a task, by which people and programs find it. Pure.
 *
 * attributes-1. A change merges. A value sets its attribute, `null` removes it, and `undefined` changes nothing, as in JSON.
 * attributes-2. A settled task keeps its attributes as they are, so that its entries in the index never change.
 */
import { expected, InvalidArgument, isObject } from '../base/expected.js'
import { checkName } from './names.js'

/** Value of an attribute: a text of at most 64 bytes of UTF-8, a finite number, `true` or `false`. */
export type AttributeValue = string | number | boolean

/** Attributes of a task by name. */
export type TaskAttributes = Readonly<Record<string, AttributeValue>>

/** Attributes to set, by name. `null` removes an attribute. One that is `undefined`, or absent, stays as it is. */
export type AttributeChanges = Readonly<Record<string, AttributeValue | null | undefined>>

/** An attribute that listed tasks have. */
export type WantedAttribute = readonly [name: string, value: AttributeValue]

/** Most attributes of a task. Each is an operation of the commit that settles the task. */
export const ATTRIBUTES_MAX = 8
/** Longest name, and longest text, in bytes of UTF-8. Both are parts of a key. */
export const ATTRIBUTE_BYTES_MAX = 64
/** Longest title, in bytes of UTF-8. */
export const TITLE_BYTES_MAX = 256
/** Most attributes of a list: one call reads one range of the index for each. */
export const WANTED_ATTRIBUTES_MAX = 2

/** Checks a title. @throws TypeError */
export function checkTitle(title: unknown): asserts title is string {
  checkName(title, 'title', TITLE_BYTES_MAX)
}

/**
 * Checks attributes to set. Returns them without those that are `undefined`.
 * @throws TypeError naming the attribute, what was expected and what was given
 */
export function checkAttributes(given: unknown): AttributeChanges {
  const entries = entriesOf(given).filter(([, value]) => value !== undefined)
  const set = entries.filter(([, value]) => value !== null).length
  // As many can be removed as a task can have.
  const most = Math.max(set, entries.length - set)
  if (most > ATTRIBUTES_MAX) {
    throw new InvalidArgument(`Expected \`attributes\` to have at most ${ATTRIBUTES_MAX} attributes, got ${most}`)
  }
  return Object.fromEntries(entries.map(([name, value]) => [name, value === null ? null : checked(name, value)]))
}

/** Checks the attributes of a list. Returns them in the order of their names. @throws TypeError */
export function checkWanted(given: unknown): readonly WantedAttribute[] {
  const entries = entriesOf(given)
  if (entries.length === 0 || entries.length > WANTED_ATTRIBUTES_MAX) {
    const what = `1 to ${WANTED_ATTRIBUTES_MAX} attributes`
    throw new InvalidArgument(`Expected \`attributes\` of a list to have ${what}, got ${entries.length}`)
  }
  return sorted(entries.map(([name, value]) => [name, checked(name, value)]))
}

function entriesOf(given: unknown): [string, unknown][] {
  // A `Map` has no entries of its own, and would set nothing.
  if (!isObject(given) || Symbol.iterator in given) throw expected('attributes', 'an object of values by name', given)
  return Object.entries(given)
}

function checked(name: string, value: unknown): AttributeValue {
  checkName(name, 'attributes: a name', ATTRIBUTE_BYTES_MAX)
  if (typeof value === 'boolean') return value
  // A negative zero is written as `0`.
  if (typeof value === 'number' && Number.isFinite(value)) return value === 0 ? 0 : value
  const option = `attributes.${name}`
  if (typeof value !== 'string') throw expected(option, 'a string, a finite number, true or false', value)
  if (value !== '') checkName(value, option, ATTRIBUTE_BYTES_MAX)
  return value
}

/** True if a head may have these, as a file of another store has them. */
export function isTitleAndAttributes(title: unknown, attributes: unknown): boolean {
  try {
    if (title !== undefined) checkTitle(title)
    return attributes === undefined || Object.values(checkAttributes(attributes)).every((value) => value !== null)
  } catch {
    return false
  }
}

/** Attributes after a change, and the names that it changes, for people. */
export interface MergedAttributes {
  readonly attributes: TaskAttributes
  readonly changed: readonly string[]
}

/** Merges changes into attributes (attributes-1). There may be more than fit. */
export function mergeAttributes(before: TaskAttributes | undefined, changes: AttributeChanges): MergedAttributes {
  const after = new Map(Object.entries(before ?? {}))
  const changed: string[] = []
  for (const [name, value] of Object.entries(changes)) {
    if (value === undefined) continue
    if (value === null) {
      if (after.delete(name)) changed.push(`${name} (removed)`)
    } else if (after.get(name) !== value) {
      after.set(name, value)
      changed.push(name)
    }
  }
  return { attributes: Object.fromEntries(sorted([...after])), changed }
}

/** True if the attributes have all that are wanted. */
export function hasAttributes(attributes: TaskAttributes | undefined, wanted: readonly WantedAttribute[]): boolean {
  return wanted.every(([name, value]) => attributes && Object.hasOwn(attributes, name) && attributes[name] === value)
}

/** The value as a part of a key: `3` and `'3'` differ. */
export function attributeText(value: AttributeValue): string {
  return JSON.stringify(value)
}

function sorted(entries: readonly WantedAttribute[]): WantedAttribute[] {
  return [...entries].sort(([one], [other]) => (one < other ? -1 : 1))
}
