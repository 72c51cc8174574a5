/**
 * The interface to LevelDB. The rest of the store uses `Level`, which has a few methods. The database in memory of
 * `holdfast/testing` implements it too. (The lock's probe, a separate process, opens a database of its own.)
 */

import { ClassicLevel } from 'classic-level'
import { CompactionTurns } from './compaction-turns.js'
import type { KeyRange, Operation } from './layout.js'
import { LogName } from './log-name.js'
import { PAGE_BYTES, type StoredEntry } from './page.js'
import { type RangeStart, readRanges, type WantedRange } from './read-ranges.js'

/** A batch that is being built. */
export interface LevelBatch {
  put(key: string, value: string): unknown
  del(key: string): unknown
  write(options: { sync: boolean }): Promise<void>
  close(): Promise<void>
}

/** A part of a range, with its direction. */
export interface LevelRange extends KeyRange {
  readonly reverse?: boolean
  readonly limit?: number
  readonly values?: boolean
}

/** Most entries that are read with one iterator, if it reads several ranges. */
export const ENTRIES_PER_ITERATOR = 1_000

// Time after which an iterator that reads several ranges is closed.
const ITERATOR_MS_MAX = 5

/** An open database. */
export interface Level {
  batch(): LevelBatch
  get(key: string): Promise<string | undefined>
  getMany(keys: string[]): Promise<(string | undefined)[]>
  /**
   * Reads the first entries of a range, up to `size` of them and about `PAGE_BYTES`. A range is only read by this
   * and by `readStarts`: their iterators are closed before they resolve, so no iterator stays open.
   */
  page(range: LevelRange, size: number): Promise<StoredEntry[]>
  /**
   * Reads the beginnings of several ranges with one iterator, at most `ENTRIES_PER_ITERATOR` entries and for about 5 ms.
   * @param ranges at least one, in the order of their keys, without an overlap
   * @returns the first ranges, in their order, each whole; or the beginning of the first one, if that alone is too long
   */
  readStarts(ranges: readonly WantedRange[]): Promise<RangeStart[]>
  compactRange(from: string, to: string): Promise<void>
  /** Bytes of the table files that a range occupies. Data that is still in LevelDB's log is not counted. */
  approximateSize(from: string, to: string): Promise<number>
  /**
   * Makes the name of the log file durable, which a synced write does not. Called after each write, before the write is
   * acknowledged. Returns `undefined` if nothing is left to be done. A database without files does not have this
   * method.
   */
  afterWrite?(operations: readonly Operation[], sync: boolean): Promise<void> | undefined
  close(): Promise<void>
}

/** Opens the database at `path`. With `create`, makes a new one, and fails if one exists. */
export type OpenLevel = (path: string, options: OpenLevelOptions) => Promise<Level>

/** Options of an open of a database. */
interface OpenLevelOptions {
  readonly create: boolean
  /** Bytes that are written before LevelDB begins a new log. Only tests set it. */
  readonly writeBufferBytes?: number
}

// LevelDB's log, which an open has to replay, has about this size. Replaying 4 MiB takes about 20 ms, and 32 MiB about
// 150 ms.
const WRITE_BUFFER_BYTES = 4 * 1024 * 1024

class DirectoryLevel extends ClassicLevel<string, string> {
  readonly #logName: LogName
  readonly #turns = new CompactionTurns()

  constructor(path: string, writeBufferBytes: number) {
    super(path, { keyEncoding: 'utf8', valueEncoding: 'utf8' })
    this.#logName = new LogName(path, writeBufferBytes)
  }

  page(range: LevelRange, size: number): Promise<StoredEntry[]> {
    return this.#turns.read(async () => {
      const iterator = this.iterator({ ...range, limit: size, highWaterMarkBytes: PAGE_BYTES })
      try {
        return await iterator.nextv(size)
      } finally {
        await iterator.close()
      }
    })
  }

  readStarts(ranges: readonly WantedRange[]): Promise<RangeStart[]> {
    return this.#turns.read(async () => {
      const lt = ranges.at(-1)?.lt as string
      const iterator = this.iterator({ gte: ranges[0]?.gte as string, lt, highWaterMarkBytes: PAGE_BYTES })
      const closesAt = performance.now() + ITERATOR_MS_MAX
      const isOver = () => performance.now() > closesAt
      try {
        return await readRanges(iterator, ranges, { entriesMax: ENTRIES_PER_ITERATOR, isOver })
      } finally {
        await iterator.close()
      }
    })
  }

  override compactRange(from: string, to: string): Promise<void> {
    return this.#turns.compact(() => this.#logName.duringCompaction(() => super.compactRange(from, to)))
  }

  afterWrite(operations: readonly Operation[], sync: boolean): Promise<void> | undefined {
    return this.#logName.afterWrite(operations, sync)
  }
}

/** Opens a LevelDB database. */
export const openClassicLevel: OpenLevel = async (path, { create, writeBufferBytes = WRITE_BUFFER_BYTES }) => {
  const level = new DirectoryLevel(path, writeBufferBytes)
  // An existing store is never opened with `createIfMissing`: a lost CURRENT file would silently become an empty
  // database.
  await level.open({ createIfMissing: create, errorIfExists: create, writeBufferSize: writeBufferBytes })
  return level as Level
}

/** True if `error` means that another process, or this one, holds the database. */
export function isLevelLocked(error: unknown): boolean {
  return (error as { cause?: { code?: unknown } } | undefined)?.cause?.code === 'LEVEL_LOCKED'
}
