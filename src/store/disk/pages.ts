/** Reads ranges of the database a page at a time. */
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
    rest = isWhole(page, size) ? undefined : after(rest, last)
    yield page
  }
}

/** The part of a range after `key`, in the range's direction. */
export function after(range: LevelRange, key: string): LevelRange {
  return range.reverse ? { ...range, lt: key } : { ...range, gte: `${key}\u0000` }
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
