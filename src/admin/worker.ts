/**
 * A process that verifies a copy of a database, and writes a backup of it. It has a low priority, and ends with the process
 * that started it. Damage that makes LevelDB abort its process ends this one only.
 */
import { writeSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { constants, setPriority } from 'node:os'
import { explain, isBroken } from '../store/disk/damage.js'
import { FILE_MODE } from '../store/disk/files.js'
import { type Level, openClassicLevel } from '../store/disk/level.js'
import { pages } from '../store/disk/pages.js'
import { checkFiles } from '../store/files/check-files.js'
import { BackupWriter } from './backup-format.js'
import type { BackupFooter } from './backup-parts.js'
import { type Job, type JobMessage, type JobPhase, type JobResult, MESSAGE_FD, STREAM_FD } from './job.js'
import { Findings } from './verify/findings.js'
import { type VerifiedDatabase, verifyDatabase } from './verify/verify-database.js'

const FILE_FINDINGS = { table: 'TABLE_DAMAGED', log: 'LOG_FILE_DAMAGED', manifest: 'DATABASE_UNREADABLE' } as const

// The write fails if the other process has ended. Then this one ends too.
function say(message: JobMessage): void {
  writeSync(MESSAGE_FD, `${JSON.stringify(message)}\n`)
}

const progress = (phase: JobPhase) => (done: number) => say({ kind: 'progress', phase, done })

async function run(job: Job): Promise<JobResult> {
  const findings = new Findings()
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
    level = await openClassicLevel(job.databaseDir, { create: false })
    verified = await verifyDatabase(level, job, findings, progress('verify'))
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

async function writeBackup(
  level: Level,
  { file, header }: NonNullable<Job['backup']>,
  commit: number,
): Promise<BackupFooter> {
  const output = file === null ? undefined : await open(file, 'w', FILE_MODE)
  const write = async (bytes: Buffer) => {
    if (output) await output.writeFile(bytes)
    else for (let at = 0; at < bytes.length; ) at += writeSync(STREAM_FD, bytes, at)
  }
  const writer = new BackupWriter(write)
  await writer.begin({ ...header, commit })
  let records = 0
  for await (const page of pages(level, { gte: '', lt: '\uffff' })) {
    await writer.add(page)
    records += page.length
    progress('write')(records)
  }
  const footer = await writer.end(commit)
  await output?.sync()
  await output?.close()
  return footer
}

setPriority(constants.priority.PRIORITY_LOW)
try {
  say({ kind: 'done', ...(await run(JSON.parse(process.argv[2] ?? '{}') as Job)) })
} catch (error) {
  say({ kind: 'failed', message: explain(error), code: (error as NodeJS.ErrnoException).code })
}
