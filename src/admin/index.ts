/**
 * Safe copies of a store: verification, repair, backup and restore; files of single tasks; the audit as a file, and its verification. For
 * scripts and command lines of operators.
 * @packageDocumentation
 */

export type { BackupFooter, BackupHeader, BackupStream } from './backup-parts.js'
export { type BackupOptions, type BackupReport, createBackup } from './create-backup.js'
export { type AuditExportOptions, type AuditExportReport, exportAudit } from './export-audit.js'
export { type ExportOptions, type ExportReport, exportTask } from './export-task.js'
export { type ImportOptions, importTask } from './import-task.js'
export type { JobPhase, JobProgress } from './job.js'
export type { ExportFooter, ExportHeader } from './portable/format.js'
export type { ImportReport } from './portable/import-records.js'
export { type BackupInfo, type VerifyBackupOptions, verifyBackup } from './read-backup.js'
export type { RepairChange } from './repair/changes.js'
export { type RepairOptions, type RepairReport, repair } from './repair.js'
export { type RestoreOptions, type RestoreProgress, type RestoreReport, restoreBackup } from './restore-backup.js'
export type { AuditFinding, AuditFindingCode, AuditHead } from './verify/audit-chain.js'
export type { Finding, FindingCode } from './verify/findings.js'
export { type VerifyOptions, type VerifyReport, verify } from './verify.js'
export { type AuditReport, type VerifyAuditOptions, verifyAudit } from './verify-audit.js'
