/**
 * The lock of a store's directory, which allows one holder. Owns the registry of this process; lock-file.ts owns the
 * lock file.
 *
 * lock-1. Within a process, a registry decides before any file is touched: a second open of LevelDB's folder, even a
 *   refused one, drops this process's kernel lock. The registry is keyed by real path and by inode. It is stored on
 *   `globalThis`, so that a second bundled copy of the package finds it. A directory is entered before the first
 *   `await`.
 * lock-2. The lock file appears with all of its text: it is written under a unique name, and then linked.
 * lock-3. An existing lock file is judged. If its holder runs, the open is refused. If its holder is proved to have
 *   ended, the file is replaced at once. In all other cases (another container, host or boot; a garbled file) a probe
 *   process replaces it, under LevelDB's own lock. This process never opens, reads or copies `db/LOCK`.
 * lock-4. A replacement has one winner among any number of threads and processes: see lock-claim-1 to lock-claim-4 in
 *   lock-claim.mjs.
 * lock-5. A release removes the lock file only if it is still ours, and leaves the registry last. A failed acquire
 *   leaves no file and no entry.
 * lock-6. After the acquire, the holder opens LevelDB, and then calls `confirm`. Before the kernel lock exists, a probe
 *   from another container cannot see this holder. After that, no process can replace the lock file, so the result of
 *   `confirm` stays true.
 * lock-7. A program that deletes old files may delete the lock file, and `db/LOCK` with it, while the holder runs. Then
 *   another process may open the store. So the holder calls `assertHeld` after each write, before it acknowledges that
 *   write: the lock file must have the inode and the time of change that it had when it was created.
 */
import { readFileSync, realpathSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { HoldfastError } from '../../base/errors.js'
import type { Purpose } from '../../base/purpose.js'
import { isMissing, LOCK_FILE } from '../disk/files.js'
import { markOf } from './lock-claim.mjs'
import { readLock, releaseLockFile, takeLockFile } from './lock-file.js'
import { describeSelf, type LockHolder, parseHolder } from './lock-judge.js'
import { locked, lost, unusableLock } from './lock-refusal.js'

export type { LockHolder } from './lock-judge.js'

/** A directory that this process holds until `release`. */
export interface DirectoryLock {
  /** Content of this process's lock file. */
  readonly holder: LockHolder
  /**
   * Checks that the lock file is still that of this process. Called once LevelDB is open, before the first write.
   * @throws HoldfastError `STORE_LOCKED` if another container replaced the lock file before LevelDB was open
   */
  confirm(): Promise<void>
  /**
   * Checks that the lock file is still that of this process, with one `stat`. Called after each write, before its
   * acknowledgement.
   * @throws HoldfastError `STORE_LOST` if the lock file is gone or is another one; a system error if that is unknown
   */
  assertHeld(): void
  /** Releases the directory. The database must be closed by then. Further calls have no effect. */
  release(): Promise<void>
}

/**
 * Locks the directory for this process.
 * @param dir real path of an existing folder
 * @throws HoldfastError `STORE_LOCKED` naming the holder, `STORE_UNUSABLE` if no lock file can be written
 */
export async function acquireLock(
  dir: string,
  ids: { seed(): string },
  now: number,
  purpose?: Purpose,
): Promise<DirectoryLock> {
  const entry = register(dir, ids.seed(), now, purpose)
  const { self } = entry
  const path = join(dir, LOCK_FILE)
  let made: FileMark
  try {
    await takeLockFile(dir, self)
    made = markOfFile(path)
  } catch (error) {
    await releaseLockFile(dir, self).catch(() => {}) // The failure may be in the sweep, after the lock file was ours.
    entry.leave()
    throw error instanceof HoldfastError ? error : unusableLock(dir, error)
  }
  let released: Promise<void> | undefined
  return {
    holder: self,
    async confirm() {
      const holder = parseHolder(await readLock(dir))
      if (holder?.token !== self.token) throw locked(dir, holder, self)
    },
    assertHeld() {
      const found = markOfFile(path)
      if (found.inode !== made.inode || found.changedAt !== made.changedAt) throw lost(dir)
    },
    release() {
      released ??= releaseLockFile(dir, self).finally(entry.leave)
      return released
    },
  }
}

/** Values that distinguish a file from a later one of the same name. An inode number alone may be reused. */
interface FileMark {
  /** Number of the inode; 0 if there is no file. */
  readonly inode: number
  readonly changedAt: number
}

const NO_FILE: FileMark = { inode: 0, changedAt: 0 }

function markOfFile(path: string): FileMark {
  const found = statSync(path, { throwIfNoEntry: false })
  return found ? { inode: found.ino, changedAt: found.mtimeMs } : NO_FILE
}

/** Registry entry of an open directory. Copies of the package share the registry, so this shape never changes. */
interface Entry {
  readonly path: string
  readonly inode: string
  readonly holder: LockHolder
}

/** Enters the directory into the registry of this process, synchronously. */
function register(
  dir: string,
  token: string,
  now: number,
  purpose: Purpose | undefined,
): { self: LockHolder; leave(): void } {
  const { path, inode } = placeOf(dir)
  const self = describeSelf(inode, token, now, purpose)
  const registry = processRegistry()
  const byInode = registry.get(`inode ${inode}`)
  // LevelDB identifies its open databases by path. So a path that leads to another folder by now is refused as well.
  const other = registry.get(path) ?? (byInode && !wasDeleted(byInode, dir) ? byInode : undefined)
  if (other) throw locked(dir, other.holder, self)
  const entry = { path, inode, holder: self }
  const keys = [path, `inode ${inode}`]
  for (const key of keys) registry.set(key, entry)
  return {
    self,
    leave() {
      for (const key of keys) if (registry.get(key) === entry) registry.delete(key)
    },
  }
}

/**
 * True if the folder of `entry` was deleted while it was open, and `dir` reuses its inode number. False if the path of
 * `entry` still leads to its folder, or if the folder was renamed and so kept its lock file.
 */
function wasDeleted(entry: Entry, dir: string): boolean {
  const { dev, ino } = statSync(entry.path, { bigint: true, throwIfNoEntry: false }) ?? {}
  if (`${dev}:${ino}` === entry.inode) return false
  try {
    return markOf(readFileSync(join(dir, LOCK_FILE), 'utf8')) !== entry.holder.token
  } catch (error) {
    return isMissing(error)
  }
}

function placeOf(dir: string): { path: string; inode: string } {
  try {
    const { dev, ino } = statSync(dir, { bigint: true })
    return { path: realpathSync.native(dir), inode: `${dev}:${ino}` }
  } catch (error) {
    throw unusableLock(dir, error)
  }
}

function processRegistry(): Map<string, Entry> {
  const shared = globalThis as { [key: symbol]: Map<string, Entry> | undefined }
  const key = Symbol.for('holdfast.locks')
  const registry = shared[key] ?? new Map<string, Entry>()
  shared[key] = registry
  return registry
}
