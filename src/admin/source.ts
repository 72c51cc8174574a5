/**
 * Where a verification or a backup reads from: a linked copy of a store that no process has open, or of the store of this
 * process. A directory is locked only while its files are linked, so a server can start meanwhile.
 */
import { realpath } from 'node:fs/promises'
import { join } from 'node:path'
import { systemClock } from '../base/clock.js'
import { HoldfastError } from '../base/errors.js'
import { createIds } from '../base/ids.js'
import { silentLogger } from '../base/logger.js'
import { engineOf } from '../engine/recovery/open-engines.js'
import { anchorDamageOf } from '../store/assess.js'
import { linkDatabase } from '../store/copies/linked-copy.js'
import { explain } from '../store/disk/damage.js'
import { ANCHOR_FILE } from '../store/disk/files.js'
import { checkOperable, type Identity, inspectDirectory } from '../store/init.js'
import { readAnchor } from '../store/integrity/anchor.js'
import { acquireLock, type DirectoryLock } from '../store/lock/lock.js'
import { openWhenUnlocked } from '../store/lock/lock-wait.js'
import type { StoreCopy } from '../store/store.js'

/** A store directory that this process has locked. */
export interface LockedDirectory {
  /** Real path of the directory. */
  readonly dir: string
  readonly identity: Identity
  readonly lock: DirectoryLock
}

/**
 * Runs `act` while this process holds the directory, as a command does.
 * @param identify reads the identity of the store in a directory
 * @throws HoldfastError `STORE_LOCKED` if a process has the store open; `STORE_NOT_FOUND`, `STORE_OF_ANOTHER_USER`
 */
export async function withDirectory<T>(
  given: string,
  act: (locked: LockedDirectory) => Promise<T>,
  identify: (dir: string) => Promise<Identity> = existing,
): Promise<T> {
  await identify(given)
  const dir = await realpath(given)
  const ids = createIds()
  const lock = await openWhenUnlocked(() => acquireLock(dir, ids, systemClock.now(), 'operate'), {
    clock: systemClock,
    logger: silentLogger,
  })
  try {
    return await act({ dir, identity: await identify(dir), lock })
  } finally {
    await lock.release()
  }
}

/** The identity of an existing store. @throws HoldfastError as `withDirectory` */
export async function existing(dir: string): Promise<Identity> {
  const identity = await inspectDirectory(dir)
  await checkOperable(dir, identity)
  return identity as Identity
}

/** Makes a copy of a store that this process has locked. */
export async function copyOfLocked({
  dir,
  identity,
  lock,
}: Pick<LockedDirectory, 'dir' | 'identity'> & { readonly lock: Pick<DirectoryLock, 'holder'> }): Promise<StoreCopy> {
  const { storeId } = identity
  const anchor = await readAnchor(join(dir, ANCHOR_FILE))
  const anchored = anchor.kind === 'sound' && anchor.storeId === storeId ? anchor.seq : 0
  const copy = await linking(dir, () => linkDatabase(dir, { ...lock.holder, token: createIds().seed() }))
  return { ...copy, storeId, anchored, anchorDamage: anchorDamageOf(anchor, storeId, 1) }
}

/** Makes a copy of a store that no process has open. The directory is free again after that. */
export function copyOfDirectory(dir: string): Promise<StoreCopy> {
  return withDirectory(dir, copyOfLocked)
}

/** Makes a copy of the store of an open `Holdfast`. @throws TypeError for one in memory */
export function copyOfOpen(holdfast: object): Promise<StoreCopy> {
  const { store, ids } = engineOf(holdfast)
  return linking(store.dir ?? '', () => store.linkedCopy(ids.seed()))
}

async function linking<T>(dir: string, link: () => Promise<T>): Promise<T> {
  try {
    return await link()
  } catch (error) {
    if (error instanceof HoldfastError || error instanceof TypeError) throw error
    throw new HoldfastError('BACKUP_FAILED', `The files of the store ${dir} could not be copied: ${explain(error)}`, {
      cause: error,
      details: { dir },
    })
  }
}
