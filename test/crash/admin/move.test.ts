/**
 * Goal: a move leaves one store that runs: the backup has everything that was acknowledged, and the old store accepts no open
 * from then on. Before that, the old store counts.
 * Method: stores at rest, and open under load; a process that is killed at each point of a move; files that cannot be written.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { defineTask, Holdfast, silentLogger } from 'holdfast'
import { createBackup, exportTask, importTask, repair, restoreBackup, verify, verifyBackup } from 'holdfast/admin'
import { openInMemory } from 'holdfast/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { alter, type Filled, fillStore, storeTasks } from '../../helpers/stores.js'

let scratch: string
let filled: string
let ids: Filled
let names = 0
const fresh = () => join(scratch, `place-${++names}`)
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'holdfast-move-'))
  filled = fresh()
  ids = await fillStore(filled)
})
afterAll(() => rm(scratch, { recursive: true, force: true }))

const open = (dir: string, more: object = {}) =>
  Holdfast.open({ dir, tasks: Object.values(storeTasks()), logger: silentLogger, ...more })
const identityOf = async (dir: string) => JSON.parse(await readFile(join(dir, 'holdfast.json'), 'utf8')) as object

async function filledCopy(): Promise<string> {
  const dir = fresh()
  await cp(filled, dir, { recursive: true })
  return dir
}

/** Checks that the store is as it was before the move. */
async function expectUnmoved(dir: string): Promise<void> {
  expect(await identityOf(dir)).toEqual(await identityOf(filled))
  expect(await verify({ dir })).toMatchObject({ isSound: true })
  await (await open(dir, { recover: 'manual' })).close()
}

test('a store at rest is moved: the backup has every record, and every later open and command is refused', async () => {
  const [dir, file] = [await filledCopy(), fresh()]
  const keys = await alter(dir, async (database) => database.keys(''))
  const before = await identityOf(dir)
  const report = await createBackup({ dir, file, move: true })
  expect(report.records).toBe(keys.length)
  expect(await identityOf(dir)).toEqual({ ...before, moved: { at: expect.any(Number), file } })
  const moved = { code: 'STORE_MOVED', message: expect.stringContaining(file), details: { dir, file } }
  await expect(open(dir)).rejects.toMatchObject(moved)
  await expect(verify({ dir })).rejects.toMatchObject(moved)
  await expect(repair({ dir })).rejects.toMatchObject(moved)
  await expect(createBackup({ dir, file: fresh() })).rejects.toMatchObject(moved)
  await expect(createBackup({ dir, file: fresh(), move: true })).rejects.toMatchObject(moved)
  await expect(restoreBackup({ file, dir })).rejects.toMatchObject(moved)
  await expect(exportTask({ dir, file: fresh(), taskId: ids.settled })).rejects.toMatchObject(moved)
  await expect(importTask({ dir, file })).rejects.toMatchObject(moved)
  expect((await readdir(dir)).sort()).toEqual(['anchor', 'db', 'holdfast.json'])
})

test('without the field `moved`, the old store opens again', async () => {
  const [dir, file] = [await filledCopy(), fresh()]
  await createBackup({ dir, file, move: true })
  const { moved: _, ...identity } = (await identityOf(dir)) as { moved: unknown }
  await writeFile(join(dir, 'holdfast.json'), JSON.stringify(identity))
  await expectUnmoved(dir)
})

test('under load, nothing that was acknowledged before the close is missing in the copy', async () => {
  const count = defineTask({ name: 'count' }, async (task, n: number) => {
    for (let step = 0; step < n; step++) await task.step('add', () => 'x'.repeat(500))
    return n
  })
  const dir = fresh()
  const lines: string[] = []
  const logger = { ...silentLogger, info: (line: string) => void lines.push(line) }
  const holdfast = await Holdfast.open({ dir, tasks: [count], logger })
  const started: string[] = []
  const settled: string[] = []
  const work = async () => {
    for (;;) {
      const { taskId } = await holdfast.start(count, 10)
      started.push(taskId)
      await holdfast.result(taskId)
      settled.push(taskId)
    }
  }
  const working = Promise.allSettled(Array.from({ length: 20 }, work))
  while (settled.length < 100) await new Promise((resolve) => setImmediate(resolve))
  const file = fresh()
  const report = await createBackup({ holdfast, file, move: true })
  const ends = await working
  for (const end of ends) expect(end).toMatchObject({ status: 'rejected', reason: { code: 'CLOSED' } })
  expect(report.verification.isSound).toBe(true)
  // The old database has nothing more.
  expect(await alter(dir, async (database) => database.keys('').length)).toBe(report.records)
  expect(lines).toContain('The store was moved into a backup, and accepts no further open.')
  await holdfast.close()
  await expect(holdfast.start(count, 1)).rejects.toMatchObject({ code: 'CLOSED' })
  await expect(createBackup({ holdfast, file: fresh(), move: true })).rejects.toMatchObject({ code: 'CLOSED' })
  await expect(Holdfast.open({ dir, tasks: [count] })).rejects.toMatchObject({ code: 'STORE_MOVED' })
  const restored = fresh()
  await restoreBackup({ file, dir: restored, start: true })
  const next = await Holdfast.open({ dir: restored, tasks: [count], logger: silentLogger })
  for (const taskId of settled) expect(await next.get(taskId)).toMatchObject({ status: 'completed' })
  for (const taskId of started) expect(await next.result(taskId)).toBe(10)
  await next.close()
})

test('of two moves of an open store at once, one is done', async () => {
  const [dir, file] = [await filledCopy(), fresh()]
  const holdfast = await open(dir)
  const moves = await Promise.allSettled([
    createBackup({ holdfast, file, move: true }),
    createBackup({ holdfast, file: fresh(), move: true }),
  ])
  expect(moves).toMatchObject([{ status: 'fulfilled' }, { status: 'rejected', reason: { code: 'CLOSED' } }])
  expect(await identityOf(dir)).toMatchObject({ moved: { file } })
  await verifyBackup({ file })
})

const POINTS = [
  ['the links are made', 'old'],
  ['the file is written', 'old'],
  ['the file is whole', 'old'],
  ['the mark is written', 'old'],
  ['the mark is in place', 'new'],
] as const

test.for(POINTS)('after a kill once %s, the %s store counts', { timeout: 60_000 }, async ([point, counts]) => {
  const child = fileURLToPath(new URL('./move-child.mjs', import.meta.url))
  const module = pathToFileURL(fileURLToPath(new URL('../../../src/admin/index.ts', import.meta.url))).href
  const [dir, file] = [await filledCopy(), fresh()]
  const killed = spawn(process.execPath, ['--import', 'tsx', child, module, dir, file, point], { stdio: 'inherit' })
  const [, signal] = (await once(killed, 'exit')) as [unknown, string | null]
  expect(signal).toBe('SIGKILL')
  if (counts === 'new') {
    await expect(open(dir)).rejects.toMatchObject({ code: 'STORE_MOVED' })
    await verifyBackup({ file })
    return
  }
  const isThere = existsSync(file)
  if (isThere) await verifyBackup({ file })
  await expectUnmoved(dir)
  expect((await readdir(dir)).filter((name) => name.startsWith('db.links-'))).toEqual([])
  await createBackup({ dir, file: isThere ? fresh() : file, move: true })
  await expect(open(dir)).rejects.toMatchObject({ code: 'STORE_MOVED' })
})

test('a mark that cannot be written fails the move: no file is left, and the store opens as before', async () => {
  const [dir, file] = [await filledCopy(), fresh()]
  // In place of a full disk: the mark is written under this name first.
  await mkdir(join(dir, 'holdfast.json.new'))
  await expect(createBackup({ dir, file, move: true })).rejects.toMatchObject({
    code: 'BACKUP_FAILED',
    message: expect.stringMatching(/The store can be opened as before/),
  })
  expect(existsSync(file)).toBe(false)
  await rm(join(dir, 'holdfast.json.new'), { recursive: true })
  await expectUnmoved(dir)
})

test.runIf(existsSync('/dev/full'))('a full disk fails the move of an open store, which opens again', async () => {
  const [dir, file] = [await filledCopy(), fresh()]
  await symlink('/dev/full', `${file}.partial`)
  const holdfast = await open(dir)
  await expect(createBackup({ holdfast, file, move: true })).rejects.toMatchObject({
    code: 'BACKUP_FAILED',
    message: expect.stringMatching(/ENOSPC|no space/),
  })
  await holdfast.close()
  expect(existsSync(file)).toBe(false)
  expect(await verify({ dir })).toMatchObject({ isSound: true })
  expect(await identityOf(dir)).not.toHaveProperty('moved')
})

test('a store with damage is not moved, and an open one whose file exists stays open', async () => {
  const dir = fresh()
  const { sent } = await fillStore(dir)
  await alter(dir, async (database) => database.put(`input/${sent}`, 'rot'))
  await expect(createBackup({ dir, file: fresh(), move: true })).rejects.toMatchObject({ code: 'STORE_DAMAGED' })
  expect(await identityOf(dir)).not.toHaveProperty('moved')
  const holdfast = await open(dir)
  const file = fresh()
  await writeFile(file, 'mine')
  await expect(createBackup({ holdfast, file, move: true })).rejects.toThrow(/exists; name a new one/)
  expect(await holdfast.health()).toMatchObject({ live: true })
  await expect(createBackup({ dir, file: fresh(), move: true })).rejects.toMatchObject({ code: 'STORE_LOCKED' })
  await holdfast.close()
})

test('a lock file that was deleted fails the move', async () => {
  const [dir, file] = [await filledCopy(), fresh()]
  const holdfast = await open(dir)
  await rm(join(dir, 'lock'))
  await expect(createBackup({ holdfast, file, move: true })).rejects.toMatchObject({
    code: expect.stringMatching(/^(STORE_LOST|BACKUP_FAILED)$/),
  })
  expect(existsSync(file)).toBe(false)
  expect(await identityOf(dir)).not.toHaveProperty('moved')
})

test('a move needs a file, and a store on disk', async () => {
  await expect(createBackup({ dir: filled, stream: new PassThrough(), move: true })).rejects.toThrow(
    /`move` with `file`/,
  )
  await expect(createBackup({ dir: filled, file: fresh(), move: 'yes' as never })).rejects.toThrow(/`move`/)
  const holdfast = await openInMemory()
  await expect(createBackup({ holdfast, file: fresh(), move: true })).rejects.toThrow(/in memory/)
  await holdfast.close()
})
