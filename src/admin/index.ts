/**
 * Safe copies of a store: verification, backup and restore. For scripts and command lines of operators.
 * @packageDocumentation
 */

export type { BackupFooter, BackupHeader } from './backup-parts.js'
export { type BackupOptions, type BackupReport, type BackupStream, createBackup } from './create-backup.js'
export type { JobPhase, JobProgress } from './job.js'
export { type BackupInfo, type VerifyBackupOptions, verifyBackup } from './read-backup.js'
export { type RestoreOptions, type RestoreProgress, type RestoreReport, restoreBackup } from './restore-backup.js'
export type { Finding, FindingCode } from './verify/findings.js'
export { type VerifyOptions, type VerifyReport, verify } from './verify.js'
