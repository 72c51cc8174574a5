// Goal: acknowledged commits that are missing are noticed at the next open, and never accepted in silence (S2).
// Method: real stores on disk, harmed between a close and an open as disks, backups and people harm them.
import { cp, mkdtemp, open, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { defineTask, Holdfast, silentLogger } from '../../src/index.js'

let scratch: string
let stores = 0
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'holdfast-damage-'))
})
afterAll(() => rm(scratch, { recursive: true, force: true }))

const count = defineTask({ name: 'count' }, async (task, n: number) => {
  let sum = 0
  for (let step = 0; step < n; step++) sum = await task.step('add', () => sum + step)
  return sum
})

const openStore = (dir: string, more: { acceptDamage?: boolean; durability?: 'buffered' } = {}) =>
  Holdfast.open({ dir, tasks: [count], logger: silentLogger, ...more })

async function makeStore(more: { durability?: 'buffered' } = {}): Promise<string> {
  const dir = join(scratch, `store-${++stores}`)
  const holdfast = await openStore(dir, more)
  for (let n = 1; n <= 5; n++) await holdfast.result((await holdfast.start(count, n * 4)).taskId)
  await holdfast.close()
  return dir
}

const damaged = expect.objectContaining({ code: 'STORE_DAMAGED', message: expect.stringMatching(/acceptDamage: true/) })

async function newestLog(dir: string): Promise<string> {
  const logs = (await readdir(join(dir, 'db'))).filter((name) => name.endsWith('.log')).sort()
  return join(dir, 'db', logs.at(-1) as string)
}

test('a store that was closed in order opens without a word of damage', async () => {
  const dir = await makeStore()
  const holdfast = await openStore(dir)
  expect(holdfast.recovery.storeDamage).toBeUndefined()
  await holdfast.close()
})

test('a log that was cut short is refused, and refused again', async () => {
  const dir = await makeStore()
  const log = await newestLog(dir)
  await truncate(log, Math.floor((await stat(log)).size * 0.7))
  await expect(openStore(dir)).rejects.toThrow(damaged)
  await expect(openStore(dir)).rejects.toThrow(damaged)
})

test('a database from an old backup under a newer anchor is refused', async () => {
  const dir = await makeStore()
  await cp(join(dir, 'db'), join(scratch, 'old-db'), { recursive: true })
  const holdfast = await openStore(dir)
  await holdfast.result((await holdfast.start(count, 9)).taskId)
  await holdfast.close()
  await rm(join(dir, 'db'), { recursive: true })
  await cp(join(scratch, 'old-db'), join(dir, 'db'), { recursive: true })
  await expect(openStore(dir)).rejects.toThrow(damaged)
})

test('a bit that flipped in the middle of the log is noticed by the commits it takes with it', async () => {
  const dir = await makeStore()
  const log = await newestLog(dir)
  const file = await open(log, 'r+')
  const at = Math.floor((await file.stat()).size * 0.4)
  const { buffer } = await file.read(Buffer.alloc(1), 0, 1, at)
  buffer[0] = (buffer[0] as number) ^ 8
  await file.write(buffer, 0, 1, at)
  await file.close()
  await expect(openStore(dir)).rejects.toThrow(damaged)
})

test('told to accept it, the store goes on with what is left, says so, and is whole afterwards', async () => {
  const dir = await makeStore()
  const log = await newestLog(dir)
  await truncate(log, Math.floor((await stat(log)).size * 0.7))
  const accepted = await openStore(dir, { acceptDamage: true })
  expect(accepted.recovery.storeDamage).toMatch(/commit \d+/)
  await accepted.recovery.done
  for (const { taskId, status } of (await accepted.list()).tasks) {
    if (status === 'running') expect(await accepted.result(taskId)).toBeTypeOf('number')
  }
  await accepted.close()
  const again = await openStore(dir)
  expect(again.recovery.storeDamage).toBeUndefined()
  await again.close()
})

test('a buffered store that lost its end opens, and says what it lost', async () => {
  const dir = await makeStore({ durability: 'buffered' })
  const log = await newestLog(dir)
  await truncate(log, Math.floor((await stat(log)).size * 0.7))
  const holdfast = await openStore(dir, { durability: 'buffered' })
  expect(holdfast.recovery.storeDamage).toMatch(/commit \d+/)
  await holdfast.close()
})

test('what was synced is not accepted as lost because the store is buffered now', async () => {
  const dir = await makeStore()
  const log = await newestLog(dir)
  await truncate(log, Math.floor((await stat(log)).size * 0.7))
  await expect(openStore(dir, { durability: 'buffered' })).rejects.toThrow(damaged)
})

test('a damaged anchor is refused, or accepted when told to', async () => {
  const dir = await makeStore()
  await writeFile(join(dir, 'anchor'), 'x'.repeat(1_024))
  await expect(openStore(dir)).rejects.toThrow(damaged)
  await (await openStore(dir, { acceptDamage: true })).close()
  await (await openStore(dir)).close()
})

test('the anchor of another store is refused', async () => {
  const [one, other] = [await makeStore(), await makeStore()]
  await writeFile(join(one, 'anchor'), await readFile(join(other, 'anchor')))
  await expect(openStore(one)).rejects.toThrow(expect.objectContaining({ code: 'STORE_DAMAGED' }))
})

test('directories are 0700 and files 0600, also those that LevelDB makes on the way', async () => {
  const dir = join(scratch, 'modes')
  const holdfast = await openStore(dir)
  const { taskId } = await holdfast.createSessionTask({ type: 'talk' })
  // More than one log's worth, so that LevelDB rotates it and writes tables.
  for (let n = 0; n < 8; n++) await holdfast.saveCheckpoint(taskId, { text: String(n).repeat(900_000) })
  await holdfast.close()
  const names = await readdir(dir, { recursive: true })
  for (const name of names) {
    const found = await stat(join(dir, name))
    expect(`${name} ${(found.mode & 0o777).toString(8)}`).toBe(`${name} ${found.isDirectory() ? '700' : '600'}`)
  }
  expect((await stat(dir)).mode & 0o777).toBe(0o700)
  expect(names.some((name) => name.endsWith('.ldb'))).toBe(true)
})
