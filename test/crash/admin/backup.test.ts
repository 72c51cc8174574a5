/**
 * Goal: a backup has every commit that was acknowledged before it, is checked byte by byte, and is never half a backup.
 * Method: real stores, stopped and under load; backups that are cut short and flipped.
 */
import { appendFile, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough, Writable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { defineTask, Holdfast, silentLogger } from 'holdfast'
import { createBackup, verifyBackup } from 'holdfast/admin'
import { openInMemory } from 'holdfast/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { partsOf } from '../../../src/admin/read-backup.js'
import { alter, fillStore, storeIdOf } from '../../helpers/stores.js'

let scratch: string
let stopped: string
let backup: string
let names = 0
const fresh = () => join(scratch, `file-${++names}`)
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'holdfast-backup-'))
  stopped = join(scratch, 'stopped')
  await fillStore(stopped)
  backup = fresh()
  await createBackup({ dir: stopped, file: backup })
})
afterAll(() => rm(scratch, { recursive: true, force: true }))

async function keysOf(file: string): Promise<string[]> {
  const keys: string[] = []
  for await (const part of partsOf(file)) {
    if (part.kind === 'records') keys.push(...part.records.map(([key]) => key))
  }
  return keys
}

test('a backup of a stopped store has every record, and leaves nothing in the directory', async () => {
  const info = await verifyBackup({ file: backup })
  expect(info).toMatchObject({ storeId: await storeIdOf(stopped), format: 2, damagedRecords: 0 })
  const keys = await alter(stopped, async (database) => database.keys(''))
  expect(await keysOf(backup)).toEqual(keys)
  expect(info.records).toBe(keys.length)
  expect((await readdir(stopped)).filter((name) => !['db', 'anchor', 'holdfast.json'].includes(name))).toEqual([])
  if (process.platform !== 'win32') expect((await stat(backup)).mode & 0o777).toBe(0o600)
})

test('a backup under load has what was acknowledged before, and the tasks run on meanwhile', async () => {
  const count = defineTask({ name: 'count' }, async (task, n: number) => {
    for (let step = 0; step < n; step++) await task.step('add', () => 'x'.repeat(2_000))
  })
  const holdfast = await Holdfast.open({ dir: join(scratch, 'live'), tasks: [count], logger: silentLogger })
  let isOver = false
  const settled: string[] = []
  const work = async () => {
    while (!isOver) {
      const { taskId } = await holdfast.start(count, 10)
      await holdfast.result(taskId)
      settled.push(taskId)
    }
  }
  const working = Promise.all(Array.from({ length: 20 }, work))
  for (let backups = 0; backups < 3; backups++) {
    // Each backup finds tables, logs and compactions of another age.
    while (settled.length < (backups + 1) * 200) await new Promise((resolve) => setImmediate(resolve))
    const before = [...settled]
    const file = fresh()
    const report = await createBackup({ holdfast, file })
    expect(report.verification).toMatchObject({ isSound: true })
    expect(settled.length).toBeGreaterThan(before.length)
    const keys = new Set(await keysOf(file))
    expect(before.filter((taskId) => !keys.has(`done/${taskId}`))).toEqual([])
    expect(await verifyBackup({ file })).toMatchObject({ commit: report.commit, records: report.records })
  }
  isOver = true
  await working
  await holdfast.close()
})

test('a backup can be streamed, and is the same as in a file', async () => {
  const stream = new PassThrough()
  const [bytes, report] = await Promise.all([buffer(stream), createBackup({ dir: stopped, stream })])
  const file = fresh()
  await writeFile(file, bytes)
  expect(await verifyBackup({ file })).toMatchObject({ sha256: report.sha256, records: report.records })
})

test('a stream that fails fails the backup', async () => {
  const stream = new Writable({ write: (_chunk, _encoding, done) => done(new Error('the client is gone')) })
  await expect(createBackup({ dir: stopped, stream })).rejects.toMatchObject({ code: 'BACKUP_FAILED' })
})

test('a backup that was cut short at any place is refused, and so is one with a byte more', async () => {
  const bytes = await readFile(backup)
  const file = fresh()
  for (let cut = 0; cut < bytes.length; cut += Math.ceil(bytes.length / 40)) {
    await writeFile(file, bytes.subarray(0, cut))
    await expect(verifyBackup({ file }), `cut at ${cut}`).rejects.toMatchObject({ code: 'BACKUP_INVALID' })
  }
  await writeFile(file, bytes.subarray(0, bytes.length - 1))
  await expect(verifyBackup({ file })).rejects.toThrow(/interrupted/)
  await writeFile(file, bytes)
  await appendFile(file, 'x')
  await expect(verifyBackup({ file })).rejects.toMatchObject({ code: 'BACKUP_INVALID' })
})

test('a backup with a flipped bit anywhere is refused', async () => {
  const bytes = await readFile(backup)
  const file = fresh()
  for (let at = 0; at < bytes.length; at += Math.ceil(bytes.length / 60)) {
    const flipped = Buffer.from(bytes)
    flipped[at] = (flipped[at] as number) ^ 4
    await writeFile(file, flipped)
    await expect(verifyBackup({ file }), `byte ${at}`).rejects.toMatchObject({ code: 'BACKUP_INVALID' })
  }
})

test('a file that is there already is not touched', async () => {
  const file = fresh()
  await writeFile(file, 'mine')
  await expect(createBackup({ dir: stopped, file })).rejects.toMatchObject({
    code: 'BACKUP_FAILED',
    message: expect.stringMatching(/exists; name a new one/),
  })
  expect(await readFile(file, 'utf8')).toBe('mine')
})

test('a file that cannot be written fails the backup, with the reason', async () => {
  const file = join(scratch, 'no-folder', 'backup')
  await expect(createBackup({ dir: stopped, file })).rejects.toMatchObject({
    code: 'BACKUP_FAILED',
    message: expect.stringMatching(/no such file/),
  })
})

test('a store with damage gets a backup only if that is accepted', async () => {
  const dir = join(scratch, 'damaged')
  const { sent } = await fillStore(dir)
  await alter(dir, async (database) => database.put(`input/${sent}`, 'rot'))
  const file = fresh()
  await expect(createBackup({ dir, file })).rejects.toMatchObject({
    code: 'STORE_DAMAGED',
    message: expect.stringContaining(`input/${sent}`),
    details: { findingCounts: { RECORD_SEAL: 1 } },
  })
  expect(await readdir(scratch)).not.toContain(`${file}.partial`)
  await createBackup({ dir, file, acceptDamage: true })
  expect(await verifyBackup({ file })).toMatchObject({ damagedRecords: 1 })
})

test('no backup is made of a store in memory, and options of the wrong type are refused', async () => {
  const holdfast = await openInMemory()
  await expect(createBackup({ holdfast, file: fresh() })).rejects.toThrow(/in memory/)
  await holdfast.close()
  await expect(createBackup({ file: fresh() })).rejects.toThrow(/either `dir` or `holdfast`/)
  await expect(createBackup({ dir: stopped })).rejects.toThrow(/either `file` or `stream`/)
  await expect(createBackup({ dir: stopped, stream: {} as never })).rejects.toThrow(/`stream`/)
  await expect(createBackup({ dir: stopped, file: '' })).rejects.toThrow(/`file`/)
  await expect(verifyBackup({ file: scratch })).rejects.toMatchObject({ code: 'BACKUP_INVALID' })
  await expect(verifyBackup({ file: fresh() })).rejects.toThrow(/no such file/)
})
