/**
 * What the store needs of LevelDB. The rest of it sees `Level`, a few methods; the simulation's database in memory has
 * the same. (The lock's probe, a process of its own, opens one too.)
 */

import { ClassicLevel } from 'classic-level'
import { CompactionTurns } from './compaction-turns.js'
import type { KeyRange, Operation } from './layout.js'
import { LogName } from './log-name.js'

/** A batch being put together. */
export interface LevelBatch {
  put(key: string, value: string): unknown
  del(key: string): unknown
  write(options: { sync: boolean }): Promise<void>
  close(): Promise<void>
}

/** Which part of a range, in which direction. */
export interface LevelRange extends KeyRange {
  readonly reverse?: boolean
  readonly limit?: number
  readonly values?: boolean
}

// LevelDB's default of 16 KiB makes a round trip of every dozen records.
export const PAGE_BYTES = 256 * 1024

/** An open database. */
export interface Level {
  batch(): LevelBatch
  get(key: string): Promise<string | undefined>
  getMany(keys: string[]): Promise<(string | undefined)[]>
  /**
   * The first entries of a range, up to `size` of them and about `PAGE_BYTES`. The one way to read a range: the iterator
   * under it is closed when this resolves, so none is ever left open.
   */
  page(range: LevelRange, size: number): Promise<[key: string, text: string][]>
  compactRange(from: string, to: string): Promise<void>
  /** How much of the files a range takes up; what lies in the log still is not counted. */
  approximateSize(from: string, to: string): Promise<number>
  /**
   * Makes durable what a synced write leaves open: the name of its file. To be called after each write, before that write is
   * acknowledged. `undefined` if nothing is left to be done. A database that keeps no files does not have it.
   */
  afterWrite?(operations: readonly Operation[], sync: boolean): Promise<void> | undefined
  close(): Promise<void>
}

/** Opens the database at `path`; `create` makes a new one, and fails where there is one. */
export type OpenLevel = (path: string, options: OpenLevelOptions) => Promise<Level>

/** How to open a database. */
export interface OpenLevelOptions {
  readonly create: boolean
  /** How much is written before LevelDB begins a new log; for tests. */
  readonly writeBufferBytes?: number
}

// The log that an open has to replay is about as long: 4 MiB take about 20 ms, 32 MiB would take 150.
const WRITE_BUFFER_BYTES = 4 * 1024 * 1024

class DirectoryLevel extends ClassicLevel<string, string> {
  readonly #logName: LogName
  readonly #turns = new CompactionTurns()

  constructor(path: string, writeBufferBytes: number) {
    super(path, { keyEncoding: 'utf8', valueEncoding: 'utf8' })
    this.#logName = new LogName(path, writeBufferBytes)
  }

  page(range: LevelRange, size: number): Promise<[key: string, text: string][]> {
    return this.#turns.read(async () => {
      const iterator = this.iterator({ ...range, limit: size, highWaterMarkBytes: PAGE_BYTES })
      try {
        return await iterator.nextv(size)
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

/** Opens a LevelDB. */
export const openClassicLevel: OpenLevel = async (path, { create, writeBufferBytes = WRITE_BUFFER_BYTES }) => {
  const level = new DirectoryLevel(path, writeBufferBytes)
  // Never `createIfMissing` on an existing store: a lost CURRENT file would become an empty database, silently.
  await level.open({ createIfMissing: create, errorIfExists: create, writeBufferSize: writeBufferBytes })
  return level as Level
}

/** True if `error` says that another process, or this one, holds the database. */
export function isLevelLocked(error: unknown): boolean {
  return (error as { cause?: { code?: unknown } } | undefined)?.cause?.code === 'LEVEL_LOCKED'
}
