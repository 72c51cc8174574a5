// Goal: an opening for a command of an operator runs and writes nothing by itself, and is no start of the server.
// Method: real directories. A crash is a copy of the directory of a process that has not closed it.
import { chownSync, cpSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ClassicLevel } from 'classic-level'
import { afterEach, expect, test } from 'vitest'
import { openToOperate } from '../../../src/api/open-to-operate.js'
import { silentLogger } from '../../../src/base/logger.js'
import { defineTask, Holdfast } from '../../../src/index.js'
import { ManualClock, untilIdle } from '../../../src/testing/index.js'

const folders: string[] = []
const folder = () => {
  const made = mkdtempSync(join(tmpdir(), 'holdfast-operate-'))
  folders.push(made)
  return made
}
afterEach(() => {
  for (const made of folders.splice(0)) rmSync(made, { recursive: true, force: true })
})

/** Every key and value of the database. */
async function recordsOf(dir: string): Promise<string[]> {
  const level = new ClassicLevel(join(dir, 'db'))
  const found = await level.iterator().all()
  await level.close()
  return found.map(([key, value]) => `${key} ${value}`)
}

let undone = 0
const tasks = [
  defineTask({ name: 'waits', timeout: '1h', onCancel: () => void undone++ }, async (task) => {
    await task.step('first', () => 1)
    await task.receive('go')
  }),
  defineTask({ name: 'ends' }, async () => 1),
]

/** A store that a crash left behind: one task that waits, one that is complete. */
async function crashedStore(): Promise<{ dir: string; waiting: string; complete: string }> {
  const original = folder()
  // Without the operator API: Node cannot copy its socket.
  const options = { tasks, logger: silentLogger, clock: new ManualClock(), operator: false }
  const holdfast = await Holdfast.open({ ...options, dir: original })
  const waiting = await holdfast.start('waits', null, { owner: 'ann' })
  const complete = await holdfast.start('ends', null)
  await holdfast.result(complete.taskId)
  await untilIdle(holdfast)
  const dir = join(folder(), 'store')
  cpSync(original, dir, { recursive: true })
  await holdfast.close({ grace: 0 })
  return { dir, waiting: waiting.taskId, complete: complete.taskId }
}

test('an opening to operate reads every task, and leaves every record as it was, also after a crash', async () => {
  const { dir, waiting, complete } = await crashedStore()
  const before = await recordsOf(dir)
  const clock = new ManualClock()
  const holdfast = await openToOperate({ dir, clock, logger: silentLogger })
  await clock.advance(3 * 3_600_000)
  expect((await holdfast.list()).tasks.map(({ taskId, status }) => `${taskId} ${status}`)).toEqual([
    `${waiting} running`,
    `${complete} completed`,
  ])
  expect((await holdfast.get(complete)).outcome).toEqual({ kind: 'result', result: 1 })
  expect((await holdfast.steps(waiting)).length).toBe(1)
  await holdfast.close()
  expect(await recordsOf(dir)).toEqual(before)
})

test('a cancel leaves the clean-up to the next start of the server', async () => {
  const { dir, waiting } = await crashedStore()
  undone = 0
  const operated = await openToOperate({ dir, logger: silentLogger })
  expect(await operated.cancel(waiting, { reason: 'stuck' })).toMatchObject({ status: 'cancelled', cleanUp: 'pending' })
  await operated.close()
  expect(undone).toBe(0)
  const holdfast = await Holdfast.open({ dir, tasks, logger: silentLogger })
  await holdfast.recovery.done
  await untilIdle(holdfast)
  expect(undone).toBe(1)
  expect(await holdfast.get(waiting)).toMatchObject({ status: 'cancelled', cleanUp: 'done' })
  await holdfast.close()
})

test('an opening to operate reads the report of the last recovery, that of a server', async () => {
  const { dir, waiting } = await crashedStore()
  const before = await openToOperate({ dir, logger: silentLogger })
  expect(await before.lastRecovery()).toBeUndefined()
  await before.close()
  const holdfast = await Holdfast.open({ dir, tasks, logger: silentLogger })
  const { startedAt, finishedAt } = await holdfast.recovery.done
  await untilIdle(holdfast)
  await holdfast.close()
  const operated = await openToOperate({ dir, logger: silentLogger })
  const found = [expect.objectContaining({ taskId: waiting, type: 'waits' })]
  expect(await operated.lastRecovery()).toMatchObject({ startedAt, finishedAt, found: 1, tasks: found })
  await operated.close()
})

test('a directory without a store is refused, and nothing is made there', async () => {
  const dir = folder()
  await expect(openToOperate({ dir, logger: silentLogger })).rejects.toMatchObject({ code: 'STORE_NOT_FOUND' })
  await expect(openToOperate({ dir: join(dir, 'none'), logger: silentLogger })).rejects.toMatchObject({
    code: 'STORE_NOT_FOUND',
  })
  expect(readdirSync(dir)).toEqual([])
})

test.skipIf(process.geteuid?.() !== 0)('a store of another user is refused with the user to run as', async () => {
  const { dir } = await crashedStore()
  const before = readdirSync(dir)
  chownSync(join(dir, 'holdfast.json'), 12_345, 0)
  const refused = await openToOperate({ dir, logger: silentLogger }).catch((error: unknown) => error)
  expect(refused).toMatchObject({ code: 'STORE_OF_ANOTHER_USER', message: expect.stringContaining('uid 12345') })
  expect(readdirSync(dir)).toEqual(before)
})

test('a server waits for a command that has the store open, without `lockWait`', async () => {
  const { dir } = await crashedStore()
  const operated = await openToOperate({ dir, logger: silentLogger })
  let hasWarned = () => {}
  const warned = new Promise<void>((resolve) => {
    hasWarned = resolve
  })
  const opening = Holdfast.open({ dir, tasks, logger: { ...silentLogger, warn: () => hasWarned() } })
  await warned
  await operated.close()
  await (await opening).close()
})

test('the wait for a command ends after 10 seconds, with advice', async () => {
  const { dir } = await crashedStore()
  const operated = await openToOperate({ dir, logger: silentLogger })
  const clock = new ManualClock()
  const began = clock.now()
  let refused: unknown
  let hasWarned = (_fields: unknown) => {}
  const warned = new Promise<unknown>((resolve) => {
    hasWarned = resolve
  })
  const logger = { ...silentLogger, warn: (_message: string, fields: unknown) => hasWarned(fields) }
  const opening = Holdfast.open({ dir, tasks, logger, clock }).catch((error: unknown) => {
    refused = error
  })
  expect(await warned).toMatchObject({ role: 'cli', lockWaitMs: 10_000 })
  while (refused === undefined) await clock.advance(1_000)
  await opening
  expect(clock.now() - began).toBeGreaterThanOrEqual(10_000)
  expect(refused).toMatchObject({ code: 'STORE_LOCKED', details: { role: 'cli' } })
  await operated.close()
})
