/**
 * Makes the name of LevelDB's log durable. According to POSIX, the bytes of a synced file survive a power cut, but its
 * name only does once the directory is synced. LevelDB syncs the directory only with its manifest, some time after it
 * began a new log. Without a sync here, a power cut in between removes the whole log, with all acknowledged writes in
 * it.
 *
 * - LevelDB begins a new log when its write buffer is full, and when a range is compacted. Until one of the two can
 *   have happened there is no new log, and a write costs nothing here.
 * - After that, each synced write checks whether it went into the known log. The first one that checks reads the names
 *   (10 µs, and 120 µs with 300 tables), since the previous size of the log is not known. For the later ones, the log
 *   has grown, which a `stat` shows in 2 to 10 µs.
 * - A write that is not in the known log began a new log, or was the first one since the open. The directory is synced
 *   before that write is acknowledged.
 */
import { readdirSync, statSync } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { fsyncDirectory } from './files.js'
import type { Operation } from './layout.js'

// An operation occupies its key and value in the buffer, 18 bytes for their lengths and number, and a node of the skip
// list of at most 104 bytes, rounded up to 8 bytes. A quarter of each block of the buffer's memory may stay unused.
const OPERATION_OVERHEAD_BYTES = 18 + 104 + 8
const UNUSED_SHARE = 4 / 3

const MAY_BE_MISSING = { throwIfNoEntry: false } as const

export class LogName {
  /** Path of the newest log whose name is durable. */
  #path: string | undefined
  /** Size of that log after the last write; `undefined` if it was not read. */
  #bytes: number | undefined
  /** Upper bound of the bytes in the write buffer. */
  #bufferedBytesMax = 0
  #compactions = 0

  /**
   * @param databaseDir the directory of an open database that has one writer, with one write at a time
   * @param writeBufferBytes the size of its write buffer
   */
  constructor(
    private readonly databaseDir: string,
    private readonly writeBufferBytes: number,
  ) {}

  /**
   * Makes the log's name durable after a write, before the write is acknowledged.
   * @returns `undefined` if the name is durable, or the write was not synced; else a promise that resolves once the
   * name is durable
   * @throws a system error; the write may then not be acknowledged
   */
  afterWrite(operations: readonly Operation[], sync: boolean): Promise<void> | undefined {
    const bytes = bufferBytesMax(operations)
    this.#bufferedBytesMax += bytes
    // The file system of Windows makes names durable by itself.
    if (process.platform === 'win32') return undefined
    if (!sync || !this.#mayBeNew()) {
      this.#bytes = undefined
      return undefined
    }
    return this.#isInKnownLog() ? undefined : this.#syncNew(bytes)
  }

  /** True if the last write went into the known log. */
  #isInKnownLog(): boolean {
    const before = this.#bytes
    if (this.#path === undefined) return false
    if (before === undefined && this.#path !== newestOf(this.databaseDir, readdirSync(this.databaseDir))) return false
    this.#bytes = statSync(this.#path, MAY_BE_MISSING)?.size ?? 0
    return before === undefined || this.#bytes > before
  }

  /** Runs a compaction, which begins a new log at some moment. */
  async duringCompaction(compact: () => Promise<void>): Promise<void> {
    this.#compactions++
    try {
      await compact()
    } finally {
      this.#compactions--
      // A write may or may not have gone into the new log. So the next writes check for a new log.
      this.#bufferedBytesMax = this.writeBufferBytes
    }
  }

  #mayBeNew(): boolean {
    return this.#path === undefined || this.#compactions > 0 || this.#bufferedBytesMax >= this.writeBufferBytes
  }

  async #syncNew(bufferedBytes: number): Promise<void> {
    const path = newestOf(this.databaseDir, await readdir(this.databaseDir))
    await fsyncDirectory(this.databaseDir)
    this.#bytes = (await stat(path)).size
    this.#path = path
    this.#bufferedBytesMax = bufferedBytes
  }
}

/** Path of the newest log among the files of a database. */
function newestOf(databaseDir: string, names: readonly string[]): string {
  const numbers = names.flatMap((name) => /^(\d+)\.log$/.exec(name)?.[1] ?? [])
  const newest = numbers.reduce((one, other) => (Number(other) > Number(one) ? other : one), '')
  return join(databaseDir, `${newest}.log`)
}

/** Upper bound of the bytes that `operations` occupy in LevelDB's write buffer. */
function bufferBytesMax(operations: readonly Operation[]): number {
  let bytes = 0
  for (const { key, value } of operations) {
    bytes += Buffer.byteLength(key) + (value === undefined ? 0 : Buffer.byteLength(value)) + OPERATION_OVERHEAD_BYTES
  }
  return bytes * UNUSED_SHARE
}
