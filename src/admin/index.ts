/**
 * Safe copies of a store: verification, backup and restore, and files of single tasks. For scripts and command lines of operators.
 * @packageDocumentation
 */

export type { BackupFooter, BackupHeader } from './backup-parts.js'
export { type BackupOptions, type BackupReport, type BackupStream, createBackup } from './create-backup.js'
export { type ExportOptions, type ExportReport, exportTask } from './export-task.js'
export { type ImportOptions, importTask } from './import-task.js'
export type { JobPhase, JobProgress } from './job.js'
export type { ExportFooter, ExportHeader } from './portable/format.js'
export type { ImportReport } from './portable/import-records.js'
export { type BackupInfo, type VerifyBackupOptions, verifyBackup } from './read-backup.js'
export type { RepairChange } from './repair/changes.js'
export { type RepairOptions, type RepairReport, repair } from './repair.js'
export { type RestoreOptions, type RestoreProgress, type RestoreReport, restoreBackup } from './restore-backup.js'
export type { Finding, FindingCode } from './verify/findings.js'
export { type VerifyOptions, type VerifyReport, verify } from './verify.js'
