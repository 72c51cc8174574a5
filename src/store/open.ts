/**
 * Opens a store in a directory: inspects and locks the directory, creates or opens the database, and compares it with
 * the anchor.
 */
import { realpath, rmdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from '../base/clock.js'
import { HoldfastError } from '../base/errors.js'
import type { Ids } from '../base/ids.js'
import type { Logger } from '../base/logger.js'
import type { Purpose } from '../base/purpose.js'
import type { Durability } from '../task/head.js'
import { type Assessment, assess } from './assess.js'
import { readAuditEnd } from './audit.js'
import { writeBatch } from './commit.js'
import { removeLeftCopies } from './copies/linked-copy.js'
import { BoundedOpen, OPEN_MS_MAX } from './disk/bounded-open.js'
import { databaseBroken, explain, isBroken, storeDamaged } from './disk/damage.js'
import { ANCHOR_FILE, DATABASE_DIR } from './disk/files.js'
import type { Operation } from './disk/layout.js'
import { isLevelLocked, type Level, type OpenLevel, openClassicLevel } from './disk/level.js'
import { keepPrivate, protectDirectory } from './disk/permissions.js'
import { inTurn, runAll } from './disk/release-steps.js'
import { countOpening } from './files/short-openings.js'
import { checkOperable, createStore, inspectDirectory, makeDirectory, removeStore, unusableStore } from './init.js'
import { Anchor } from './integrity/anchor.js'
import { durabilityOperation } from './integrity/chain.js'
import { acquireLock, type DirectoryLock } from './lock/lock.js'
import { openWhenUnlocked } from './lock/lock-wait.js'
import { Store } from './store.js'
import { readCounters } from './totals.js'

/** Options of an open. */
export interface OpenStoreOptions {
  readonly dir: string
  readonly durability: Durability
  /** `behind`: the anchor lags by at most 256 commits or 100 ms. `each`: it is exact at every commit. */
  readonly anchor: 'behind' | 'each'
  readonly acceptDamage: boolean
  /** Longest time to wait while another process holds the directory, in milliseconds. Default 0. */
  readonly lockWaitMs?: number | undefined
  /**
   * With `operate`, the store must exist and belong to the user of this process. An opening to operate changes nothing
   * by itself.
   * @default 'serve'
   */
  readonly purpose?: Purpose | undefined
  readonly clock: Clock
  readonly ids: Ids
  readonly logger: Logger
  readonly openLevel?: OpenLevel | undefined
}

/**
 * Opens the store in `dir`, or creates one there.
 * @throws HoldfastError `STORE_LOCKED`, `STORE_UNUSABLE`, `STORE_TOO_NEW`, `STORE_TOO_OLD`, `STORE_MOVED`, `STORE_DAMAGED`;
 * to operate also
 * `STORE_NOT_FOUND` and `STORE_OF_ANOTHER_USER`. Nothing was changed.
 */
export function openStore(options: OpenStoreOptions): Promise<Store> {
  return openWhenUnlocked(() => openOnce(options), options)
}

async function openOnce(options: OpenStoreOptions): Promise<Store> {
  const { clock, ids, purpose } = options
  const present = await inspectDirectory(options.dir)
  if (purpose === 'operate') await checkOperable(options.dir, present)
  const made = await makeDirectory(options.dir)
  // Two paths of one directory (a symbolic link, `..`) must become one name. LevelDB would open the same files twice
  // under two names.
  const dir = await realpath(options.dir)
  await untilEnded(dir, clock)
  let lock: DirectoryLock
  try {
    lock = await acquireLock(dir, ids, clock.now(), purpose)
  } catch (error) {
    for (const folder of made) await rmdir(folder).catch(() => {})
    throw error instanceof HoldfastError ? error : unusableStore(dir, explain(error), error)
  }
  const bounded = new BoundedOpen(options.openLevel ?? openClassicLevel, clock)
  const release = () => releaseAfter(dir, bounded.ending, lock)
  const undo: (() => unknown)[] = [release]
  try {
    return await openLocked(dir, options, { lock, openLevel: bounded.open, release }, undo)
  } catch (error) {
    // The caller receives the cause of the failed open, even if the release fails too.
    await runAll(undo.toReversed())
    for (const folder of made) await rmdir(folder).catch(() => {})
    throw refusalOf(dir, error)
  }
}

function refusalOf(dir: string, error: unknown): HoldfastError {
  if (error instanceof HoldfastError) return error
  return isBroken(error) ? databaseBroken(error, dir) : unusableStore(dir, explain(error), error)
}

/** Directories with an abandoned open that has not ended yet. */
const ending = new Map<string, Promise<void>>()

/** Releases the directory: at once, or when an abandoned open of its database has ended (bounded-open-1). */
async function releaseAfter(dir: string, opening: Promise<void> | undefined, lock: DirectoryLock): Promise<void> {
  if (!opening) return lock.release()
  const released = opening
    .then(() => lock.release())
    .catch(() => {})
    .finally(() => ending.delete(dir))
  ending.set(dir, released)
}

/**
 * Waits for the end of an abandoned open, at most as long as an open may take.
 * @throws HoldfastError
 */
async function untilEnded(dir: string, clock: Clock): Promise<void> {
  const before = ending.get(dir)
  if (!before) return
  let disarm = () => {}
  const late = new Promise<'late'>((resolve) => {
    disarm = clock.setTimer(clock.now() + OPEN_MS_MAX, () => resolve('late'), { elapsed: true })
  })
  const end = await Promise.race([before, late])
  disarm()
  if (end === 'late') throw unusableStore(dir, 'an earlier open of its database was given up and has not ended yet')
}

/** A locked directory, with the functions that open its database and release it. */
interface Locked {
  readonly lock: DirectoryLock
  readonly openLevel: OpenLevel
  readonly release: () => Promise<void>
}

async function openLocked(
  dir: string,
  options: OpenStoreOptions,
  { lock, openLevel, release: releaseLock }: Locked,
  undo: (() => unknown)[],
): Promise<Store> {
  const { clock, ids, logger, durability, purpose } = options
  // The directory is inspected again, because from here on no other process can create a store in it.
  const found = await inspectDirectory(dir)
  if (purpose === 'operate') await checkOperable(dir, found)
  // A new store that cannot be opened is removed again.
  if (!found) undo.push(() => removeStore(dir))
  await protectDirectory(dir, !found, logger)
  await removeLeftCopies(dir, lock.holder)
  const identity = found ?? (await createStore(dir, openLevel, ids, clock.now()))
  const databaseDir = join(dir, DATABASE_DIR)
  const anchorFile = join(dir, ANCHOR_FILE)
  const assertHeld = () => lock.assertHeld()
  const counted = await countOpening(dir, { clock, logger, counts: purpose !== 'operate', assertHeld })
  undo.push(counted.end)

  // The kernel's lock on the database comes second. After that, the lock file is checked again (lock-6, lock-7). This
  // order holds before the first write on every handle, also on the one that follows a failed write.
  const openHeld = async (look: () => Promise<void> | void) => {
    const level = await openUnlocked(() => openLevel(databaseDir, { create: false }))
    try {
      await look()
      return level
    } catch (error) {
      await level.close()
      throw error
    }
  }
  const reopen = async () => {
    // LevelDB changes files when it opens them. By now they may belong to another process.
    assertHeld()
    return openHeld(assertHeld)
  }
  const level: Level = await openHeld(() => lock.confirm()).catch((cause: unknown) => {
    if (cause instanceof HoldfastError) throw cause
    throw isLevelLocked(cause) ? lockedByLevel(dir, cause) : refusalOf(dir, cause)
  })
  undo.push(() => level.close())
  const assessment = await assess(dir, level, identity, anchorFile)
  const { newest, damage } = assessment
  const repairs = damage === undefined ? [] : acceptedRepairs(dir, assessment, options)
  const noted = purpose === 'operate' ? undefined : await durabilityOperation(level, newest, durability === 'synced')
  const notes = [...repairs, ...(noted ? [noted] : [])]
  if (notes.length > 0) await writeBatch(level, notes, true)

  const stopWatching = await keepPrivate(databaseDir)
  undo.push(stopWatching)
  const anchor = await Anchor.open(anchorFile, {
    storeId: identity.storeId,
    seq: newest,
    durable: durability === 'synced',
    clock,
    logger,
  })
  const release = () => inTurn([stopWatching, counted.end, releaseLock])
  const anchorEach = options.anchor === 'each'
  const counters = await readCounters(level, logger)
  const auditEnd = await readAuditEnd(level, logger)
  const parts = {
    level,
    reopen,
    assertHeld,
    anchor,
    anchorEach,
    newest,
    counters,
    auditEnd,
    damage,
    durability,
    clock,
    logger,
    release,
    directory: { dir, storeId: identity.storeId, holder: lock.holder },
  }
  return new Store(parts)
}

/**
 * Operations to write once the damage is accepted.
 * @throws HoldfastError `STORE_DAMAGED` if it is not accepted
 */
function acceptedRepairs(
  dir: string,
  { damage = '', isBuffered, newest, repairs }: Assessment,
  { acceptDamage, logger }: OpenStoreOptions,
): readonly Operation[] {
  // A power cut may remove the end of a buffered store. Its option allows that, so the open continues.
  if (!acceptDamage && !isBuffered) throw storeDamaged(dir, damage)
  const reason = acceptDamage ? '`acceptDamage` is true' : 'nothing of it was synced'
  logger.error('Damage of the store was accepted. The store continues without what is missing.', {
    dir,
    damage,
    newest,
    reason,
  })
  return repairs
}

const PROBED_MS_MAX = 1_000
const PROBED_RETRY_MS = 20

/**
 * Opens the database. Retries for a moment, because another process may be probing the lock before its own open is
 * refused.
 */
async function openUnlocked(open: () => Promise<Level>): Promise<Level> {
  for (let waited = 0; ; waited += PROBED_RETRY_MS) {
    try {
      return await open()
    } catch (error) {
      if (!isLevelLocked(error) || waited >= PROBED_MS_MAX) throw error
      await new Promise((resolve) => setTimeout(resolve, PROBED_RETRY_MS))
    }
  }
}

function lockedByLevel(dir: string, cause: unknown): HoldfastError {
  return new HoldfastError(
    'STORE_LOCKED',
    `The store ${dir} is held by another process that left no lock file of its own. Close it, or use another directory.`,
    { cause, details: { dir } },
  )
}
