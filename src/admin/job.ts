/** Jobs of a worker process, and its messages. */
import type { AuditChecked, AuditJob } from './audit/audit-job.js'
import type { BackupFooter, BackupHeader } from './backup-parts.js'
import type { Exported, TaskToExport } from './portable/read-task.js'
import type { RepairedDatabase } from './repair/changes.js'
import type { RepairJob } from './repair/run-repair.js'
import type { Finding, FindingCode } from './verify/findings.js'
import type { VerifiedDatabase } from './verify/verify-database.js'

/** A job for a worker: the verification of a copy of a database, and its backup after that; or the repair of a copy. */
export interface Job {
  /** Folder of the copy. Nothing else has it open. */
  readonly databaseDir: string
  readonly storeId: string
  /** Number of a commit that the copy has at least. */
  readonly anchored: number
  /** Damage of the anchor file, as a sentence. */
  readonly anchorDamage?: string | undefined
  /** Set for a repair, which changes the database. */
  readonly repair?: RepairJob | undefined
  readonly backup?: {
    /** File to write; `null` to write to the file descriptor `STREAM_FD`. */
    readonly file: string | null
    readonly header: Omit<BackupHeader, 'commit'>
    /** True to write a backup of a damaged database. */
    readonly acceptDamage: boolean
  }
  /** A task to export, in place of the verification. */
  readonly task?: TaskToExport & {
    /** File to write; `null` to write to the file descriptor `STREAM_FD`. */
    readonly file: string | null
  }
  /** Reads the audit only. */
  readonly audit?: AuditJob
}

/** File descriptor for messages of a worker, one line of JSON each. */
export const MESSAGE_FD = 3
/** File descriptor for a backup that is streamed. */
export const STREAM_FD = 4

/** Phase of a job. */
export type JobPhase = 'files' | 'verify' | 'write' | 'salvage' | 'repair'

/** Findings so far. */
export interface FoundSoFar {
  readonly findings: readonly Finding[]
  readonly findingCounts: Readonly<Partial<Record<FindingCode, number>>>
}

/** A message of a worker. */
export type JobMessage =
  | { readonly kind: 'progress'; readonly phase: JobPhase; readonly done: number }
  /** Sent before LevelDB opens the copy, which may end the process. */
  | ({ readonly kind: 'files-checked' } & FoundSoFar)
  | ({ readonly kind: 'done' } & JobResult)
  | { readonly kind: 'failed'; readonly message: string; readonly code?: string | undefined }

/** Result of a job. */
export interface JobResult extends FoundSoFar {
  /** `undefined` if LevelDB could not open or read the copy. */
  readonly verified?: VerifiedDatabase | undefined
  /** The end of the backup; `undefined` if none was written. */
  readonly footer?: BackupFooter | undefined
  /** The exported task, if the job was an export. */
  readonly exported?: Exported | undefined
  /** Result of a repair. */
  readonly repaired?: RepairedDatabase | undefined
  /** Result of a job that reads the audit; `undefined` if LevelDB could not open or read the copy. */
  readonly audit?: AuditChecked | undefined
}

/** Progress of a job. */
export interface JobProgress {
  /** `files`: bytes of files whose checksums were checked. `verify`, `write`, `salvage`, `repair`: records. */
  readonly phase: JobPhase
  readonly done: number
}

/** End of a job. */
export type JobEnd =
  | ({ readonly kind: 'done' } & JobResult)
  /** The process was ended by LevelDB, or by another process. */
  | ({ readonly kind: 'crashed'; readonly how: string } & FoundSoFar)
  | { readonly kind: 'failed'; readonly message: string; readonly code?: string | undefined }
