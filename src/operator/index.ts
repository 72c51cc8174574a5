/** The operator API: a client for the process that has a store open, and handlers for an author's server. `holdfast/operator`. */

export type { BackupStream } from '../admin/backup-parts.js'
export type { AuditHead } from '../admin/verify/audit-chain.js'
export {
  type EventsOptions,
  type OperatorBackupOptions,
  type OperatorClient,
  type OperatorClientOptions,
  type OperatorExportAuditOptions,
  type OperatorExportOptions,
  type OperatorImportOptions,
  type OperatorRouteCalls,
  type OperatorVerifyAuditOptions,
  operatorClient,
} from './client/client.js'
export type { OperatorJobOptions } from './client/job-options.js'
export type { OperatorEvent, OperatorSnapshot } from './client/operator-event.js'
export type { OperatorProgress } from './contract/jobs.js'
export {
  type AuthorizedOperator,
  type OperatorHandler,
  type OperatorHandlerOptions,
  operatorHandler,
} from './handler.js'
export { type HealthHandlerOptions, healthHandler } from './health-handler.js'
export type { MountedHandler } from './mount.js'
