/**
 * Makes the name of LevelDB's log durable. POSIX promises of a synced file that its bytes survive a power cut, and of its
 * name nothing until the directory is synced. LevelDB syncs the directory only with its manifest, a while after it has
 * begun a new log. Without a sync here, a power cut in between takes the whole log, with all that was acknowledged in it.
 *
 * log-name-1. Each synced write looks whether it went into the log that is known: if so, that file has grown. A `stat`
 *             takes 2 µs however many files there are. Reading the directory takes 10 µs, and 120 µs with 300 tables.
 * log-name-2. A write that went elsewhere began a new log, or was the first since the open. The directory is synced before
 *             that write is acknowledged.
 */
import { statSync } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { fsyncDirectory } from './files.js'

const MAY_BE_MISSING = { throwIfNoEntry: false } as const

export class LogName {
  #path: string | undefined
  #bytes = 0

  /** @param databaseDir the directory of an open database that has one writer, with one write at a time */
  constructor(private readonly databaseDir: string) {}

  /**
   * To be called after each synced write, before it is acknowledged.
   * @returns `undefined` if the log's name is durable; else a promise that resolves once it is
   * @throws a system error; then the write may not be acknowledged
   */
  sync(): Promise<void> | undefined {
    // Windows journals names by itself.
    if (process.platform === 'win32') return undefined
    const bytes = this.#path === undefined ? 0 : (statSync(this.#path, MAY_BE_MISSING)?.size ?? 0)
    if (bytes <= this.#bytes) return this.#syncNew()
    this.#bytes = bytes
    return undefined
  }

  async #syncNew(): Promise<void> {
    const numbers = (await readdir(this.databaseDir)).flatMap((name) => /^(\d+)\.log$/.exec(name)?.[1] ?? [])
    const newest = numbers.reduce((one, other) => (Number(other) > Number(one) ? other : one), '')
    const path = join(this.databaseDir, `${newest}.log`)
    await fsyncDirectory(this.databaseDir)
    this.#bytes = (await stat(path)).size
    this.#path = path
  }
}
