/**
 * Goal: a restored store has what the backup has, continues its tasks under the same keys when it is released, and is never
 * half a store.
 * Method: real stores; a restore that is killed at each of its phases; tasks that note the key of each call.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { defineTask, Holdfast, silentLogger } from 'holdfast'
import { createBackup, restoreBackup, verify } from 'holdfast/admin'
import { untilIdle } from 'holdfast/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { alter, CallNotes, type Filled, fill, fillStore, storeIdOf, storeTasks } from '../../helpers/stores.js'

let scratch: string
let original: string
let backup: string
let ids: Filled
const notes = new CallNotes()
let names = 0
const fresh = () => join(scratch, `place-${++names}`)
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'holdfast-restore-'))
  original = fresh()
  const tasks = storeTasks(notes)
  const holdfast = await Holdfast.open({ dir: original, tasks: Object.values(tasks), logger: silentLogger })
  ids = await fill(holdfast, tasks)
  await holdfast.close()
  // The next start has tasks to resume, so the store has a report of a recovery.
  const again = await Holdfast.open({ dir: original, tasks: Object.values(tasks), logger: silentLogger })
  await again.recovery.done
  await untilIdle(again)
  await again.close()
  await alter(original, async (database) => database.change('meta/life', () => '"x"', 'binding/mcp/http-session/1'))
  backup = fresh()
  await createBackup({ dir: original, file: backup })
})
afterAll(() => rm(scratch, { recursive: true, force: true }))

const open = (dir: string, calls: CallNotes, more: object = {}) =>
  Holdfast.open({ dir, tasks: Object.values(storeTasks(calls)), logger: silentLogger, ...more })

const OWN = /^(binding\/|meta\/(format|life|recovery)$)/
const recordsOf = (dir: string) =>
  alter(dir, async (database) =>
    database
      .keys('')
      .filter((key) => !OWN.test(key))
      .map((key) => [key, database.get(key)]),
  )

test('a restored store has each record of the tasks, an ID of its own, and its origin', async () => {
  const dir = fresh()
  const report = await restoreBackup({ file: backup, dir })
  expect(report).toMatchObject({
    restoredFrom: { storeId: await storeIdOf(original) },
    unfinished: { wait: 2 },
    unfinishedTaskIds: [ids.waiting, ids.sent].sort(),
    findings: [],
  })
  expect(await recordsOf(dir)).toEqual(await recordsOf(original))
  expect(await alter(dir, async (database) => database.keys('binding/'))).toEqual([])
  expect(await alter(original, async (database) => database.keys('meta/recovery'))).toHaveLength(1)
  expect(await alter(dir, async (database) => database.keys('meta/recovery'))).toEqual([])
  const identity = JSON.parse(await readFile(join(dir, 'holdfast.json'), 'utf8')) as object
  expect(identity).toMatchObject({ storeId: report.storeId, restoredFrom: report.restoredFrom })
  expect(report.storeId).not.toBe(report.restoredFrom.storeId)
  expect(await verify({ dir })).toMatchObject({ isSound: true, storeId: report.storeId })
})

test('its unfinished tasks wait for recover() over any number of opens, and continue under the same keys', async () => {
  const dir = fresh()
  await restoreBackup({ file: backup, dir })
  const calls = new CallNotes()
  for (let opens = 0; opens < 2; opens++) {
    const lines: string[] = []
    const held = await open(dir, calls, { logger: { ...silentLogger, warn: (line: string) => lines.push(line) } })
    expect(lines).toContain('The store was restored or repaired, so its unfinished tasks wait for recover().')
    await untilIdle(held)
    expect(held.recovery.heldReason).toMatch(/restored .* from a backup/)
    expect(held.recovery.startedAt).toBeUndefined()
    await held.close()
  }
  const holdfast = await open(dir, calls)
  await holdfast.recover()
  await holdfast.recovery.done
  await untilIdle(holdfast)
  expect(calls.keys).toEqual([])
  const [request] = Object.keys((await holdfast.get(ids.waiting)).inputRequests ?? {})
  await holdfast.respond(ids.waiting, { [request as string]: 'yes' })
  await holdfast.result(ids.waiting)
  await holdfast.close()
  expect(calls.keys).toHaveLength(1)
  // The original runs the same step under the same key, so a service sees one call.
  const same = new CallNotes()
  const first = await open(original, same)
  await first.respond(ids.waiting, { [request as string]: 'yes' })
  await first.result(ids.waiting)
  await first.close()
  expect(same.keys).toEqual(calls.keys)
  expect([...notes.keys, ...calls.keys].length).toBe(new Set([...notes.keys, ...calls.keys]).size)
  const again = await open(dir, calls)
  expect(again.recovery.heldReason).toBeUndefined()
  await again.close()
})

test('with `start`, they run at the next open, and the report has what will run', async () => {
  const dir = fresh()
  const report = await restoreBackup({ file: backup, dir, start: true })
  expect(report).toMatchObject({ unfinished: { wait: 2 }, unfinishedTaskIds: [ids.waiting, ids.sent].sort() })
  const holdfast = await open(dir, new CallNotes())
  expect(holdfast.recovery.heldReason).toBeUndefined()
  await holdfast.recovery.done
  expect(holdfast.recovery.tasks.map(({ taskId }) => taskId).sort()).toEqual(report.unfinishedTaskIds)
  await holdfast.close()
})

test('a backup that was made under load continues every task, and calls no step twice that it has', async () => {
  const calls: string[] = []
  const count = defineTask({ name: 'count' }, async (task, n: number) => {
    for (let step = 0; step < n; step++) await task.step('add', ({ idempotencyKey }) => void calls.push(idempotencyKey))
    return n
  })
  const live = await Holdfast.open({ dir: fresh(), tasks: [count], logger: silentLogger })
  const started = await Promise.all(Array.from({ length: 200 }, () => live.start(count, 30)))
  const file = fresh()
  const making = createBackup({ holdfast: live, file })
  const ended = Promise.all(started.map(({ taskId }) => live.result(taskId)))
  await making
  await ended
  await live.close()
  const dir = fresh()
  await restoreBackup({ file, dir, start: true })
  const before = new Set(calls)
  expect(before.size).toBe(calls.length)
  calls.length = 0
  const holdfast = await Holdfast.open({ dir, tasks: [count], logger: silentLogger })
  for (const { taskId } of started) expect(await holdfast.result(taskId)).toBe(30)
  await holdfast.close()
  // Each key is one that the original used, and none is used twice by the copy.
  expect(new Set(calls).size).toBe(calls.length)
  expect(calls.filter((key) => !before.has(key))).toEqual([])
})

test('a restore that is killed leaves no store that opens, and can be repeated', { timeout: 120_000 }, async () => {
  const child = fileURLToPath(new URL('./restore-child.mjs', import.meta.url))
  const module = pathToFileURL(fileURLToPath(new URL('../../../src/admin/index.ts', import.meta.url))).href
  for (const phase of ['write', 'verify']) {
    const dir = fresh()
    const killed = spawn(process.execPath, ['--import', 'tsx', child, module, backup, dir], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const ended = once(killed, 'exit')
    for await (const line of createInterface({ input: killed.stdout })) {
      if (line !== phase) continue
      killed.kill('SIGKILL')
      break
    }
    await ended
    const isWhole = (await readFile(join(dir, 'holdfast.json'), 'utf8')).includes('"restoring":true') === false
    if (!isWhole) await expect(open(dir, notes)).rejects.toMatchObject({ code: 'STORE_INCOMPLETE' })
    if (!isWhole) await restoreBackup({ file: backup, dir })
    expect(await verify({ dir })).toMatchObject({ isSound: true })
  }
})

test('a store is never replaced, and a refused restore leaves nothing', async () => {
  const other = fresh()
  await fillStore(other)
  await expect(restoreBackup({ file: backup, dir: other })).rejects.toMatchObject({ code: 'STORE_UNUSABLE' })
  expect(await verify({ dir: other })).toMatchObject({ isSound: true })
  const foreign = fresh()
  await mkdir(foreign)
  await writeFile(join(foreign, 'mine'), '')
  await expect(restoreBackup({ file: backup, dir: foreign })).rejects.toMatchObject({ code: 'STORE_UNUSABLE' })
  expect(await readdir(foreign)).toEqual(['mine'])
  const cut = fresh()
  await writeFile(cut, (await readFile(backup)).subarray(0, 5_000))
  const dir = fresh()
  await expect(restoreBackup({ file: cut, dir })).rejects.toMatchObject({ code: 'BACKUP_INVALID' })
  await expect(readdir(dir)).rejects.toThrow(/ENOENT/)
  await expect(restoreBackup({ file: backup, dir: '' })).rejects.toThrow(/`dir`/)
})
