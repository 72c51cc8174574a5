/**
 * A process that verifies a copy of a database, and writes a backup of it. It has a low priority, and ends with the process
 * that started it. Damage that makes LevelDB abort its process ends this one only.
 */
import { writeSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { constants, setPriority } from 'node:os'
import { openCopy } from '../store/copies/open-copy.js'
import { explain, isBroken } from '../store/disk/damage.js'
import { FILE_MODE } from '../store/disk/files.js'
import type { Level } from '../store/disk/level.js'
import { pages } from '../store/disk/pages.js'
import { checkFiles } from '../store/files/check-files.js'
import { type AuditJob, checkAudit } from './audit/audit-job.js'
import { BackupWriter } from './backup-format.js'
import type { BackupFooter } from './backup-parts.js'
import { type Job, type JobMessage, type JobPhase, type JobResult, MESSAGE_FD, STREAM_FD } from './job.js'
import { type Exported, writeTask } from './portable/read-task.js'
import { runRepair } from './repair/run-repair.js'
import { Findings } from './verify/findings.js'
import { type VerifiedDatabase, verifyDatabase } from './verify/verify-database.js'

const FILE_FINDINGS = { table: 'TABLE_DAMAGED', log: 'LOG_FILE_DAMAGED', manifest: 'DATABASE_UNREADABLE' } as const

// The write fails if the other process has ended. Then this one ends too.
function say(message: JobMessage): void {
  writeSync(MESSAGE_FD, `${JSON.stringify(message)}\n`)
}

const progress = (phase: JobPhase) => (done: number) => say({ kind: 'progress', phase, done })

/** Checks and writes the audit of the copy. */
async function runAudit(job: Job, audit: AuditJob): Promise<JobResult> {
  const findings = new Findings()
  const soFar = () => ({ findings: findings.list, findingCounts: findings.counts })
  // No file is checked: the values of the audit have checksums, and a missing one breaks the chain.
  say({ kind: 'files-checked', ...soFar() })
  let level: Level | undefined
  try {
    level = await openCopy(job.databaseDir)
    const open = level
    const check = (write: (bytes: Uint8Array) => Promise<void>) =>
      checkAudit(open, audit, (text) => write(Buffer.from(text)), progress('verify'))
    const checked = audit.export ? await writing(audit.export.file, check) : await check(async () => {})
    await level.close()
    return { ...soFar(), audit: checked }
  } catch (error) {
    await level?.close().catch(() => {})
    if (!isBroken(error)) throw error
    findings.find('DATABASE_UNREADABLE', 'db', explain(error))
    return soFar()
  }
}

async function run(job: Job): Promise<JobResult> {
  if (job.task) return { findings: [], findingCounts: {}, exported: await exportTaskOf(job, job.task) }
  if (job.audit) return runAudit(job, job.audit)
  const findings = new Findings()
  if (job.repair) {
    // LevelDB may end this process from here on.
    say({ kind: 'files-checked', findings: [], findingCounts: {} })
    const repaired = await runRepair(job.databaseDir, job.repair, progress)
    return { findings: [], findingCounts: {}, repaired }
  }
  let bytesChecked = 0
  const onFile = (bytes: number) => {
    bytesChecked += bytes
    progress('files')(bytesChecked)
  }
  for (const { name, kind, damage } of await checkFiles(job.databaseDir, onFile)) {
    findings.find(FILE_FINDINGS[kind], name, damage)
  }
  const soFar = () => ({ findings: findings.list, findingCounts: findings.counts })
  say({ kind: 'files-checked', ...soFar() })
  let verified: VerifiedDatabase
  let level: Level | undefined
  try {
    level = await openCopy(job.databaseDir)
    verified = await verifyDatabase(level, job, findings, progress('verify'))
    // The anchor file is made before the first commit, so a store without commits may lack it.
    if (job.anchorDamage !== undefined && verified.commit > 0)
      findings.find('ANCHOR_DAMAGED', 'anchor', job.anchorDamage)
  } catch (error) {
    await level?.close().catch(() => {})
    if (!isBroken(error)) throw error
    findings.find('DATABASE_UNREADABLE', 'db', explain(error))
    return soFar()
  }
  const { backup } = job
  const isWanted = backup && (findings.list.length === 0 || backup.acceptDamage)
  const footer = isWanted ? await writeBackup(level, backup, verified.commit) : undefined
  await level.close()
  return { ...soFar(), verified, footer }
}

/** Runs `act` with a function that writes to the end of the file, or of the stream. The file is on disk after that. */
async function writing<T>(
  file: string | null,
  act: (write: (bytes: Uint8Array) => Promise<void>) => Promise<T>,
): Promise<T> {
  const output = file === null ? undefined : await open(file, 'w', FILE_MODE)
  const result = await act(async (bytes) => {
    if (output) await output.writeFile(bytes)
    else for (let at = 0; at < bytes.length; ) at += writeSync(STREAM_FD, bytes, at)
  })
  await output?.sync()
  await output?.close()
  return result
}

async function exportTaskOf({ databaseDir }: Job, task: NonNullable<Job['task']>): Promise<Exported> {
  const level = await openCopy(databaseDir)
  const exported = await writing(task.file, (write) => writeTask(level, task, write))
  await level.close()
  return exported
}

function writeBackup(level: Level, backup: NonNullable<Job['backup']>, commit: number): Promise<BackupFooter> {
  return writing(backup.file, (write) => writeRecords(level, backup, commit, write))
}

async function writeRecords(
  level: Level,
  { header }: NonNullable<Job['backup']>,
  commit: number,
  write: (bytes: Uint8Array) => Promise<void>,
): Promise<BackupFooter> {
  const writer = new BackupWriter(write)
  await writer.begin({ ...header, commit })
  let records = 0
  for await (const page of pages(level, { gte: '', lt: '\uffff' })) {
    await writer.add(page)
    records += page.length
    progress('write')(records)
  }
  return writer.end(commit)
}

setPriority(constants.priority.PRIORITY_LOW)
try {
  say({ kind: 'done', ...(await run(JSON.parse(process.argv[2] ?? '{}') as Job)) })
} catch (error) {
  say({ kind: 'failed', message: explain(error), code: (error as NodeJS.ErrnoException).code })
}
