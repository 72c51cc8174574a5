/**
 * Puts a repaired database in the place of the damaged one.
 *
 * swap-1. `holdfast.json` gets a mark first, and loses it last. Between the two, no open accepts the directory, and the next
 *   repair does what is left. Each step is done at most once, so a process may die after any of them.
 * swap-2. Nothing is deleted: the damaged database, the anchor and `holdfast.json` as they were, the report and the lost-found
 *   file are in one folder, `broken-<time>`. That folder is a store of its own, so it can be verified and moved back.
 */
import { existsSync } from 'node:fs'
import { readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { systemClock } from '../../base/clock.js'
import { silentLogger } from '../../base/logger.js'
import {
  ANCHOR_FILE,
  DATABASE_DIR,
  fsyncDirectory,
  IDENTITY_FILE,
  isMissing,
  writeFileAtomically,
} from '../../store/disk/files.js'
import type { Identity } from '../../store/init.js'
import { Anchor } from '../../store/integrity/anchor.js'

/** Name of the new database in the folder of a repair. */
export const NEW_DATABASE = 'new'
/** Name of the folder that becomes `broken-<time>`, in the folder of a repair. */
export const KEPT = 'kept'

/** An identity with the mark of a repair. */
export type RepairingIdentity = Identity & { readonly repairing: NonNullable<Identity['repairing']> }

/** The identity of a store whose repair was interrupted after the mark; `undefined` for any other. */
export async function readInterrupted(dir: string): Promise<RepairingIdentity | undefined> {
  try {
    const identity = JSON.parse(await readFile(join(dir, IDENTITY_FILE), 'utf8')) as Identity
    return identity.repairing ? (identity as RepairingIdentity) : undefined
  } catch {
    return undefined
  }
}

/** Marks the directory, and swaps. */
export async function swap(dir: string, identity: RepairingIdentity): Promise<void> {
  await writeFileAtomically(join(dir, IDENTITY_FILE), JSON.stringify(identity))
  await finishSwap(dir, identity)
}

/** Does what is left of a swap. */
export async function finishSwap(dir: string, { repairing, ...identity }: RepairingIdentity): Promise<void> {
  const work = join(dir, repairing.work)
  const kept = join(dir, repairing.kept)
  const database = join(dir, DATABASE_DIR)
  await moveIfThere(join(work, KEPT), kept)
  if (existsSync(join(work, NEW_DATABASE))) {
    await moveIfThere(database, join(kept, DATABASE_DIR))
    await fsyncDirectory(kept)
    await fsyncDirectory(dir)
    await rename(join(work, NEW_DATABASE), database)
  }
  await fsyncDirectory(dir)
  const anchor = await Anchor.open(join(dir, ANCHOR_FILE), {
    storeId: identity.storeId,
    seq: repairing.commit,
    durable: true,
    clock: systemClock,
    logger: silentLogger,
  })
  await anchor.close()
  await writeFileAtomically(join(dir, IDENTITY_FILE), JSON.stringify(identity))
  await rm(work, { recursive: true, force: true })
}

async function moveIfThere(from: string, to: string): Promise<void> {
  try {
    await rename(from, to)
  } catch (error) {
    if (!isMissing(error)) throw error
  }
}
