/**
 * `createBackup`: a consistent copy of a store in one file, while its tasks run.
 *
 * - The files of the database are linked, which takes the holder some milliseconds. The rest is done by a process of low
 *   priority: it verifies every record of the links, and writes the file.
 */
import { readFileSync } from 'node:fs'
import { systemClock } from '../base/clock.js'
import { HoldfastError } from '../base/errors.js'
import { checkFlag, checkFunction, checkOptionsOf, expected, type Names } from '../base/expected.js'
import { FORMAT_VERSION } from '../store/disk/layout.js'
import type { StoreCopy } from '../store/store.js'
import { BACKUP_VERSION } from './backup-format.js'
import type { BackupFooter, BackupStream } from './backup-parts.js'
import type { JobEnd, JobProgress } from './job.js'
import { moveDirectory, moveOpen } from './move-store.js'
import { intoOutput, runInto } from './run-job.js'
import { checkSignal, checkSource, copyOf, reportOf, type VerifyReport } from './verify.js'
import { backupFailed } from './whole-file.js'

/** The options of `createBackup`. */
export interface BackupOptions {
  /** Directory of a store that no process has open. Either `dir` or `holdfast` is given. */
  readonly dir?: string | undefined
  /** The open `Holdfast` whose store is copied, while its tasks run. */
  readonly holdfast?: object | undefined
  /** File to write. It must not exist. Either `file` or `stream` is given. */
  readonly file?: string | undefined
  /** Receives the backup. It is ended after the last byte, and destroyed if the backup fails. */
  readonly stream?: BackupStream | undefined
  /**
   * True to move the store: its `holdfast.json` closes it to every later open (`STORE_MOVED`), in the moment of the copy.
   * A `holdfast` is closed first, and stays closed after a failure too. Needs `file`.
   * @default false
   */
  readonly move?: boolean | undefined
  /**
   * True to make a backup of a store with damage too. Without it, damage is a refusal, so that a backup never replaces a
   * better one.
   * @default false
   */
  readonly acceptDamage?: boolean | undefined
  /** Receives the progress, now and then. */
  readonly onProgress?: ((progress: JobProgress) => void) | undefined
  /** Signal that ends the backup. Then it rejects with the reason of the signal. */
  readonly signal?: AbortSignal | undefined
}

const BACKUP_OPTIONS: Names<BackupOptions> = {
  dir: true,
  holdfast: true,
  file: true,
  stream: true,
  move: true,
  acceptDamage: true,
  onProgress: true,
  signal: true,
}

/** A backup that was made. */
export interface BackupReport extends BackupFooter {
  readonly storeId: string
  /** Instant of the copy, in milliseconds since the epoch. */
  readonly createdAt: number
  /** The verification of the copy that was backed up. */
  readonly verification: VerifyReport
}

/**
 * Makes a backup of a store in one file. Every commit that was acknowledged before the call is in it.
 * @throws HoldfastError `STORE_DAMAGED` if the store has damage, with the findings in `details`; `BACKUP_FAILED` if the file
 *   cannot be written or exists; `STORE_MOVED`, `STORE_LOCKED`, `STORE_NOT_FOUND`, `STORE_OF_ANOTHER_USER`, `STORE_UNUSABLE`,
 *   `STORE_UNAVAILABLE`, `CLOSED`. No file is left then.
 * @throws TypeError for options of the wrong type
 */
export async function createBackup(options: BackupOptions): Promise<BackupReport> {
  checkOptionsOf('createBackup', options, BACKUP_OPTIONS)
  const { file, stream, move = false, acceptDamage = false, onProgress, signal } = options
  checkFlag('move', move)
  checkFlag('acceptDamage', acceptDamage)
  if (onProgress !== undefined) checkFunction('onProgress', onProgress)
  checkSignal(signal)
  const make = async (partial: string | undefined) => {
    const copy = await copyOf('createBackup', options)
    try {
      return await write(copy, { partial, stream, acceptDamage, onProgress, signal })
    } finally {
      await copy.remove()
    }
  }
  if (!move) return intoOutput('createBackup', { file, stream }, make, backupFailed)
  if (file === undefined || stream !== undefined) {
    throw new TypeError('Expected `move` with `file`: a store is moved once the whole file is on disk')
  }
  if (typeof file !== 'string' || file === '') throw expected('file', 'a non-empty path', file)
  const { dir, holdfast } = checkSource('createBackup', options)
  const moving = (copy: StoreCopy, partial: string) =>
    write(copy, { partial, stream: undefined, acceptDamage, onProgress, signal })
  return holdfast === undefined ? moveDirectory(dir, file, moving) : moveOpen(holdfast, file, moving)
}

interface Output extends Pick<BackupOptions, 'stream' | 'onProgress' | 'signal'> {
  /** File to write, which gets its name at the end; `undefined` for a stream. */
  readonly partial: string | undefined
  readonly acceptDamage: boolean
}

async function write(copy: StoreCopy, { partial, stream, acceptDamage, ...options }: Output): Promise<BackupReport> {
  const { path: databaseDir, storeId, anchored } = copy
  const createdAt = systemClock.now()
  const header = { backup: BACKUP_VERSION, format: FORMAT_VERSION, storeId, createdAt, version: packageVersion() }
  const job = { databaseDir, storeId, anchored, backup: { file: partial ?? null, header, acceptDamage } }
  const isWhole = (end: JobEnd) => end.kind === 'done' && end.footer !== undefined
  const end = await runInto(job, stream, options, { isWhole, failed: backupFailed })
  if (end.kind === 'failed') throw backupFailed(end.message)
  const verification = reportOf(storeId, end)
  if (end.kind !== 'done' || !end.footer) throw refusedFor(verification)
  return { ...end.footer, storeId, createdAt, verification }
}

function refusedFor({ findings, findingCounts, storeId }: VerifyReport): HoldfastError {
  const [first] = findings
  const count = Object.values(findingCounts).reduce((sum, one) => sum + one, 0)
  const what = first ? `${first.key}: ${first.message}` : 'its database cannot be read'
  const more = count > 1 ? `, and ${count - 1} more findings` : ''
  return new HoldfastError(
    'STORE_DAMAGED',
    `The store is damaged, so no backup was made: ${what}${more}. Keep the last good backup, and see \`verify\`; \`acceptDamage: true\` makes a backup with the damage.`,
    { details: { storeId, findings: findings.slice(0, 20), findingCounts } },
  )
}

/** Version of this package, whose code may be in a folder of dist or in dist itself. */
export function packageVersion(): string {
  for (const place of ['../../package.json', '../package.json']) {
    try {
      const { name, version } = JSON.parse(readFileSync(new URL(place, import.meta.url), 'utf8')) as {
        name?: unknown
        version?: unknown
      }
      if (name === 'holdfast') return String(version)
    } catch {
      // There is no package file in this place.
    }
  }
  return 'unknown'
}
