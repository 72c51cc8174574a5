/**
 * The jobs of the operator API: long work of the server, whose answer is a stream of progress, bytes and at last a report
 * (frames.ts). A server runs one job at a time.
 */
import { z } from 'zod'
import type { BackupStream } from '../../admin/backup-parts.js'
import { TASK_STATUSES, type TaskStatus } from '../../task/head.js'
import { AuditExportView, AuditHeadView, AuditReportView } from './audit-views.js'
import type { Wire } from './route.js'

const finding = z.object({
  code: z.string(),
  /** Key of the record, or name of the file. */
  key: z.string(),
  message: z.string(),
  meaning: z.string(),
  action: z.string(),
})

const VerifyView = z.object({
  isSound: z.boolean(),
  storeId: z.string(),
  commit: z.number().optional(),
  counts: z.record(z.string(), z.number()),
  unknown: z.record(z.string(), z.number()),
  bytes: z.number(),
  findings: z.array(finding),
  findingCounts: z.record(z.string(), z.number()),
})

const BackupView = z.object({
  storeId: z.string(),
  createdAt: z.number(),
  commit: z.number(),
  records: z.number(),
  bytes: z.number(),
  counts: z.record(z.string(), z.number()),
  sha256: z.string(),
  verification: VerifyView,
})

const ExportView = z.object({
  holdfastTask: z.number(),
  format: z.number(),
  version: z.string(),
  storeId: z.string(),
  taskId: z.string(),
  type: z.string(),
  status: z.enum(TASK_STATUSES as [TaskStatus]),
  commits: z.number(),
  exportedAt: z.number(),
  redacted: z.boolean(),
  move: z.boolean(),
  children: z.number().optional(),
  records: z.number(),
  entries: z.number(),
  sha256: z.string(),
})

/** Answer of an import. Its request is the file: it has no JSON, and no limit but that of an import. */
export const ImportView = z.object({
  taskId: z.string(),
  type: z.string(),
  status: z.enum(TASK_STATUSES as [TaskStatus]),
  isParked: z.boolean(),
  records: z.number(),
  entries: z.number(),
  importedFrom: z.object({ storeId: z.string(), exportedAt: z.number() }),
})

/** Path to which a file of a task is sent. */
export const IMPORT_PATH = '/v1/import'

/** One job. Its method is `POST`. */
export interface JobRoute {
  readonly path: string
  /** Description for the reference. */
  readonly summary: string
  readonly body: z.ZodObject
  readonly report: z.ZodType
  /** True if the stream for a request has inputs, results and states. A caller that may not see values is refused. */
  readonly hasValues: (request: Readonly<Record<string, unknown>>) => boolean
  /** True if the job changes what a client can read, so that a client that lost its answer has to look. */
  readonly changesStore: boolean
}

export const JOBS = {
  verify: {
    path: '/v1/verify',
    summary: 'Checks every record of the store, while its tasks run.',
    body: z.strictObject({}),
    report: VerifyView,
    hasValues: () => false,
    changesStore: false,
  },
  backup: {
    path: '/v1/backup',
    summary: 'Sends a backup of the store, while its tasks run. The server opens no file that a client names.',
    body: z.strictObject({ acceptDamage: z.boolean().optional().describe('`true` to copy a damaged store too.') }),
    report: BackupView,
    hasValues: () => true,
    changesStore: false,
  },
  compact: {
    path: '/v1/compact',
    summary: 'Compacts the database, while the tasks run.',
    body: z.strictObject({}),
    report: z.object({ bytesBefore: z.number(), bytesAfter: z.number() }),
    hasValues: () => false,
    changesStore: false,
  },
  exportTask: {
    path: '/v1/export',
    summary:
      'Sends one task as a file. With `move`, parks it first; it settles with `moved`, once the client has the whole file.',
    body: z.strictObject({
      taskId: z.string(),
      redact: z.boolean().optional().describe('`true` to leave out inputs, results, owners and keys.'),
      move: z.boolean().optional(),
    }),
    report: ExportView,
    hasValues: ({ redact }) => redact !== true,
    changesStore: false,
  },
  verifyAudit: {
    path: '/v1/audit/verify',
    summary: 'Checks the hash chain of the audit, while the tasks run.',
    body: z.strictObject({
      head: AuditHeadView.optional().describe('Head of an earlier export.'),
      keptSince: z.number().optional().describe('Instant since which all entries must be kept.'),
    }),
    report: AuditReportView,
    hasValues: () => false,
    changesStore: false,
  },
  exportAudit: {
    path: '/v1/audit/export',
    summary: 'Sends the audit as lines of JSON with its head, while the tasks run.',
    body: z.strictObject({}),
    report: AuditExportView,
    hasValues: () => false,
    changesStore: false,
  },
} as const satisfies Record<string, JobRoute>

export type Jobs = typeof JOBS
export type JobName = keyof Jobs

/** Type of the request of a job. */
export type JobRequest<Name extends JobName> = Wire<Jobs[Name]['body']>

/** Type of the report of a job. */
export type JobReport<Name extends JobName> = Wire<Jobs[Name]['report']>

/** Progress of a job: its phase, and the number of bytes or records that are done. */
export interface OperatorProgress {
  readonly phase: string
  readonly done: number
  /** Number at the end of the phase, if it is known. */
  readonly total?: number | undefined
}

/** Signal, progress and output of a running job. */
export interface JobControl {
  /** Aborts when the client is gone, or when the server closes its store. */
  readonly signal: AbortSignal
  /** Reports the progress. The client gets the newest one when it reads. */
  readonly onProgress: (progress: OperatorProgress) => void
  /** A `Writable` that receives the bytes of the answer. It waits while the client does not read. */
  readonly bytes: BackupStream
}

/** A function for each job. */
export type JobHandlers = {
  readonly [Name in JobName]: (request: JobRequest<Name>, control: JobControl) => Promise<JobReport<Name>>
}
