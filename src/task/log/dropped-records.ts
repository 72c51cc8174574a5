/**
 * The records that retries dropped from a log and that are not deleted yet, as ranges of their numbers. A reader of
 * the log skips them. Pure.
 *
 * - The numbers are never used again, so a record of a later attempt is in no range.
 * dropped-records-2. Messages to put back, and checkpoints and patch answers of dropped segments, are cleared before
 *     the next attempt begins. Only log records are deleted after its begin.
 */

/** Numbers in ascending order, two for each range: its first and its last. */
export type Ranges = readonly number[]

/** Place of a record in the log. */
export interface RecordPlace {
  readonly segment: number
  readonly seq: number
}

/** Records that retries dropped. */
export interface Dropped {
  /** The first dropped record. `to` is the last one. */
  readonly from: RecordPlace
  readonly to: RecordPlace
  readonly numbers: Ranges
  /** The dropped receives whose messages are put back. Absent after that was done. */
  readonly returned?: Ranges | undefined
  /**
   * The first segment that a dropped checkpoint opened. Checkpoints and patch answers from there are deleted. Absent
   * after that.
   */
  readonly opens?: number | undefined
}

/** The list as text for the store. */
export function encodeDropped(dropped: Dropped): string {
  return JSON.stringify(dropped)
}

/** The list that `encodeDropped` wrote. */
export function decodeDropped(text: string): Dropped {
  return JSON.parse(text) as Dropped
}

/** Joins two lists into one. */
export function joinDropped(earlier: Dropped | undefined, later: Dropped): Dropped {
  if (!earlier) return later
  const { from, to, numbers, returned = [], opens = Number.POSITIVE_INFINITY } = earlier
  const first = Math.min(opens, later.opens ?? Number.POSITIVE_INFINITY)
  return {
    from: from.seq < later.from.seq ? from : later.from,
    to: to.seq > later.to.seq ? to : later.to,
    numbers: joinRanges(numbers, later.numbers),
    returned: joinRanges(returned, later.returned ?? []),
    opens: first === Number.POSITIVE_INFINITY ? undefined : first,
  }
}

/** True if anything other than records is left to clear (dropped-records-2). */
export function isUncleared({ returned = [], opens }: Dropped): boolean {
  return returned.length > 0 || opens !== undefined
}

/** The list after everything other than records was cleared. */
export function cleared({ from, to, numbers }: Dropped): Dropped {
  return { from, to, numbers }
}

/** True if a range holds the number. */
export function includes(ranges: Ranges, number: number): boolean {
  let [low, high] = [0, ranges.length / 2]
  while (low < high) {
    const middle = (low + high) >> 1
    if ((ranges[2 * middle + 1] as number) < number) low = middle + 1
    else high = middle
  }
  return 2 * low < ranges.length && (ranges[2 * low] as number) <= number
}

/** Collects numbers that come in ascending order. */
export class RangesBuilder {
  readonly #ranges: number[] = []

  /** @param continues true if the range before is extended to the number, with all numbers in between */
  add(number: number, continues: boolean): void {
    if (continues && this.#ranges.length > 0) this.#ranges[this.#ranges.length - 1] = number
    else this.#ranges.push(number, number)
  }

  get ranges(): Ranges {
    return this.#ranges
  }
}

function joinRanges(one: Ranges, other: Ranges): Ranges {
  const joined: number[] = []
  for (let at = 0, otherAt = 0; at < one.length || otherAt < other.length; ) {
    const isFirst = (one[at] ?? Number.POSITIVE_INFINITY) <= (other[otherAt] ?? Number.POSITIVE_INFINITY)
    const [from, to] = (isFirst ? one.slice(at, at + 2) : other.slice(otherAt, otherAt + 2)) as [number, number]
    if (isFirst) at += 2
    else otherAt += 2
    const last = joined.at(-1)
    if (last !== undefined && from <= last + 1) joined[joined.length - 1] = Math.max(last, to)
    else joined.push(from, to)
  }
  return joined
}
