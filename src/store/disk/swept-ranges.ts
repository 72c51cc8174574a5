/**
 * Counts deleted entries, to find ranges with many deletion marks. LevelDB keeps the mark of a deleted key until a
 * compaction. Without compactions, a list that begins in such a range, or that finds nothing directly before it, would
 * pass over all of its marks: 500,000 marks take about 40 ms.
 *
 * Tasks expire in about the order of their IDs, so the marks are at the beginning of a range, and its compaction leaves
 * most of the entries alone.
 */
import type { KeyRange } from './layout.js'

// A list passes over so many in 7 ms. A compaction lets reads of ranges wait, for a few tenths of a second.
const MARKS_MAX = 100_000
// Many owners with few tasks each, or many parents, leave few marks in each range. Their counts are dropped.
const RANGES_MAX = 10_000
const FEW_MARKS = 100

export class SweptRanges {
  readonly #marks = new Map<string, number>()
  readonly #due = new Map<string, string>()

  /** Counts deleted keys, whose last part is a task ID. The keys that differ only in that part are one range. */
  count(keys: readonly string[]): void {
    for (const key of keys) {
      const prefix = key.slice(0, key.lastIndexOf('/') + 1)
      const marks = (this.#marks.get(prefix) ?? 0) + 1
      if (marks < MARKS_MAX) {
        this.#marks.set(prefix, marks)
      } else {
        this.#marks.delete(prefix)
        this.#due.set(prefix, key)
      }
    }
    if (this.#marks.size > RANGES_MAX) this.#dropFew()
  }

  #dropFew(): void {
    for (const [prefix, marks] of this.#marks) if (marks < FEW_MARKS) this.#marks.delete(prefix)
    // Otherwise this would run again with each key.
    if (this.#marks.size > RANGES_MAX / 2) this.#marks.clear()
  }

  /** Takes a range that should be compacted, up to the entry that was deleted last; `undefined` if there is none. */
  take(): KeyRange | undefined {
    for (const [prefix, last] of this.#due) {
      this.#due.delete(prefix)
      return { gte: prefix, lt: `${last}\u0000` }
    }
    return undefined
  }
}
