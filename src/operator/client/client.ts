/** The typed client of the operator API: a function for each route, the jobs, and the feed of events. */
import { userInfo } from 'node:os'
import type { BackupStream } from '../../admin/backup-parts.js'
import type { AuditHead } from '../../admin/verify/audit-chain.js'
import { auditExportFailed, exportFailed } from '../../admin/whole-file.js'
import { checkCount, checkFunctionsOf, checkOptionsOf, expected, type Names } from '../../base/expected.js'
import { IMPORT_PATH, type ImportView, type JobReport } from '../contract/jobs.js'
import type { RequestOf, ResponseOf, Route, Wire } from '../contract/route.js'
import type { RouteName, Routes } from '../contract/routes.js'
import { FEED_PATH, ROUTES } from '../contract/routes.js'
import { readEvents } from './events.js'
import type { OperatorJobOptions } from './job-options.js'
import { callJob } from './jobs.js'
import type { OperatorEvent } from './operator-event.js'
import { OperatorConnection } from './requests.js'

/** The options of `operatorClient`. */
export interface OperatorClientOptions {
  /** Directory of the store. */
  readonly dir: string
  /**
   * Name that the audit shows for what this client does, such as `cli: ann`. It is a claim: the server does not check it. At most
   * 100 bytes.
   * @default `client: ` and the name of this user
   */
  readonly actor?: string | undefined
  /**
   * Longest wait, in milliseconds, for a process that holds the store and does not serve the API yet.
   * @default 5,000
   */
  readonly waitMs?: number | undefined
  /**
   * Longest time without a byte from the server, in milliseconds.
   * @default 30,000
   */
  readonly timeoutMs?: number | undefined
}

/** Names of the options. */
export const CLIENT_OPTIONS: Names<OperatorClientOptions> = { dir: true, actor: true, waitMs: true, timeoutMs: true }

type Required<T> = { [Key in keyof T]-?: object extends Pick<T, Key> ? never : Key }[keyof T]
type ArgumentsOf<R extends Route> = [Required<RequestOf<R>>] extends [never]
  ? [request?: RequestOf<R>]
  : [request: RequestOf<R>]

/** A function for each route: path, query and body are one object. The reference of the operator API lists them. */
export type OperatorRouteCalls = {
  readonly [Name in RouteName]: (...request: ArgumentsOf<Routes[Name]>) => Promise<ResponseOf<Routes[Name]>>
}

/** The options of `events`. */
export interface EventsOptions {
  /**
   * ID of the task whose events are read.
   * @default events of all tasks
   */
  readonly taskId?: string | undefined
  /** Signal that ends the feed. */
  readonly signal?: AbortSignal | undefined
}

/** A client of the operator API of one store. Created by `operatorClient`. */
export type OperatorClient = OperatorRouteCalls & {
  /**
   * Reads a snapshot, and then every event from now on. An event may be in the snapshot already. The last event is `closed` if
   * the server closes the store, and `cut` if this client read too slowly: read again for a new snapshot.
   */
  events(options?: EventsOptions): AsyncGenerator<OperatorEvent, void, undefined>
  /**
   * Checks every record of the store, as `verify` of `holdfast/admin` does, in a process that the server starts.
   * @throws HoldfastError as `verify`; `LIMIT_EXCEEDED` while the server runs another job, `CLOSED`, `OPERATOR_UNAVAILABLE`
   */
  verify(options?: OperatorJobOptions): Promise<JobReport<'verify'>>
  /**
   * Makes a backup of the store, as `createBackup` of `holdfast/admin` does, and writes it into a stream of this process.
   * @throws HoldfastError as `createBackup`; `LIMIT_EXCEEDED` while the server runs another job, `CLOSED`, `OPERATOR_UNAVAILABLE`
   */
  backup(options: OperatorBackupOptions): Promise<JobReport<'backup'>>
  /**
   * Compacts the database, as `compact` of `Holdfast` does.
   * @throws HoldfastError as `compact`; `LIMIT_EXCEEDED` while the server runs another job, `OPERATOR_UNAVAILABLE`
   */
  compact(options?: OperatorJobOptions): Promise<JobReport<'compact'>>
  /**
   * Exports a task, as `exportTask` of `holdfast/admin` does, into a stream of this process. With `move`, the task is parked, and
   * `endMove` settles it once the file is whole and on disk.
   * @throws HoldfastError as `exportTask`; `LIMIT_EXCEEDED` while the server runs another job, `CLOSED`, `OPERATOR_UNAVAILABLE`
   */
  exportTask(options: OperatorExportOptions): Promise<JobReport<'exportTask'>>
  /**
   * Imports a task, as `importTask` of `holdfast/admin` does, from bytes that this process sends.
   * @throws HoldfastError as `importTask`; `OPERATOR_UNAVAILABLE`, perhaps with `mayBeWritten`
   */
  importTask(options: OperatorImportOptions): Promise<Wire<typeof ImportView>>
  /**
   * Verifies the hash chain of the audit, as `verifyAudit` of `holdfast/admin` does, in a process that the server starts.
   * @throws HoldfastError as `verifyAudit`; `LIMIT_EXCEEDED` while the server runs another job, `CLOSED`, `OPERATOR_UNAVAILABLE`
   */
  verifyAudit(options?: OperatorVerifyAuditOptions): Promise<JobReport<'verifyAudit'>>
  /**
   * Exports the audit, as `exportAudit` of `holdfast/admin` does, and writes its lines into a stream of this process.
   * @throws HoldfastError as `exportAudit`; `LIMIT_EXCEEDED` while the server runs another job, `CLOSED`, `OPERATOR_UNAVAILABLE`
   */
  exportAudit(options: OperatorExportAuditOptions): Promise<JobReport<'exportAudit'>>
  /** Ends the kept connections. */
  close(): void
}

/** The options of `exportTask` of an `OperatorClient`. */
export interface OperatorExportOptions extends OperatorJobOptions {
  /** ID of the task. */
  readonly taskId: string
  /** Receives the export. It is ended after the last byte, and destroyed if the export fails. */
  readonly stream: BackupStream
  /**
   * True to leave out inputs, results, owners and keys.
   * @default false
   */
  readonly redact?: boolean | undefined
  /**
   * True to park the task, because it moves to another store.
   * @default false
   */
  readonly move?: boolean | undefined
}

/** The options of `importTask` of an `OperatorClient`. */
export interface OperatorImportOptions {
  /** Bytes of an exported task. */
  readonly stream: AsyncIterable<Uint8Array>
  /** Signal that ends the call. */
  readonly signal?: AbortSignal | undefined
}

/** The options of `verifyAudit` of an `OperatorClient`. */
export interface OperatorVerifyAuditOptions extends OperatorJobOptions {
  /** Head of an earlier export. Without it, entries that were cut off at the end are not found. */
  readonly head?: AuditHead | undefined
  /** Instant since which all entries must be kept, in milliseconds since the epoch. */
  readonly keptSince?: number | undefined
}

/** The options of `exportAudit` of an `OperatorClient`. */
export interface OperatorExportAuditOptions extends OperatorJobOptions {
  /** Receives the lines. It is ended after the last byte, and destroyed if the export fails. */
  readonly stream: BackupStream
}

/** The options of `backup` of an `OperatorClient`. */
export interface OperatorBackupOptions extends OperatorJobOptions {
  /** Receives the backup. It is ended after the last byte, and destroyed if the backup fails. */
  readonly stream: BackupStream
  /**
   * True to make a backup of a store with damage too.
   * @default false
   */
  readonly acceptDamage?: boolean | undefined
}

/**
 * Creates a client of the process that has the store in `dir` open. Nothing is connected before the first call.
 * Each call throws the `HoldfastError` that the method of the server threw, or one of these: `STORE_NOT_HELD`,
 * `OPERATOR_UNAVAILABLE`, `OPERATOR_MISMATCH`, `OPERATOR_REFUSED`, `INVALID_REQUEST`.
 * @throws TypeError for an option of the wrong type
 */
export function operatorClient(options: OperatorClientOptions): OperatorClient {
  checkOptionsOf('operatorClient', options, CLIENT_OPTIONS)
  const { dir, actor = `client: ${userName()}`, waitMs = 5_000, timeoutMs = 30_000 } = options
  if (typeof dir !== 'string' || dir === '' || dir.includes('\0')) throw expected('dir', 'a non-empty path', dir)
  if (typeof actor !== 'string') throw expected('actor', 'a string', actor)
  checkCount('waitMs', waitMs, 0)
  checkCount('timeoutMs', timeoutMs)
  const connection = new OperatorConnection({ dir, actor, waitMs, timeoutMs })
  const calls = Object.entries(ROUTES).map(([name, route]) => [
    name,
    (request: Readonly<Record<string, unknown>> = {}) => connection.call(sendingOf(route as Route, request)),
  ])
  return {
    ...(Object.fromEntries(calls) as OperatorRouteCalls),
    events: ({ taskId, signal } = {}) => {
      const query = taskId === undefined ? '' : `?taskId=${encodeURIComponent(taskId)}`
      return readEvents(connection, { method: 'GET', path: FEED_PATH + query, signal })
    },
    verify: (options = {}) => callJob(connection, 'verify', {}, options),
    backup: async ({ acceptDamage, ...options }) => {
      checkFunctionsOf('stream', options.stream, ['write', 'end', 'destroy'])
      return callJob(connection, 'backup', { acceptDamage }, options)
    },
    compact: (options = {}) => callJob(connection, 'compact', {}, options),
    exportTask: async ({ taskId, redact, move, ...options }) => {
      checkFunctionsOf('stream', options.stream, ['write', 'end', 'destroy'])
      return callJob(connection, 'exportTask', { taskId, redact, move }, { ...options, failed: exportFailed })
    },
    importTask: ({ stream, signal }) =>
      connection.call({ method: 'POST', path: IMPORT_PATH, stream, signal }) as Promise<Wire<typeof ImportView>>,
    verifyAudit: ({ head, keptSince, ...options } = {}) =>
      callJob(connection, 'verifyAudit', { head, keptSince }, options),
    exportAudit: async (options) => {
      checkFunctionsOf('stream', options.stream, ['write', 'end', 'destroy'])
      return callJob(connection, 'exportAudit', {}, { ...options, failed: auditExportFailed })
    },
    close: () => connection.close(),
  }
}

/** Puts the fields of a request where the route has them. A field that the route does not have is sent, and refused there. */
function sendingOf({ method, path, params }: Route, request: Readonly<Record<string, unknown>>) {
  const rest = { ...request }
  const filled = path.replace(/:(\w+)/g, (_, name: string) => {
    const value = rest[name]
    delete rest[name]
    if (typeof value !== 'string' || value === '') throw expected(name, 'a non-empty string', value)
    return encodeURIComponent(value)
  })
  for (const name of Object.keys(params.shape)) delete rest[name]
  if (method === 'POST') return { method, path: filled, body: JSON.stringify(rest) }
  const query = new URLSearchParams()
  for (const [name, value] of Object.entries(rest)) {
    if (value === undefined) continue
    for (const each of Array.isArray(value) ? value : [value]) {
      query.append(name, typeof each === 'object' ? JSON.stringify(each) : String(each))
    }
  }
  const text = query.toString()
  return { method, path: text === '' ? filled : `${filled}?${text}` }
}

function userName(): string {
  try {
    return userInfo().username
  } catch {
    // The user has no entry, as in many containers.
    return `uid ${process.getuid?.() ?? 'unknown'}`
  }
}
