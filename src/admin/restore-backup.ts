/**
 * `restoreBackup`: makes a store of a backup, in a directory that has none.
 *
 * - `holdfast.json` is written first, with the mark of a restore, and last, without it. Between the two, no open accepts
 *   the directory, and a second restore begins anew.
 * - The store gets an ID of its own. Keys of steps come from the IDs of the tasks, so they stay: a service that both stores
 *   call sees one key.
 * - The unfinished tasks are held until `recover()`, because the original may still be running.
 * - Records of the bindings' own are dropped: sessions, events and open requests of clients that have none here. Numbers of
 *   events would be given twice.
 */
import { mkdir, realpath, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { systemClock } from '../base/clock.js'
import { HoldfastError } from '../base/errors.js'
import { checkFlag, checkFunction, checkOptionsOf, expected, type Names } from '../base/expected.js'
import { createIds } from '../base/ids.js'
import { silentLogger } from '../base/logger.js'
import { writeBatch } from '../store/commit.js'
import { explain } from '../store/disk/damage.js'
import {
  ANCHOR_FILE,
  DATABASE_DIR,
  DIRECTORY_MODE,
  fsyncDirectory,
  IDENTITY_FILE,
  readIfPresent,
  writeFileAtomically,
} from '../store/disk/files.js'
import {
  FORMAT_VERSION,
  META_BUFFERED,
  META_FORMAT,
  META_LIFE,
  META_RECOVERY,
  type Operation,
} from '../store/disk/layout.js'
import { type Level, openClassicLevel } from '../store/disk/level.js'
import {
  DATABASE_ASIDE,
  type Identity,
  identityOperation,
  inspectDirectory,
  makeDirectory,
  unusableStore,
} from '../store/init.js'
import { Anchor } from '../store/integrity/anchor.js'
import { acquireLock } from '../store/lock/lock.js'
import { openingOperation } from '../store/opening-record.js'
import { readLiveHeads } from '../store/reads.js'
import { isSettled } from '../task/head.js'
import { partsOf, verifyBackup } from './read-backup.js'
import { type Finding, Findings } from './verify/findings.js'
import { verifyDatabase } from './verify/verify-database.js'

const OPERATIONS_PER_BATCH = 100
const BYTES_PER_BATCH = 1024 * 1024
const UNFINISHED_SHOWN_MAX = 100

/** The options of `restoreBackup`. */
export interface RestoreOptions {
  /** File of a backup. */
  readonly file: string
  /** Directory of the new store. It is made if it does not exist, and must be empty. */
  readonly dir: string
  /**
   * True to run the unfinished tasks at the next open of the server. Without it, they wait for `recover()`. Use it only if the
   * original does not run any more: two stores would run the same tasks under the same keys.
   * @default false
   */
  readonly start?: boolean | undefined
  /**
   * True to restore a backup that was made of a store with damage.
   * @default false
   */
  readonly acceptDamage?: boolean | undefined
  /** Receives the progress, now and then: the backup is checked, then written, then what was written is verified. */
  readonly onProgress?: ((progress: RestoreProgress) => void) | undefined
}

const RESTORE_OPTIONS: Names<RestoreOptions> = {
  file: true,
  dir: true,
  start: true,
  acceptDamage: true,
  onProgress: true,
}

/** Progress of a restore. */
export interface RestoreProgress {
  readonly phase: 'check' | 'write' | 'verify'
  /** Number of records in this phase. */
  readonly records: number
}

/** Result of a restore. */
export interface RestoreReport {
  /** ID of the new store. */
  readonly storeId: string
  readonly restoredFrom: { readonly storeId: string; readonly commit: number; readonly at: number }
  /** Number of records that were written. */
  readonly records: number
  /** Unfinished tasks, by type. They run after `recover()`, or at the next open with `start`. */
  readonly unfinished: Readonly<Record<string, number>>
  /** IDs of unfinished tasks, the oldest first: at most 100. */
  readonly unfinishedTaskIds: readonly string[]
  /** Findings of the verification of the new store, which only `acceptDamage` allows. */
  readonly findings: readonly Finding[]
}

/**
 * Makes a store of a backup.
 * @throws HoldfastError `BACKUP_INVALID` for a file that is no whole backup; `STORE_UNUSABLE` for a directory that is not
 *   empty or cannot be written; `STORE_LOCKED`; `STORE_DAMAGED` if the backup has damage. No store is made then.
 * @throws TypeError for options of the wrong type
 */
export async function restoreBackup(options: RestoreOptions): Promise<RestoreReport> {
  checkOptionsOf('restoreBackup', options, RESTORE_OPTIONS)
  const { file, dir: given, start = false, acceptDamage = false, onProgress } = options
  if (typeof given !== 'string' || given === '') throw expected('dir', 'a non-empty path', given)
  checkFlag('start', start)
  checkFlag('acceptDamage', acceptDamage)
  if (onProgress !== undefined) checkFunction('onProgress', onProgress)
  await assertFree(given)
  // The whole file is checked first. So a file that is no whole backup leaves nothing behind.
  const checked = ({ records }: { readonly records: number }) => onProgress?.({ phase: 'check', records })
  const { storeId: from, commit } = await verifyBackup({ file, onProgress: checked })
  await makeDirectory(given)
  const dir = await realpath(given)
  const ids = createIds()
  const at = systemClock.now()
  const lock = await acquireLock(dir, ids, at, 'operate')
  try {
    await assertFree(dir)
    const restoredFrom = { storeId: from, commit, at }
    const identity: Identity = { format: FORMAT_VERSION, storeId: ids.seed(), createdAt: at, restoredFrom }
    return await restore(dir, identity, { file, start, acceptDamage, onProgress })
  } finally {
    await lock.release()
  }
}

/** Checks that a store may be made in `dir`: there is none, or only one whose restore was interrupted. */
async function assertFree(dir: string): Promise<void> {
  const identity = await inspectDirectory(dir).catch((error: unknown) => {
    if (error instanceof HoldfastError && error.code === 'STORE_INCOMPLETE') return undefined
    throw error
  })
  const text = identity ?? (await readIfPresent(join(dir, IDENTITY_FILE)))
  const isInterrupted = typeof text === 'string' && /"restoring":true/.test(text)
  if (text === undefined || isInterrupted) return
  throw unusableStore(dir, 'there is a store in it; a restore never replaces one: name a new directory')
}

interface Settings extends Pick<RestoreOptions, 'onProgress'> {
  readonly file: string
  readonly start: boolean
  readonly acceptDamage: boolean
}

async function restore(dir: string, identity: Identity, settings: Settings): Promise<RestoreReport> {
  const { storeId, restoredFrom } = identity as Identity & { restoredFrom: RestoreReport['restoredFrom'] }
  const { acceptDamage } = settings
  const [identityFile, anchorFile] = [join(dir, IDENTITY_FILE), join(dir, ANCHOR_FILE)]
  const [aside, database] = [join(dir, DATABASE_ASIDE), join(dir, DATABASE_DIR)]
  const clear = async () => {
    for (const path of [aside, database, anchorFile]) await rm(path, { recursive: true, force: true })
  }
  try {
    await writeFileAtomically(identityFile, JSON.stringify({ ...identity, restoring: true }))
    await clear()
    await mkdir(aside, { mode: DIRECTORY_MODE })
    const records = await writeDatabase(aside, identity, settings)
    const { findings, ...unfinished } = await verifyWritten(aside, identity, settings)
    const [first] = findings
    if (first && !acceptDamage) {
      const message = `The backup has damage, so it was not restored: ${first.key}: ${first.message}. Use another backup, or \`acceptDamage: true\`.`
      throw new HoldfastError('STORE_DAMAGED', message, { details: { dir, findings: findings.slice(0, 20) } })
    }
    await fsyncDirectory(aside)
    const { commit: seq } = restoredFrom
    const anchor = await Anchor.open(anchorFile, {
      storeId,
      seq,
      durable: true,
      clock: systemClock,
      logger: silentLogger,
    })
    await anchor.close()
    await rename(aside, database)
    await fsyncDirectory(dir)
    await writeFileAtomically(identityFile, JSON.stringify(identity))
    return { storeId, restoredFrom, records, ...unfinished, findings }
  } catch (error) {
    await clear().catch(() => {})
    await rm(identityFile, { force: true }).catch(() => {})
    throw error instanceof HoldfastError ? error : unusableStore(dir, explain(error), error)
  }
}

/** Writes the records into a new database. Each batch is synced, so that the order of the writes holds. */
async function writeDatabase(path: string, identity: Identity, { file, start, onProgress }: Settings): Promise<number> {
  const level = await openClassicLevel(path, { create: true })
  try {
    let records = 0
    let batch: Operation[] = []
    let bytes = 0
    const flush = async () => {
      if (batch.length > 0) await writeBatch(level, batch, true)
      records += batch.length
      batch = []
      bytes = 0
      onProgress?.({ phase: 'write', records })
    }
    for await (const part of partsOf(file)) {
      if (part.kind !== 'records') continue
      for (const [key, value] of part.records) {
        if (isDropped(key)) continue
        batch.push({ key, value })
        bytes += value.length
        if (batch.length >= OPERATIONS_PER_BATCH || bytes >= BYTES_PER_BATCH) await flush()
      }
    }
    batch.push(...ownRecords(identity, start))
    await flush()
    return records
  } finally {
    await level.close()
  }
}

// Records of the original itself: its identity, its openings and its last recovery.
const META_DROPPED: readonly string[] = [META_FORMAT, META_LIFE, META_BUFFERED, META_RECOVERY]

function isDropped(key: string): boolean {
  return key.startsWith('binding/') || META_DROPPED.includes(key)
}

/** The records of the new store: its identity, and an opening that ended well. */
function ownRecords(identity: Identity, start: boolean): Operation[] {
  const { storeId, commit, at } = identity.restoredFrom as NonNullable<Identity['restoredFrom']>
  const origin = `the store was restored on ${new Date(at).toISOString()} from a backup of the store ${storeId}`
  const held = start ? undefined : `${origin}, which may still be running; call \`recover()\` if it is not`
  // The number of an opening is never used twice, because the heads have the ones that matter.
  const opening = { life: 0, closed: true, starts: 0, recovering: false, held }
  return [identityOperation(identity), openingOperation(opening, commit)]
}

/** Verifies what was written, after LevelDB was closed. */
async function verifyWritten(
  path: string,
  { storeId, restoredFrom }: Identity,
  { onProgress }: Settings,
): Promise<Pick<RestoreReport, 'findings' | 'unfinished' | 'unfinishedTaskIds'>> {
  const level: Level = await openClassicLevel(path, { create: false })
  try {
    const findings = new Findings()
    const progress = (records: number) => onProgress?.({ phase: 'verify', records })
    await verifyDatabase(level, { storeId, anchored: restoredFrom?.commit ?? 0 }, findings, progress)
    const { heads } = await readLiveHeads(level)
    const unfinished: Record<string, number> = {}
    const waiting = heads.filter(({ status }) => !isSettled(status))
    for (const { type } of waiting) unfinished[type] = (unfinished[type] ?? 0) + 1
    const unfinishedTaskIds = waiting.slice(0, UNFINISHED_SHOWN_MAX).map(({ taskId }) => taskId)
    return { findings: findings.list, unfinished, unfinishedTaskIds }
  } finally {
    await level.close()
  }
}
