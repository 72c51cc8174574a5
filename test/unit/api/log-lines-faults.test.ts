// Goal: each line about a fault of the store, of a record or of a process is written as docs/operations/log.md lists it, with each ID once,
// and however often the fault is met, at most once a minute.
// Method: a disk in memory whose records rot and whose writes fail; a logger that keeps every line.
import { expect, test } from 'vitest'
import { faultOf } from '../../../src/base/fault.js'
import { defineTask, HoldfastError, type Logger } from '../../../src/index.js'
import { hourKey } from '../../../src/store/disk/layout.js'
import { type InMemoryOptions, ManualClock, MemoryDisk, openInMemory, untilIdle } from '../../../src/testing/index.js'

type Line = [level: string, message: string, fields?: Record<string, unknown>]
const SECRET = 'a secret'

class World {
  readonly disk = new MemoryDisk()
  clock = new ManualClock()
  lines: Line[] = []
  readonly #at =
    (level: string) =>
    (message: string, fields?: Record<string, unknown>): void =>
      void this.lines.push(fields ? [level, message, fields] : [level, message])
  readonly logger: Logger = { debug() {}, info() {}, warn: this.#at('warn'), error: this.#at('error') }
  readonly hanging = defineTask({ name: 'hanging' }, (task) => task.step('wait', () => new Promise(() => {})))
  readonly quick = defineTask({ name: 'quick' }, (task) => task.step('one', () => SECRET))

  async open(options: Partial<InMemoryOptions> = {}) {
    const { disk, clock, logger, hanging, quick } = this
    return openInMemory({ disk, clock, logger, tasks: [hanging, quick], ...options })
  }

  /** Ends the process as kill -9 does. The next one starts later. */
  crash(): void {
    this.disk.crash()
    this.clock = new ManualClock(this.clock.now() + 1_000)
  }

  /** The fields of the only line with this message, at this level. */
  only(level: string, message: string): Record<string, unknown> | undefined {
    const found = this.lines.filter(([, said]) => said === message)
    expect(found, JSON.stringify(this.lines)).toHaveLength(1)
    expect(found[0]?.[0]).toBe(level)
    // No ID stands in a line twice, and no result.
    const text = JSON.stringify(found[0])
    const { taskId } = found[0]?.[2] ?? {}
    if (taskId !== undefined) expect(text.split(String(taskId))).toHaveLength(2)
    expect(text).not.toContain(SECRET)
    return found[0]?.[2]
  }
}

test('a task that processes crashed with is parked as POISONED, with one line', async () => {
  const world = new World()
  const first = await world.open()
  const { taskId } = await first.start(world.hanging, null)
  await untilIdle(first)
  for (let crashes = 1; ; crashes++) {
    world.crash()
    world.lines = []
    const next = await world.open({ maximumRecoveries: 2 })
    await untilIdle(next)
    if ((await next.get(taskId)).parked) break
    expect(crashes).toBeLessThan(9)
  }
  const said = 'A task is parked. Call get(taskId) for the reason. Correct the cause, or cancel the task.'
  expect(world.only('warn', said)).toEqual({ taskId, type: 'hanging', code: 'POISONED' })
})

test('a task that the engine ends has a line with the code', async () => {
  const world = new World()
  const timed = defineTask({ name: 'timed', timeout: '1s' }, (task) => task.sleep('long', '1h'))
  const holdfast = await world.open({ tasks: [timed] })
  const { taskId } = await holdfast.start(timed, null)
  await world.clock.advance(1_000)
  const fields = world.only('warn', 'A task failed. Call get(taskId) for its error.')
  expect(fields).toEqual({ taskId, type: 'timed', code: 'TIMEOUT' })
})

test('a recovery that is held has a line', async () => {
  const world = new World()
  const first = await world.open()
  await first.start(world.hanging, null)
  await untilIdle(first)
  for (let start = 0; start < 6; start++) {
    world.crash()
    world.disk.dieAt({ atWrite: 1, applied: true })
    const death = new Promise<void>((resolve) => world.disk.onDeath(resolve))
    void world.open().catch(() => {})
    await death
  }
  world.crash()
  const holdfast = await world.open()
  expect(holdfast.recovery.heldReason).toBeDefined()
  const fields = world.only(
    'error',
    'The recovery is held, because every start of this store crashed. Call recover() to begin it.',
  )
  expect(fields).toEqual({ reason: holdfast.recovery.heldReason })
})

test('how the last process ended, and the counters, are read from records that may be damaged', async () => {
  const world = new World()
  await (await world.open()).close()
  world.disk.damage('meta/life', 'rot')
  world.disk.damage('meta/totals', 'rot')
  world.disk.damage(hourKey(Date.UTC(2026, 0, 1, 10)), 'rot')
  const holdfast = await world.open()
  world.only('warn', 'The record of the last process is not readable. If that process crashed, no task is blamed.')
  world.only('error', 'The counters of the store are damaged and begin anew')
  const line =
    'The counters of an hour are damaged and begin anew. Service levels of windows with this hour count too little.'
  expect(world.only('error', line)).toMatchObject({ hour: '2026-01-01T10:00:00.000Z' })
  await holdfast.close()
})

test('a damaged head of an unfinished task has a line at open', async () => {
  const world = new World()
  const first = await world.open()
  const { taskId } = await first.start(world.hanging, null)
  await untilIdle(first)
  world.crash()
  world.disk.damage(`live/${taskId}`, 'rot')
  await untilIdle(await world.open())
  expect(
    world.only('error', 'The head of a task is damaged, so the task does not run. Restore a copy of the store.'),
  ).toMatchObject({ taskId })
})

test('a task that is parked for a damaged record has a line with the reason', async () => {
  const world = new World()
  const first = await world.open()
  const { taskId } = await first.start(world.hanging, 'input'.repeat(200))
  await untilIdle(first)
  world.crash()
  world.disk.damage(`input/${taskId}`, 'rot')
  await untilIdle(await world.open())
  const said = 'A task is parked: a record of it is damaged. Restore a copy of the store, or cancel the task.'
  expect(world.only('error', said)).toMatchObject({
    taskId,
    type: 'hanging',
    reason: expect.stringContaining('damaged'),
  })
})

test('a client that lists a damaged task again and again causes one line and a count', async () => {
  const world = new World()
  const holdfast = await world.open()
  const { taskId } = await holdfast.start(world.quick, null)
  await holdfast.result(taskId)
  world.disk.damage(`done/${taskId}`, 'rot')
  for (let n = 0; n < 50; n++) await holdfast.list()
  const said = 'A task is left out of a list: a record of it is damaged'
  expect(world.only('warn', said)).toMatchObject({ taskId })
  await holdfast.close()
  expect(world.lines.at(-1)).toEqual(['warn', said, { more: 49 }])
})

test('a list leaves out a task whose index entry is damaged where it compares that entry, with a line', async () => {
  const world = new World()
  const holdfast = await world.open()
  const { taskId } = await holdfast.start(world.quick, null, { owner: 'ann' })
  await holdfast.result(taskId)
  world.disk.damage(`ix/o/ann/c/${taskId}`, 'rot')
  expect((await holdfast.list({ owner: 'ann' })).tasks).toHaveLength(1)
  expect((await holdfast.list({ owner: 'ann', type: 'quick' })).tasks).toEqual([])
  expect(world.only('warn', 'A task is left out of a list: a record of it is damaged')).toEqual({
    taskId,
    error: expect.stringContaining('ix/o/ann/c/'),
  })
  await holdfast.close()
})

test('a record that cannot be swept has a line', async () => {
  const world = new World()
  const holdfast = await world.open()
  const { taskId } = await holdfast.start(world.quick, null, { ttl: '1m' })
  await holdfast.result(taskId)
  world.disk.damage(`done/${taskId}`, 'rot')
  await world.clock.advance(180_000)
  await untilIdle(holdfast)
  await holdfast.close()
  const found = world.lines.filter(
    ([, said]) => said === 'A task or key could not be deleted. The next sweep tries again.',
  )
  expect(found[0]).toMatchObject(['warn', expect.anything(), { error: expect.stringContaining('damaged') }])
  for (const line of found) expect(JSON.stringify(line).split(taskId).length).toBeLessThan(3)
})

test('an outage has a line at its beginning and at its end, and many outages within a minute no more', async () => {
  const world = new World()
  const holdfast = await world.open()
  for (let n = 0; n < 5; n++) {
    world.disk.failAt({ atWrite: 1, applied: false })
    await expect(holdfast.start(world.quick, null)).rejects.toThrow(HoldfastError)
    while (!(await holdfast.start(world.quick, null).catch(() => undefined))) await world.clock.advance(50)
  }
  const fields = world.only('error', 'The store refused a write; it is closed and opened again until that works')
  expect(fields).toEqual({ cause: expect.stringContaining('No space left') })
  world.only('warn', 'The store is open again')
  await holdfast.close()
  expect(world.lines.filter(([, , about]) => about?.['more'] === 4)).toHaveLength(2)
})

test('a task whose head is damaged when an outage ends has a line', async () => {
  const world = new World()
  const holdfast = await world.open()
  const { taskId } = await holdfast.start(world.hanging, null)
  await untilIdle(holdfast)
  world.disk.failAt({ atWrite: 1, applied: false })
  world.disk.damage(`live/${taskId}`, 'rot')
  await expect(holdfast.cancel(taskId)).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
  while (!(await holdfast.start(world.quick, null).catch(() => undefined))) await world.clock.advance(50)
  expect(world.only('error', 'A task is damaged on disk and does not run. Restore a copy of the store.')).toEqual({
    taskId,
  })
  await holdfast.close({ grace: 0 })
})

test('a database that lost acknowledged commits in an outage is not used, with one line', async () => {
  const world = new World()
  const holdfast = await world.open()
  const before = new Map(world.disk.content)
  await holdfast.result((await holdfast.start(world.quick, null)).taskId)
  const after = new Map(world.disk.content)
  const set = (to: ReadonlyMap<string, string>) => {
    for (const key of new Set([...before.keys(), ...after.keys()])) world.disk.damage(key, to.get(key))
  }
  world.disk.failAt({ atWrite: 1, applied: false })
  set(before)
  await expect(holdfast.start(world.quick, null)).rejects.toThrow(HoldfastError)
  await world.clock.advance(5_000)
  world.only('error', 'The database was opened again without commits it had acknowledged; it is not used')
  set(after)
  while (!(await holdfast.start(world.quick, null).catch(() => undefined))) await world.clock.advance(1_000)
  await holdfast.close()
})

test('a close that could not be recorded has a line', async () => {
  const world = new World()
  const holdfast = await world.open()
  world.disk.full = true
  await holdfast.close({ grace: 0 })
  world.only('warn', 'The close could not be recorded. The next open counts this process as crashed.')
})

test('of errors of other code, a line has the class, the code and the place, and not the message', () => {
  const error = Object.assign(new RangeError(`${SECRET}\n    at ${SECRET} (file.ts:1:1)`), { code: 'E_MINE' })
  expect(faultOf(error)).toMatch(/^RangeError E_MINE at .*log-lines-faults\.test\.ts:\d+:\d+\)?$/)
  for (const thrown of [
    error,
    SECRET,
    { message: SECRET },
    new HoldfastError('INVALID_INPUT', SECRET),
    Object.create(null),
  ]) {
    expect(faultOf(thrown)).not.toContain(SECRET)
  }
  expect(faultOf(new HoldfastError('STORE_UNAVAILABLE', 'The disk is full'))).toBe('The disk is full')
  const hostile = new Proxy(new Error(SECRET), {
    get: () => {
      throw new Error(SECRET)
    },
  })
  expect(faultOf(hostile)).toBe('a value that cannot be described')
})
