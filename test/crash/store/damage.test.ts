// Goal: acknowledged commits that are missing are noticed at the next open, and never accepted in silence (store-2).
// Method: real stores on disk, harmed between a close and an open as disks, backups and people harm them.
import { cp, mkdtemp, open, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ClassicLevel } from 'classic-level'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createIds } from '../../../src/base/ids.js'
import { checkOptions } from '../../../src/engine/checks/open-options.js'
import { defineTask, Holdfast, type Logger, silentLogger } from '../../../src/index.js'
import { openStore as openFolder } from '../../../src/store/open.js'

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

const openStore = (dir: string, more: { acceptDamage?: boolean; durability?: 'buffered'; logger?: Logger } = {}) =>
  Holdfast.open({ dir, tasks: [count], logger: silentLogger, ...more })

async function makeStore(more: { durability?: 'buffered' } = {}): Promise<string> {
  const dir = join(scratch, `store-${++stores}`)
  const holdfast = await openStore(dir, more)
  for (let n = 1; n <= 5; n++) await holdfast.result((await holdfast.start(count, n * 4)).taskId)
  await holdfast.close()
  return dir
}

const damaged = expect.objectContaining({ code: 'STORE_DAMAGED', message: expect.stringMatching(/acceptDamage: true/) })

/** A logger that notes errors. */
function noting() {
  const errors: [string, Record<string, unknown>?][] = []
  return {
    errors,
    logger: { ...silentLogger, error: (...line: [string, Record<string, unknown>?]) => errors.push(line) },
  }
}

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

test.each([
  ['missing', (path: string) => rm(path)],
  ['damaged in both slots', (path: string) => writeFile(path, 'x'.repeat(1_024))],
  ['cut to nothing', (path: string) => truncate(path, 0)],
])('an anchor that is %s is refused, and accepted once with a report and a line of the log', async (_, harm) => {
  const dir = await makeStore()
  await harm(join(dir, 'anchor'))
  await expect(openStore(dir)).rejects.toThrow(damaged)
  await expect(openStore(dir)).rejects.toThrow(damaged)
  const { logger, errors } = noting()
  const accepted = await openStore(dir, { acceptDamage: true, logger })
  expect(accepted.recovery.storeDamage).toMatch(/anchor file/)
  expect(errors).toEqual([
    [
      'Damage of the store was accepted. The store continues without what is missing.',
      expect.objectContaining({ dir }),
    ],
  ])
  expect(errors[0]?.[1]).toMatchObject({ damage: accepted.recovery.storeDamage, reason: '`acceptDamage` is true' })
  await accepted.close()
  const again = await openStore(dir, { acceptDamage: true, logger })
  expect(again.recovery.storeDamage).toBeUndefined()
  expect(errors).toHaveLength(1)
  await again.close()
})

test('a store without commits needs no anchor: its making may have been cut off before', async () => {
  const dir = join(scratch, 'no-commits')
  const make = () => openFolder({ ...checkOptions({ dir, logger: silentLogger }), ids: createIds() })
  await (await make()).close()
  await rm(join(dir, 'anchor'))
  const store = await make()
  expect(store.damage).toBeUndefined()
  await store.close()
})

test('a damaged slot of the anchor is counted in the figures of the store, and no reason to refuse it', async () => {
  const dir = await makeStore()
  const anchor = await readFile(join(dir, 'anchor'))
  anchor.fill('x', 20, 25)
  await writeFile(join(dir, 'anchor'), anchor)
  const holdfast = await openStore(dir)
  expect((await holdfast.stats()).anchor).toEqual({ failedWrites: 0, damagedSlots: 1 })
  await holdfast.close()
})

/** Damages the value of a key in the database of a store that is closed. */
async function rot(dir: string, key: string, value: string | undefined): Promise<void> {
  const level = new ClassicLevel<string, string>(join(dir, 'db'), { keyEncoding: 'utf8', valueEncoding: 'utf8' })
  await level.open({ createIfMissing: false })
  if (value === undefined) await level.del(key)
  else await level.put(key, value)
  await level.close()
}

test.each(['meta/format', 'meta/accepted', 'meta/buffered', 'chain/0003'])(
  "the store's own record %s that cannot be read is refused by its name, and accepted once",
  async (key) => {
    const dir = await makeStore()
    await rot(dir, key, 'garbled')
    await expect(openStore(dir)).rejects.toThrow(damaged)
    await expect(openStore(dir)).rejects.toThrow(key)
    const accepted = await openStore(dir, { acceptDamage: true })
    expect(accepted.recovery.storeDamage).toContain(key)
    expect((await accepted.list()).tasks).toHaveLength(5)
    await accepted.close()
    const again = await openStore(dir)
    expect(again.recovery.storeDamage).toBeUndefined()
    await again.close()
  },
)

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
