/**
 * `exportAudit`: the audit of a store as a file of lines of JSON, with its head. The chain is checked while it is written, and a
 * damaged audit is exported as it is.
 */
import { systemClock } from '../base/clock.js'
import { checkFunction, checkOptionsOf, type Names } from '../base/expected.js'
import { AUDIT_EXPORT_VERSION } from './audit/export-format.js'
import type { BackupStream } from './backup-parts.js'
import { packageVersion } from './create-backup.js'
import type { JobEnd, JobProgress } from './job.js'
import { intoOutput, runInto } from './run-job.js'
import { checkSignal, copyOf } from './verify.js'
import { type AuditReport, reportOfAudit } from './verify-audit.js'
import { auditExportFailed } from './whole-file.js'

/** The options of `exportAudit`. */
export interface AuditExportOptions {
  /** Directory of a store that no process has open. Either `dir` or `holdfast` is given. */
  readonly dir?: string | undefined
  /** The open `Holdfast` whose audit is exported, while its tasks run. */
  readonly holdfast?: object | undefined
  /** File to write. It must not exist. Either `file` or `stream` is given. */
  readonly file?: string | undefined
  /** Receives the lines. It is ended after the last byte, and destroyed if the export fails. */
  readonly stream?: BackupStream | undefined
  /** Receives the progress, now and then: the number of commits with entries that were read. */
  readonly onProgress?: ((progress: JobProgress) => void) | undefined
  /** Signal that ends the export. Then it rejects with the reason of the signal. */
  readonly signal?: AbortSignal | undefined
}

const OPTIONS: Names<AuditExportOptions> = {
  dir: true,
  holdfast: true,
  file: true,
  stream: true,
  onProgress: true,
  signal: true,
}

/** An audit that was exported, and the check of its chain. */
export interface AuditExportReport extends AuditReport {
  /** Instant of the copy of the store, in milliseconds since the epoch. */
  readonly exportedAt: number
}

/**
 * Exports the audit of a store as lines of JSON: one for each commit with entries, and a last one with the head. Keep the head
 * where a writer of the store cannot change it. Every entry of a commit that was acknowledged before the call is in it.
 * @throws HoldfastError `AUDIT_EXPORT_FAILED` if the file cannot be written or exists; `STORE_DAMAGED` if the database cannot be
 *   read; `STORE_LOCKED`, `STORE_NOT_FOUND`, `STORE_OF_ANOTHER_USER`, `STORE_UNUSABLE`, `STORE_UNAVAILABLE`, `CLOSED`. No file
 *   is left then.
 * @throws TypeError for options of the wrong type
 */
export async function exportAudit(options: AuditExportOptions): Promise<AuditExportReport> {
  checkOptionsOf('exportAudit', options, OPTIONS)
  const { stream, onProgress, signal } = options
  if (onProgress !== undefined) checkFunction('onProgress', onProgress)
  checkSignal(signal)
  const make = async (partial: string | undefined) => {
    const { path: databaseDir, storeId, anchored, remove } = await copyOf('exportAudit', options)
    try {
      const exportedAt = systemClock.now()
      const header = { holdfastAudit: AUDIT_EXPORT_VERSION, storeId, exportedAt, version: packageVersion() }
      const audit = { export: { file: partial ?? null, header } }
      const job = { databaseDir, storeId, anchored, audit }
      const isWhole = (end: JobEnd) => end.kind === 'done' && end.audit !== undefined
      const end = await runInto(job, stream, { onProgress, signal }, { isWhole, failed: auditExportFailed })
      return { exportedAt, ...reportOfAudit(storeId, end, auditExportFailed) }
    } finally {
      await remove()
    }
  }
  return intoOutput('exportAudit', options, make, auditExportFailed)
}
