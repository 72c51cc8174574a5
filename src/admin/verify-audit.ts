/** `verifyAudit`: the hash chain of the audit, of a store or of an exported file. */

import { instantOf } from '../base/duration.js'
import { HoldfastError } from '../base/errors.js'
import { checkFunction, checkOptionsOf, expected, type Names } from '../base/expected.js'
import { readAuditHead } from './audit/audit-head.js'
import type { AuditChecked, AuditJob } from './audit/audit-job.js'
import { checkAuditFile } from './audit/check-file.js'
import type { JobEnd, JobProgress } from './job.js'
import { runJob } from './run-job.js'
import { type AuditHead, isAuditHead } from './verify/audit-chain.js'
import { checkSignal, copyOf } from './verify.js'
import type { Failed } from './whole-file.js'

/** The options of `verifyAudit`. */
export interface VerifyAuditOptions {
  /** Directory of a store that no process has open. Exactly one of `dir`, `holdfast` and `file` is given. */
  readonly dir?: string | undefined
  /** The open `Holdfast` whose audit is verified, while its tasks run. */
  readonly holdfast?: object | undefined
  /** An exported audit. Its store is not needed. */
  readonly file?: string | undefined
  /**
   * Head that was exported before: an object, its text `<commit>:<hash>`, or the name of a file that has one, such as an
   * exported audit. With it, every change and every cut up to its commit is found.
   * @default none: entries that were cut off at the end are not found, nor is an audit all of whose hashes were computed anew
   */
  readonly head?: AuditHead | string | undefined
  /**
   * Instant since which all entries must be kept: a `Date`, or milliseconds since the epoch. A deletion of newer entries is a
   * finding. Use the time of `auditRetention` before now.
   * @default the retention may have deleted any entries at the beginning
   */
  readonly keptSince?: Date | number | undefined
  /** Receives the progress, now and then: the number of commits with entries, or of lines, that were read. */
  readonly onProgress?: ((progress: JobProgress) => void) | undefined
  /** Signal that ends the verification. Then it rejects with the reason of the signal. */
  readonly signal?: AbortSignal | undefined
}

const OPTIONS: Names<VerifyAuditOptions> = {
  dir: true,
  holdfast: true,
  file: true,
  head: true,
  keptSince: true,
  onProgress: true,
  signal: true,
}

/** Result of a verification of an audit. */
export interface AuditReport extends AuditChecked {
  /** True if nothing was found. */
  readonly isSound: boolean
  /** ID of the store that the audit is of. */
  readonly storeId: string
}

/**
 * Verifies the hash chain of an audit. Names the first wrong entry, and the further ones. Reads a linked copy of a store in a
 * process of low priority, so the store does not change.
 * @throws HoldfastError `AUDIT_INVALID` for a file that is no exported audit, and for a `head` that is none;
 *   `STORE_DAMAGED` if the database cannot be read; `STORE_LOCKED`, `STORE_NOT_FOUND`, `STORE_OF_ANOTHER_USER`,
 *   `STORE_UNUSABLE`, `STORE_TOO_NEW`, `STORE_TOO_OLD`, `STORE_UNAVAILABLE`, `BACKUP_FAILED`, `CLOSED`
 * @throws TypeError for options of the wrong type
 */
export async function verifyAudit(options: VerifyAuditOptions): Promise<AuditReport> {
  checkOptionsOf('verifyAudit', options, OPTIONS)
  const { file, dir, holdfast, onProgress, signal } = options
  if (onProgress !== undefined) checkFunction('onProgress', onProgress)
  checkSignal(signal)
  if ([dir, holdfast, file].filter((given) => given !== undefined).length !== 1) {
    throw new TypeError('Expected the options of `verifyAudit` to have exactly one of `dir`, `holdfast` and `file`')
  }
  if (file !== undefined && (typeof file !== 'string' || file === '')) throw expected('file', 'a non-empty path', file)
  const keptSince = options.keptSince === undefined ? undefined : instantOf(options.keptSince, 'keptSince')
  const head = await headOption(options.head)
  if (file === undefined) return auditOfStore(options, { head, keptSince })
  const onLines = (done: number) => onProgress?.({ phase: 'verify', done })
  const { header, ...checked } = await checkAuditFile(file, { head, keptSince }, { onLines, signal })
  return { isSound: checked.findingCount === 0, storeId: header.storeId, ...checked }
}

async function headOption(given: unknown): Promise<AuditHead | undefined> {
  if (given === undefined || isAuditHead(given)) return given
  if (typeof given !== 'string') throw expected('head', 'an object of commit and hash, a text, or a file', given)
  return readAuditHead(given)
}

/** Checks the audit of a linked copy of a store. */
async function auditOfStore(options: VerifyAuditOptions, audit: AuditJob): Promise<AuditReport> {
  const { onProgress, signal } = options
  const { path: databaseDir, storeId, anchored, remove } = await copyOf('verifyAudit', options)
  try {
    return reportOfAudit(
      storeId,
      await runJob({ databaseDir, storeId, anchored, audit }, { onProgress, signal }),
      readFailed,
    )
  } finally {
    await remove()
  }
}

function readFailed(reason: string): HoldfastError {
  return new HoldfastError('BACKUP_FAILED', `The audit could not be read: ${reason}`, { details: { reason } })
}

/** The report of a job that read an audit. @throws HoldfastError `STORE_DAMAGED`; of `failed` for another reason */
export function reportOfAudit(storeId: string, end: JobEnd, failed: Failed): AuditReport {
  if (end.kind === 'failed') throw failed(end.message)
  if (end.kind === 'done' && end.audit) {
    return { isSound: end.audit.findingCount === 0, storeId, ...end.audit }
  }
  const why = end.kind === 'crashed' ? end.how : end.findings[0]?.message
  const message = `The database of the store cannot be read, so its audit cannot either: ${why}. Restore a backup, and see \`verify\`.`
  throw new HoldfastError('STORE_DAMAGED', message, { details: { storeId } })
}
