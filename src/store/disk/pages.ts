/** Reads ranges of the database a page at a time. */
import type { KeyRange } from './layout.js'
import type { Level, LevelRange } from './level.js'
import { isWhole, type StoredEntry } from './page.js'

const PAGE = 1_000

/**
 * Reads a range page by page, so that a long range does not block the process. Yields pages and not entries: a promise
 * for each of a thousand small records would cost more than reading them. Two pages may show two states of the store. A
 * reader that needs one state compares the result with the head, as `readLog` does.
 * @param firstMax the most entries of the first page. Each later page may have twice as many as the one before it, up to
 *   `pageMax`
 */
export async function* pages(
  level: Level,
  range: LevelRange,
  pageMax = PAGE,
  firstMax = pageMax,
): AsyncGenerator<StoredEntry[]> {
  let left = range.limit ?? Number.POSITIVE_INFINITY
  let size = firstMax
  for (let rest: LevelRange | undefined = range; rest !== undefined && left > 0; size = Math.min(pageMax, 2 * size)) {
    const page = await level.page(rest, Math.min(left, size))
    const last = page.at(-1)?.[0]
    if (last === undefined) return
    left -= page.length
    rest = isWhole(page, size) ? undefined : after(range, last)
    yield page
  }
}

/** The part of a range after `key`, in the range's direction. */
export function after<Range extends LevelRange>(range: Range, key: string): Range {
  return range.reverse ? { ...range, lt: key } : { ...range, gte: `${key}\u0000` }
}

/** The part of a range from `key` on, in the range's direction. */
export function beginningAt<Range extends LevelRange>(range: Range, key: string): Range {
  return range.reverse ? { ...range, lt: `${key}\u0000` } : { ...range, gte: key }
}

// Entries of the page after a jump. The next page is larger if most of them were needed.
const JUMPED = 16

/** Entries that a reader may still read. A page counts as some more: without this, pages of one entry would cost nearly nothing. */
export interface ReadBudget {
  left: number
}

/** Reads the entries of a range that a caller jumps to. Jumps go in the direction of the range only. */
export class JumpingReader {
  #page: readonly StoredEntry[] = []
  /** Index of the next entry of the page. */
  #at = 0
  /** Number of entries of the page that the caller got. */
  #used = 0
  #size: number
  /** True if the range ends with the page. */
  #isLast = false

  constructor(
    private readonly level: Level,
    private readonly budget: ReadBudget,
    private readonly pageMax: number,
    firstMax = JUMPED,
  ) {
    this.#size = Math.min(pageMax, firstMax)
  }

  /** The first entry of what is left of a range, which begins no earlier than the one of the call before. `undefined` at its end. */
  async first(rest: LevelRange): Promise<StoredEntry | undefined> {
    for (; this.#at < this.#page.length; this.#at++) {
      const entry = this.#page[this.#at] as StoredEntry
      if (rest.reverse ? entry[0] >= rest.lt : entry[0] < rest.gte) continue
      this.#used++
      return entry
    }
    if (this.#isLast) return undefined
    if (this.#used * 2 < this.#page.length) this.#size = JUMPED
    else if (this.#page.length > 0) this.#size = Math.min(this.pageMax, this.#size * 2)
    this.#page = await this.level.page(rest, this.#size)
    this.budget.left -= JUMPED + this.#page.length
    this.#isLast = isWhole(this.#page, this.#size)
    this.#at = 0
    this.#used = this.#page.length > 0 ? 1 : 0
    return this.#page[0]
  }
}

/** Reads a whole range, and returns `take` of each entry. */
export async function collect<T>(
  level: Level,
  range: LevelRange,
  take: (key: string, text: string) => T,
): Promise<T[]> {
  const taken: T[] = []
  for await (const page of pages(level, range)) for (const [key, text] of page) taken.push(take(key, text))
  return taken
}

/**
 * Reads several whole ranges with as few iterators as possible, and returns `take` of each entry by range. For ranges of few
 * entries: each iterator is freed by a garbage collection, and 300,000 of them held the event loop for a second.
 * @param ranges in any order, without an overlap
 */
export async function collectEach<T>(
  level: Level,
  ranges: readonly KeyRange[],
  take: (key: string, text: string) => T,
): Promise<T[][]> {
  const taken: T[][] = ranges.map(() => [])
  let left = ranges.map((range, at) => ({ ...range, at, expected: 1 }))
  left.sort((one, other) => (one.gte < other.gte ? -1 : 1))
  while (left.length > 0) {
    const starts = await level.readStarts(left)
    for (const [index, { entries, isWhole }] of starts.entries()) {
      const range = left[index] as (typeof left)[number]
      const all = isWhole ? entries.map(([key, text]) => take(key, text)) : await collect(level, range, take)
      taken[range.at] = all
    }
    left = left.slice(starts.length)
  }
  return taken
}
