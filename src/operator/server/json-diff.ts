/**
 * Differences between two JSON values, for a person who compares checkpoints. The number of differences and of visited values
 * is bounded, so a large state holds the event loop only for a moment.
 */
import type { JsonValue } from '../../base/json.js'

/** One difference. */
export interface JsonDifference {
  /** JSON pointer of the place (RFC 6901); empty for the whole value. */
  readonly path: string
  readonly kind: 'added' | 'removed' | 'changed'
  readonly before?: JsonValue | undefined
  readonly after?: JsonValue | undefined
}

/** Limits of one comparison. */
export interface DiffBounds {
  readonly differencesMax: number
  readonly valuesMax: number
}

interface Pair {
  readonly path: string
  readonly before: JsonValue | undefined
  readonly after: JsonValue | undefined
}

/**
 * Compares two values. Items of arrays are compared by position. `undefined` stands for a value that does not exist.
 * @returns differences in the order of the paths of the values, and true for `isCut` if a limit ended the comparison
 */
export function diffJson(
  before: JsonValue | undefined,
  after: JsonValue | undefined,
  { differencesMax, valuesMax }: DiffBounds,
): { differences: JsonDifference[]; isCut: boolean } {
  const differences: JsonDifference[] = []
  // A stack of pairs. The last one is compared next.
  const pairs: Pair[] = [{ path: '', before, after }]
  let visited = 0
  for (let pair = pairs.pop(); pair; pair = pairs.pop()) {
    const difference = compare(pair, pairs)
    if (difference) differences.push(difference)
    if (++visited >= valuesMax || differences.length >= differencesMax) return { differences, isCut: pairs.length > 0 }
  }
  return { differences, isCut: false }
}

/** Compares one pair. Adds the pairs of its members to `pairs` if both values are containers of one kind. */
function compare({ path, before, after }: Pair, pairs: Pair[]): JsonDifference | undefined {
  if (before === after) return undefined
  if (before === undefined) return { path, kind: 'added', after }
  if (after === undefined) return { path, kind: 'removed', before }
  const isComparable = isContainer(before) && isContainer(after) && Array.isArray(before) === Array.isArray(after)
  if (!isComparable) return { path, kind: 'changed', before, after }
  const [one, other] = [before as Members, after as Members]
  const names = [...new Set([...Object.keys(one), ...Object.keys(other)])]
  for (const name of names.reverse()) {
    const inner = `${path}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`
    pairs.push({ path: inner, before: own(one, name), after: own(other, name) })
  }
  return undefined
}

type Members = Readonly<Record<string, JsonValue>>

function own(members: Members, name: string): JsonValue | undefined {
  return Object.hasOwn(members, name) ? members[name] : undefined
}

function isContainer(value: JsonValue): boolean {
  return typeof value === 'object' && value !== null
}
