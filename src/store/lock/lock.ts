/**
 * One holder per store directory. Owns the registry of this process; lock-file.ts owns the lock file.
 *
 * lock-1. Within a process a registry decides, before any file is touched: a second open of LevelDB's folder, even one
 *     that is refused, drops this process's kernel lock. It is keyed by real path and by inode, lives on `globalThis`
 *     (a second bundled copy of the package finds it too), and is entered before the first `await`.
 * lock-2. The lock file appears with all of its text, under a name that nobody else had: written aside, then linked.
 * lock-3. A lock file that is there already is judged. Held: refused. Provably gone: taken over at once. Unknown (another
 *     container, host or boot; garbled): a probe process takes it over, under LevelDB's own lock. This process never
 *     opens, reads or copies `db/LOCK`.
 * lock-4. A take-over has one winner among any number of threads and processes: see lock-claim-1 to lock-claim-4 in lock-claim.mjs.
 * lock-5. Release removes the lock file only if it is still ours, and leaves the registry last. An acquire that fails
 *     leaves no file and no entry.
 * lock-6. The holder opens LevelDB next, and asks `confirm` after that. Until the kernel lock is there a probe from another
 *     container cannot see this holder; from then on nobody can take over, so what `confirm` finds stays true.
 * lock-7. A cleaner of old files may delete the lock file, and `db/LOCK` with it, under a live holder. Then another process may
 *     open the store. So the holder asks `assertHeld` after each write, before it acknowledges that write: the lock file
 *     must have the inode and the time of change that it had when it was made.
 */
import { readFileSync, realpathSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { HoldfastError } from '../../base/errors.js'
import { isMissing, LOCK_FILE } from '../disk/files.js'
import { markOf } from './lock-claim.mjs'
import { readLock, releaseLockFile, takeLockFile } from './lock-file.js'
import { describeSelf, type LockHolder, parseHolder } from './lock-judge.js'
import { locked, lost, unusableLock } from './lock-refusal.js'

export type { LockHolder } from './lock-judge.js'

/** A directory that is ours until `release`. */
export interface DirectoryLock {
  /** What the lock file says of us. */
  readonly holder: LockHolder
  /**
   * To be called once LevelDB is open, before anything is written.
   * @throws HoldfastError `STORE_LOCKED` if another container took the lock over before LevelDB was open
   */
  confirm(): Promise<void>
  /**
   * To be called after each write, before it is acknowledged. Takes one `stat`.
   * @throws HoldfastError `STORE_LOST` if the lock file is gone or is another one; a system error if that is unknown
   */
  assertHeld(): void
  /** Gives the directory back; the database must be closed by then. More calls than one do nothing more. */
  release(): Promise<void>
}

/**
 * Makes the directory ours.
 * @param dir an existing folder's real path
 * @throws HoldfastError `STORE_LOCKED` naming the holder, `STORE_UNUSABLE` if no lock file can be written
 */
export async function acquireLock(dir: string, ids: { seed(): string }, now: number): Promise<DirectoryLock> {
  const entry = register(dir, ids.seed(), now)
  const { self } = entry
  const path = join(dir, LOCK_FILE)
  let made: FileMark
  try {
    await takeLockFile(dir, self)
    made = markOfFile(path)
  } catch (error) {
    await releaseLockFile(dir, self).catch(() => {}) // what failed may be the tidying after we had it
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

/** What tells a file from one that has taken its name: an inode number alone may be given again. */
interface FileMark {
  /** 0 if there is no file. */
  readonly inode: number
  readonly changedAt: number
}

const NO_FILE: FileMark = { inode: 0, changedAt: 0 }

function markOfFile(path: string): FileMark {
  const found = statSync(path, { throwIfNoEntry: false })
  return found ? { inode: found.ino, changedAt: found.mtimeMs } : NO_FILE
}

/** What the registry knows of an open directory. Copies of the package share it, so its shape never changes. */
interface Entry {
  readonly path: string
  readonly inode: string
  readonly holder: LockHolder
}

/** Enters the directory for this process, synchronously. */
function register(dir: string, token: string, now: number): { self: LockHolder; leave(): void } {
  const { path, inode } = placeOf(dir)
  const self = describeSelf(inode, token, now)
  const registry = processRegistry()
  const byInode = registry.get(`inode ${inode}`)
  // LevelDB knows its open databases by path, so even a path that leads to another folder by now is refused.
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
 * True if the folder of `entry` was deleted while it was open, and its inode number given to `dir`: not if its path
 * still leads there, nor if it was renamed, and so brought its lock file along.
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
