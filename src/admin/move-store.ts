/**
 * The move of a store into a backup: the backup is made of the closed database, and then the store is closed to every later
 * open.
 *
 * move-store-1. This process holds the directory from the last commit until the mark is in `holdfast.json`. So nothing is
 *   acknowledged that the backup lacks.
 * move-store-2. The mark is written once the backup is whole under its own name. So a kill leaves a store that opens, perhaps
 *   with a whole backup beside it: then the store counts.
 * move-store-3. A mark that may or may not be on disk leaves the backup, since the store may be closed. No other failure does.
 */
import { readFile, rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { systemClock } from '../base/clock.js'
import { engineOf } from '../engine/recovery/open-engines.js'
import { explain } from '../store/disk/damage.js'
import { IDENTITY_FILE, writeFileAtomically } from '../store/disk/files.js'
import type { Identity } from '../store/init.js'
import type { StoreCopy } from '../store/store.js'
import { copyOfLocked, existing, type LockedDirectory, withDirectory } from './source.js'
import { assertFreeName, backupFailed, wholeFile } from './whole-file.js'

/** Writes a backup of a copy into a file. */
type WriteBackup<T> = (copy: StoreCopy, partial: string) => Promise<T>

/**
 * Moves a store that no process has open into a backup.
 * @throws HoldfastError `BACKUP_FAILED`; as `withDirectory`; as `write`
 */
export function moveDirectory<T>(dir: string, file: string, write: WriteBackup<T>): Promise<T> {
  return withDirectory(dir, (locked) => moveLocked(locked, file, write))
}

/**
 * Closes a `Holdfast`, and moves its store into a backup. It is closed after a failure too.
 * @throws HoldfastError `BACKUP_FAILED`, `CLOSED`; as `write`
 * @throws TypeError for one in memory
 */
export async function moveOpen<T>(holdfast: object, file: string, write: WriteBackup<T>): Promise<T> {
  const engine = engineOf(holdfast)
  const { store } = engine
  engine.assertOpen()
  const { directory } = store
  if (!directory) throw new TypeError('Expected a store on disk: a store in memory has no files to copy')
  assertFreeName(file)
  const { dir, holder } = directory
  const move = async () => {
    store.connection.assertHeld()
    return moveLocked({ dir, identity: await existing(dir), lock: { holder } }, file, write)
  }
  let moving: Promise<T> | undefined
  store.onClosed = () => {
    moving = move()
    // A move that failed is no fault of the close.
    return moving.catch(() => {})
  }
  const unclosed = await (holdfast as { close(): Promise<void> }).close().then(
    () => undefined,
    (error: unknown) => error,
  )
  if (!moving) throw backupFailed(`the store could not be closed: ${explain(unclosed)}`, unclosed)
  const moved = await moving
  engine.logger.info('The store was moved into a backup, and accepts no further open.', { file: resolve(file) })
  return moved
}

async function moveLocked<T>(
  locked: Pick<LockedDirectory, 'dir' | 'identity'> & { readonly lock: Pick<LockedDirectory['lock'], 'holder'> },
  file: string,
  write: WriteBackup<T>,
): Promise<T> {
  const copy = await copyOfLocked(locked)
  try {
    const written = await wholeFile(file, (partial) => write(copy, partial))
    await closeToOpens(locked, resolve(file))
    return written
  } finally {
    await copy.remove()
  }
}

/** Writes the mark. @throws HoldfastError `BACKUP_FAILED` */
async function closeToOpens({ dir, identity }: Pick<LockedDirectory, 'dir' | 'identity'>, file: string): Promise<void> {
  const path = join(dir, IDENTITY_FILE)
  const moved: Identity = { ...identity, moved: { at: systemClock.now(), file } }
  try {
    await writeFileAtomically(path, JSON.stringify(moved))
  } catch (error) {
    const text = await readFile(path, 'utf8').catch(() => '')
    const isUnmarked = text === JSON.stringify(identity)
    if (isUnmarked) await rm(file, { force: true })
    const state = isUnmarked
      ? 'The store can be opened as before'
      : `The backup ${file} is whole, and the store ${dir} may be closed to opens; use one of the two`
    throw backupFailed(`the store could not be closed to later opens: ${explain(error)}. ${state}`, error)
  }
}
