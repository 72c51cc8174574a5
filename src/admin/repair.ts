/**
 * `repair`: makes a store sound again, from what is whole of it.
 *
 * - The damaged database is only read. A process of low priority makes a new one, repairs and verifies it. Then the new one takes
 *   its place (repair/swap.ts), and the old one is kept.
 * - Until the swap, nothing of the store changes. So a repair that fails, or whose process dies, leaves the store as it was.
 */
import { copyFile, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { systemClock } from '../base/clock.js'
import { durationMs } from '../base/duration.js'
import { HoldfastError } from '../base/errors.js'
import { checkFlag, checkFunction, checkOptionsOf, expected, type Names } from '../base/expected.js'
import { createIds } from '../base/ids.js'
import { FOLDER_PREFIX, OWNER_FILE } from '../store/copies/linked-copy.js'
import { explain } from '../store/disk/damage.js'
import {
  ANCHOR_FILE,
  DATABASE_DIR,
  DIRECTORY_MODE,
  FILE_MODE,
  fsyncDirectory,
  IDENTITY_FILE,
  isMissing,
} from '../store/disk/files.js'
import { checkOperable, type Identity } from '../store/init.js'
import type { JobEnd, JobProgress } from './job.js'
import type { RepairChange, RepairedDatabase } from './repair/changes.js'
import type { RepairJob } from './repair/run-repair.js'
import { finishSwap, KEPT, NEW_DATABASE, type RepairingIdentity, readInterrupted, swap } from './repair/swap.js'
import { runJob } from './run-job.js'
import { copyOfLocked, existing, type LockedDirectory, withDirectory } from './source.js'
import type { Finding, FindingCode } from './verify/findings.js'
import { checkSignal, type VerifyReport, verifyCopy } from './verify.js'

/** The options of `repair`. */
export interface RepairOptions {
  /** Directory of a store that no process has open. */
  readonly dir: string
  /**
   * True to run the unfinished tasks at the next open of the server, also if they may be older than they were. Without it, they
   * then wait for `recover()`.
   * @default false
   */
  readonly start?: boolean | undefined
  /** Receives the progress, now and then. */
  readonly onProgress?: ((progress: JobProgress) => void) | undefined
  /** Signal that ends the repair before the swap. Then it rejects with the reason of the signal. */
  readonly signal?: AbortSignal | undefined
}

const REPAIR_OPTIONS: Names<RepairOptions> = { dir: true, start: true, onProgress: true, signal: true }

/** Result of a repair. */
export interface RepairReport {
  readonly storeId: string
  /** False if nothing was found, so that nothing was changed. */
  readonly isChanged: boolean
  /** True if nothing was lost. */
  readonly isWhole: boolean
  /** Findings of the verification before the repair: the first 1,000. */
  readonly findings: readonly Finding[]
  /** Number of findings of each kind. */
  readonly findingCounts: Readonly<Partial<Record<FindingCode, number>>>
  /** The changes: the first 1,000, those with a loss before the others. */
  readonly changes: readonly RepairChange[]
  /** Number of changes with a loss, and of those that made something anew. */
  readonly counts: { readonly lost: number; readonly madeAnew: number }
  /** IDs of the tasks that were unfinished and have failed with `RECORD_DAMAGED`: the first 1,000. */
  readonly failedTaskIds: readonly string[]
  /** Number of these tasks. */
  readonly failedTasks: number
  /** Number of unfinished tasks after the repair. */
  readonly unfinished: number
  /** Reason for which the unfinished tasks wait for `recover()`; `undefined` if they do not. */
  readonly held: string | undefined
  /** Number of records in the lost-found file. */
  readonly lostFound: number
  /** Folder with the store as it was, the lost-found file and this report; `undefined` if nothing was changed. */
  readonly keptIn: string | undefined
}

const REPORT_FILE = 'repair-report.json'
const LOST_FOUND_FILE = 'lost-found.jsonl'
// The time for which a server keeps idempotency keys, if it has no option for that.
const KEY_RETENTION_MS = durationMs('7d', 'idempotencyRetention')

/**
 * Repairs a store. What is whole is kept. What follows from other records is made anew. What is lost is reported, and tasks that
 * lost records have failed with `RECORD_DAMAGED`. The store as it was is kept in a folder of the directory.
 * @throws HoldfastError `REPAIR_FAILED`, such as for a full disk: the store is as it was. `STORE_LOCKED`, `STORE_NOT_FOUND`,
 *   `STORE_OF_ANOTHER_USER`, `STORE_UNUSABLE`, `STORE_TOO_NEW`, `STORE_TOO_OLD`, `STORE_MOVED`, `STORE_INCOMPLETE` after a restore that was
 *   interrupted, `STORE_DAMAGED` if there is no database to repair
 * @throws TypeError for options of the wrong type
 */
export async function repair(options: RepairOptions): Promise<RepairReport> {
  checkOptionsOf('repair', options, REPAIR_OPTIONS)
  const { dir, start = false, onProgress, signal } = options
  if (typeof dir !== 'string' || dir === '') throw expected('dir', 'a non-empty path', dir)
  checkFlag('start', start)
  if (onProgress !== undefined) checkFunction('onProgress', onProgress)
  checkSignal(signal)
  return withDirectory(
    dir,
    async (locked) => {
      try {
        return await repairLocked(locked, { start, onProgress, signal })
      } catch (error) {
        throw repairFailed(locked.dir, error, signal)
      }
    },
    identify,
  )
}

/** The identity of a store to repair, also of one whose repair was interrupted. */
async function identify(dir: string): Promise<Identity> {
  const interrupted = await readInterrupted(dir)
  if (!interrupted) return existing(dir)
  await checkOperable(dir, interrupted)
  return interrupted
}

interface Settings extends Pick<RepairOptions, 'onProgress' | 'signal'> {
  readonly start: boolean
}

async function repairLocked(locked: LockedDirectory, settings: Settings): Promise<RepairReport> {
  const { dir, identity } = locked
  const { repairing } = identity
  if (repairing) {
    await finishSwap(dir, identity as RepairingIdentity)
    return JSON.parse(await readFile(join(dir, repairing.kept, REPORT_FILE), 'utf8')) as RepairReport
  }
  const { verification, anchored } = await verifyLocked(locked, settings)
  if (verification.isSound) return reportOf(identity, verification, undefined, undefined)
  const work = join(dir, FOLDER_PREFIX + createIds().seed())
  try {
    await mkdir(join(work, KEPT), { recursive: true, mode: DIRECTORY_MODE })
    // The next opening removes the folder if this process dies.
    await writeFile(join(work, OWNER_FILE), JSON.stringify(locked.lock.holder), { mode: FILE_MODE })
    const now = systemClock.now()
    const repaired = await makeDatabase(locked, { work, now, anchored, verification }, settings)
    const kept = `broken-${new Date(now).toISOString().replaceAll(/[-:]|\.\d+/g, '')}`
    const report = reportOf(identity, verification, repaired, join(dir, kept))
    await writeFile(join(work, KEPT, REPORT_FILE), `${JSON.stringify(report, null, 2)}\n`, { mode: FILE_MODE })
    for (const name of [IDENTITY_FILE, ANCHOR_FILE]) await copyIfThere(join(dir, name), join(work, KEPT, name))
    await fsyncDirectory(join(work, KEPT))
    await fsyncDirectory(work)
    settings.signal?.throwIfAborted()
    const { commit } = repaired
    await swap(dir, { ...identity, repairing: { work: work.slice(dir.length + 1), kept, commit } })
    return report
  } catch (error) {
    // After the mark, the next repair does the rest, and needs the folder.
    if (!(await readInterrupted(dir))) await rm(work, { recursive: true, force: true }).catch(() => {})
    throw error
  }
}

async function verifyLocked(
  locked: LockedDirectory,
  settings: Settings,
): Promise<{ verification: VerifyReport; anchored: number }> {
  const copy = await copyOfLocked(locked)
  try {
    return { verification: await verifyCopy(copy, settings), anchored: copy.anchored }
  } finally {
    await copy.remove()
  }
}

interface Making {
  readonly work: string
  readonly now: number
  readonly anchored: number
  readonly verification: VerifyReport
}

/** Makes, repairs and verifies the new database. */
async function makeDatabase(locked: LockedDirectory, making: Making, settings: Settings): Promise<RepairedDatabase> {
  const { work, anchored, verification } = making
  const { storeId } = locked.identity
  const { findingCounts: counts, commit } = verification
  const isReadable =
    commit !== undefined && !counts.TABLE_DAMAGED && !counts.LOG_FILE_DAMAGED && !counts.DATABASE_UNREADABLE
  const path = join(work, NEW_DATABASE)
  const lostFoundFile = join(work, KEPT, LOST_FOUND_FILE)
  const { identity, dir } = locked
  const { now } = making
  const repairJob: RepairJob = {
    identity,
    anchored,
    now,
    retentionMs: KEY_RETENTION_MS,
    start: settings.start,
    lostFoundFile,
  }
  const salvage = { from: [join(dir, DATABASE_DIR)], scratch: join(work, 'scratch') }
  const run = (job: RepairJob) => runJob({ databaseDir: path, storeId, anchored, repair: job }, settings)
  let end: JobEnd | undefined
  if (isReadable) {
    const copy = await copyOfLocked(locked)
    await rename(copy.path, path)
    await rm(join(path, OWNER_FILE), { force: true })
    end = await run(repairJob)
    if (end.kind === 'crashed')
      for (const left of [path, lostFoundFile]) await rm(left, { recursive: true, force: true })
  }
  // LevelDB may abort at damage that fits the checksums. The salvage does not use it to read.
  if (!end || end.kind === 'crashed') end = await run({ ...repairJob, salvage })
  if (end.kind === 'failed') throw new Error(end.message)
  if (end.kind === 'crashed') throw new Error(`LevelDB ended the process that repaired the copy (${end.how})`)
  return end.repaired as RepairedDatabase
}

function reportOf(
  { storeId }: Identity,
  { findings, findingCounts }: VerifyReport,
  repaired: RepairedDatabase | undefined,
  keptIn: string | undefined,
): RepairReport {
  const { changes = [], counts = { lost: 0, madeAnew: 0 }, failedTaskIds = [], failedTasks = 0 } = repaired ?? {}
  const { unfinished = 0, held, lostFound = 0 } = repaired ?? {}
  return {
    storeId,
    isChanged: repaired !== undefined,
    isWhole: counts.lost === 0,
    findings,
    findingCounts,
    changes,
    counts,
    failedTaskIds,
    failedTasks,
    unfinished,
    held,
    lostFound,
    keptIn,
  }
}

async function copyIfThere(from: string, to: string): Promise<void> {
  await copyFile(from, to).catch((error: unknown) => {
    if (!isMissing(error)) throw error
  })
}

function repairFailed(dir: string, error: unknown, signal: AbortSignal | undefined): unknown {
  if (signal?.aborted || (error instanceof HoldfastError && error.code !== 'BACKUP_FAILED')) return error
  const reason = explain(error)
  return new HoldfastError(
    'REPAIR_FAILED',
    `The store ${dir} could not be repaired: ${reason}. The store is as it was. A repair needs room for two copies of it.`,
    { cause: error, details: { dir, reason } },
  )
}
