/**
 * What the store needs of LevelDB. The rest of it sees `Level`, a few methods; the simulation's database in memory has
 * the same. (The lock's probe, a process of its own, opens one too.)
 */
import { ClassicLevel } from 'classic-level'
import type { KeyRange } from './layout.js'
import { LogName } from './log-name.js'

/** A batch being put together. */
export interface LevelBatch {
  put(key: string, value: string): unknown
  del(key: string): unknown
  write(options: { sync: boolean }): Promise<void>
  close(): Promise<void>
}

/** Walks a range; `nextv` gives up to `size` entries, none at the end. */
export interface LevelIterator {
  nextv(size: number): Promise<[string, string][]>
  close(): Promise<void>
}

/** Which part of a range, in which direction. */
export interface LevelRange extends KeyRange {
  readonly reverse?: boolean
  readonly limit?: number
  readonly values?: boolean
  /** How many bytes `nextv` gives at the most. */
  readonly highWaterMarkBytes?: number
}

/** An open database. */
export interface Level {
  batch(): LevelBatch
  get(key: string): Promise<string | undefined>
  getMany(keys: string[]): Promise<(string | undefined)[]>
  iterator(range: LevelRange): LevelIterator
  compactRange(from: string, to: string): Promise<void>
  /** How much of the files a range takes up; what lies in the log still is not counted. */
  approximateSize(from: string, to: string): Promise<number>
  /**
   * Makes durable what a synced write leaves open: the name of its file. To be called after each, before that write is
   * acknowledged. `undefined` if nothing is left to be done. A database that keeps no files does not have it.
   */
  syncName?(): Promise<void> | undefined
  close(): Promise<void>
}

/** Opens the database at `path`; `create` makes a new one, and fails where there is one. */
export type OpenLevel = (path: string, options: { create: boolean }) => Promise<Level>

// The log that an open has to replay is at most this long: 4 MiB take about 20 ms, 32 MiB would take 150.
const WRITE_BUFFER_BYTES = 4 * 1024 * 1024

// Opening a healthy database takes milliseconds. On a dead network mount it never returns, and neither would we.
const OPEN_MS_MAX = 60_000

class DirectoryLevel extends ClassicLevel<string, string> {
  readonly #logName = new LogName(this.location)

  syncName(): Promise<void> | undefined {
    return this.#logName.sync()
  }
}

/** Opens a LevelDB. */
export const openClassicLevel: OpenLevel = async (path, { create }) => {
  const level = new DirectoryLevel(path, { keyEncoding: 'utf8', valueEncoding: 'utf8' })
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`The database did not open within ${OPEN_MS_MAX} ms`)), OPEN_MS_MAX)
  })
  // Never `createIfMissing` on an existing store: a lost CURRENT file would become an empty database, silently.
  const opening = level.open({ createIfMissing: create, errorIfExists: create, writeBufferSize: WRITE_BUFFER_BYTES })
  try {
    await Promise.race([opening, late])
  } finally {
    clearTimeout(timer)
  }
  return level as Level
}

/** Whether `error` says that another process, or this one, holds the database. */
export function isLevelLocked(error: unknown): boolean {
  return (error as { cause?: { code?: unknown } } | undefined)?.cause?.code === 'LEVEL_LOCKED'
}
