/**
 * Reads the beginnings of several ranges with one iterator. An iterator and a turn of the thread pool for each of a
 * thousand short logs cost more than the reading of their records.
 *
 * - The iterator seeks to a range and reads on, while most of the entries that it finds belong to the ranges: the logs
 *     of tasks that were created one after the other are neighbours. After a gap it seeks again.
 * - The reading ends after `entriesMax` entries, or when `isOver`. An iterator is a snapshot, which must not stay open
 *     for long (https://github.com/google/leveldb/issues/320).
 */
import type { KeyRange } from './layout.js'
import { isWhole, type StoredEntry } from './page.js'

/** A range that is read together with others. */
export interface WantedRange extends KeyRange {
  /** Number of entries that the range probably has. */
  readonly expected: number
}

/** The first entries of a range. */
export interface RangeStart {
  readonly entries: readonly StoredEntry[]
  /** True if the range has no other entries. */
  readonly isWhole: boolean
}

/** An iterator over entries of a database, in the order of their keys. */
export interface SeekingIterator {
  /** Moves to the first key that is not less than `key`. */
  seek(key: string): void
  /** Reads the next entries, up to `size` of them and about `PAGE_BYTES`. */
  nextv(size: number): Promise<StoredEntry[]>
}

/** Limits of one iterator. */
export interface IteratorLimits {
  readonly entriesMax: number
  /** True if the iterator was open for long enough. */
  readonly isOver: () => boolean
}

// Ranges that are read at once before it is known if they are neighbours.
const AHEAD_FIRST = 8

// Entries that are read at least, because a range may have more than expected.
const PAGE_MIN = 16

/** Share of a page that has to belong to the ranges for the next page to be larger. */
const USEFUL_SHARE = 0.75

/**
 * Reads ranges, which are in the order of their keys and do not overlap.
 * @param iterator an iterator that ends with the last range
 * @returns the first ranges, in their order, each whole; or the beginning of the first one, if that alone is too long
 */
export async function readRanges(
  iterator: SeekingIterator,
  ranges: readonly WantedRange[],
  limits: IteratorLimits,
): Promise<RangeStart[]> {
  const reader = new RangesReader(iterator, ranges, limits)
  const starts: RangeStart[] = []
  for (let index = 0; index < ranges.length; index++) {
    const start = await reader.read(index)
    if (start.isWhole || index === 0) starts.push(start)
    if (!start.isWhole) break
  }
  return starts
}

class RangesReader {
  #page: readonly StoredEntry[] = []
  /** Index of the next entry of the page. */
  #at = 0
  /** Number of entries of the page that belonged to a range. */
  #useful = 0
  #read = 0
  #ahead = AHEAD_FIRST
  #isAtEnd = false

  constructor(
    private readonly iterator: SeekingIterator,
    private readonly ranges: readonly WantedRange[],
    private readonly limits: IteratorLimits,
  ) {}

  async read(index: number): Promise<RangeStart> {
    const { gte, lt } = this.ranges[index] as WantedRange
    const entries: StoredEntry[] = []
    while (this.#isBefore(gte)) this.#at++
    for (;;) {
      while (this.#isBefore(lt)) entries.push(this.#page[this.#at++] as StoredEntry)
      if (this.#at < this.#page.length || this.#isAtEnd) break
      if (this.#mustEnd()) return { entries, isWhole: false }
      this.#useful += entries.length
      if (entries.length === 0) this.iterator.seek(gte)
      await this.#next(index, entries.length)
    }
    this.#useful += entries.length
    return { entries, isWhole: true }
  }

  #isBefore(key: string): boolean {
    const entry = this.#page[this.#at]
    return entry !== undefined && entry[0] < key
  }

  #mustEnd(): boolean {
    return this.#read > 0 && (this.#read >= this.limits.entriesMax || this.limits.isOver())
  }

  async #next(index: number, had: number): Promise<void> {
    if (this.#read > 0) this.#ahead = this.#useful >= USEFUL_SHARE * this.#page.length ? this.#ahead * 2 : 1
    const size = this.#pageSize(index, had)
    this.#page = await this.iterator.nextv(size)
    this.#at = 0
    this.#useful = 0
    this.#read += this.#page.length
    this.#isAtEnd = isWhole(this.#page, size)
  }

  /** Entries that the next ranges probably have, and the one after them, which shows where the last range ends. */
  #pageSize(index: number, had: number): number {
    const left = this.limits.entriesMax - this.#read
    let size = 1 - had
    for (let at = index; at < Math.min(index + this.#ahead, this.ranges.length) && size < left; at++) {
      size += (this.ranges[at] as WantedRange).expected
    }
    return Math.min(left, Math.max(PAGE_MIN, size))
  }
}
