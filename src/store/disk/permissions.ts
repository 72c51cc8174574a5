/**
 * Keeps LevelDB's files at mode 0600. LevelDB creates files with the mode of the umask at any time, so the folder is
 * checked for new files every second. The folder has mode 0700 from the start, so no other user can open a file before
 * its mode is set.
 */
import { chmod, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout } from 'node:timers'
import { faultOf } from '../../base/fault.js'
import type { Logger } from '../../base/logger.js'
import { DIRECTORY_MODE, FILE_MODE } from './files.js'

/**
 * Sets the mode of a store's directory to 0700. For an existing store, only if every user may write to it. A volume
 * that this process may write to and does not own (Kubernetes' `fsGroup`) is used unchanged, with a warning.
 */
export async function protectDirectory(dir: string, isNew: boolean, logger: Logger): Promise<void> {
  if (process.platform === 'win32') return
  const mode = (await stat(dir)).mode & 0o777
  const isOpen = (mode & OTHERS_WRITE) !== 0
  if (mode === DIRECTORY_MODE || (!isNew && !isOpen)) return
  try {
    await chmod(dir, DIRECTORY_MODE)
    if (isOpen && !isNew) {
      logger.warn('Every user could write to the directory of the store. Its mode was set to 0700.', { dir })
    }
  } catch (error) {
    logger.warn(
      'The directory of the store belongs to another user, so its mode could not be set to 0700. Other users may have access. Make this process the owner, or restrict the directory above it.',
      { dir, mode: `0${mode.toString(8)}`, error: faultOf(error) },
    )
  }
}

const OTHERS_WRITE = 0o002

// Not `fs.watch`: it reports every write to LevelDB's log too, which cost each commit 20 µs and a turn of the event loop.
const CHECK_EVERY_MS = 1_000

/**
 * Sets the modes of existing and of new files. Returns a function that stops this, to be called once the database is
 * closed.
 */
export async function keepPrivate(databaseDir: string): Promise<() => Promise<void>> {
  if (process.platform === 'win32') return async () => {}
  // The folder may belong to the user who restored a copy. The mode of the store's own directory was checked before.
  await chmod(databaseDir, DIRECTORY_MODE).catch(() => {})
  const files = new PrivateFiles(databaseDir)
  await files.restrict()
  let isStopped = false
  let timer: NodeJS.Timeout
  const arm = () => {
    // The machine's time, also under another clock: another program may read the files.
    timer = setTimeout(() => void check(), CHECK_EVERY_MS).unref()
  }
  const check = async () => {
    // The folder may have been deleted, or the process may have no file descriptor left. The next check repeats this.
    await files.restrictNew().catch(() => {})
    if (!isStopped) arm()
  }
  arm()
  return async () => {
    isStopped = true
    clearTimeout(timer)
    // The folder may have been deleted. That is no reason to fail the close.
    await files.restrict().catch(() => {})
  }
}

/** The files of a database, and the state of its folder at the last check. */
class PrivateFiles {
  /** Time of change of the folder at the last check. */
  #changedAt = 0
  /** True if the folder had changed at the last check: a file created in the same instant may not be seen yet. */
  #hadChanged = true
  /** Names whose mode is set. Only those of numbered files, which LevelDB uses once. */
  #restricted = new Set<string>()

  constructor(private readonly databaseDir: string) {}

  /** Sets the mode of all files. */
  async restrict(): Promise<void> {
    await this.#restrictAll(await readdir(this.databaseDir))
  }

  /** Sets the mode of the files that were created since the last check. */
  async restrictNew(): Promise<void> {
    const { mtimeMs } = await stat(this.databaseDir)
    const hasChanged = mtimeMs !== this.#changedAt
    if (!hasChanged && !this.#hadChanged) return
    this.#changedAt = mtimeMs
    this.#hadChanged = hasChanged
    const names = await readdir(this.databaseDir)
    await this.#restrictAll(names.filter((name) => !this.#restricted.has(name)))
    // Without this, the names of deleted files would stay in memory.
    const there = new Set(names)
    for (const name of this.#restricted) if (!there.has(name)) this.#restricted.delete(name)
  }

  async #restrictAll(names: readonly string[]): Promise<void> {
    await Promise.all(names.map((name) => this.#restrictOne(name)))
  }

  async #restrictOne(name: string): Promise<void> {
    try {
      await chmod(join(this.databaseDir, name), FILE_MODE)
      if (/^\d/.test(name)) this.#restricted.add(name)
    } catch {
      // The file may have been deleted meanwhile, or belong to another user. The mode of the folder protects it.
    }
  }
}
