// Goal: a task is kept as long as it was asked for and no longer, whatever write the process dies at.
// Method: time in hand on a disk in memory; expiry and sweep are played with a crash before and after every write, and
// what is left on the disk is compared with what a play without a crash leaves.

import { describe, expect, test } from 'vitest'
import { defineTask, type Holdfast } from '../../../src/index.js'
import { timerKey } from '../../../src/store/disk/layout.js'
import type { Level } from '../../../src/store/disk/level.js'
import { seal, unsealJson } from '../../../src/store/integrity/envelope.js'
import { type InMemoryOptions, ManualClock, MemoryDisk, openInMemory, untilIdle } from '../../../src/testing/index.js'
import { turns } from '../../helpers/turns.js'

const MINUTE = 60_000
const failing = (code: string) => expect.objectContaining({ code })
/** What the disk has of a task: every key with its ID in it, without the audit and the last report of a recovery, which outlive it. */
const keysOf = (disk: MemoryDisk, taskId: string) =>
  [...disk.content]
    .filter(
      ([key, text]) =>
        (key.includes(taskId) || text.includes(taskId)) && !/^(audit\/|trail\/|meta\/recovery$)/.test(key),
    )
    .map(([key]) => key)

const quick = defineTask({ name: 'quick' }, (task) => task.step('a', () => 1))
/** Of more records than one batch deletes. */
const large = defineTask({ name: 'large' }, async (task) => {
  for (let n = 0; n < 150; n++) await task.step('a', () => n)
})
const endless = defineTask({ name: 'endless' }, async (task) => {
  await task.step('a', () => 1)
  await task.sleep('long', '90d')
})

describe('a ttl', () => {
  test.each([
    ['a task that sleeps', (h: Holdfast) => h.start(endless, null, { ttl: '5m' })],
    ['a session task', (h: Holdfast) => h.createSessionTask({ type: 'talk', ttl: '5m' })],
  ])('that elapses fails %s with EXPIRED, and sweeps it', async (_, start) => {
    const clock = new ManualClock()
    const disk = new MemoryDisk()
    const holdfast = await openInMemory({ disk, clock, tasks: [endless] })
    const { taskId } = await start(holdfast)
    const told = holdfast.result(taskId).catch((error: unknown) => error)
    await clock.advance(5 * MINUTE - 1)
    expect(await holdfast.get(taskId)).toMatchObject({ status: 'running', ttl: 5 * MINUTE, deadlineAt: undefined })
    await clock.advance(1)
    expect(await told).toEqual(failing('EXPIRED'))
    await clock.advance(MINUTE)
    await untilIdle(holdfast)
    await expect(holdfast.get(taskId)).rejects.toEqual(failing('TASK_NOT_FOUND'))
    await expect(holdfast.result(taskId)).rejects.toEqual(failing('TASK_NOT_FOUND'))
    expect((await holdfast.list()).tasks).toEqual([])
    expect((await holdfast.audit({ taskId })).map(({ action }) => action)).toEqual(['created', 'failed'])
    expect(keysOf(disk, taskId)).toEqual([])
  })

  test.each([
    ['timeout', { timeout: '1m', deadline: 2, ttl: '3m' }, 'TIMEOUT', /timeout/],
    ['deadline', { timeout: '2m', deadline: 1, ttl: '3m' }, 'TIMEOUT', /deadline/],
    ['ttl', { timeout: '3m', deadline: 2, ttl: '1m' }, 'EXPIRED', /ttl/],
  ] as const)('and the other limits: the %s strikes first, awake or down', async (_, limits, code, message) => {
    for (const isDown of [false, true]) {
      const clock = new ManualClock()
      const disk = new MemoryDisk()
      const task = defineTask({ name: 'job', timeout: limits.timeout }, (job) => job.sleep('long', '9d'))
      const first = await openInMemory({ disk, clock, tasks: [task] })
      const deadline = clock.now() + limits.deadline * MINUTE
      const { taskId } = await first.start(task, null, { deadline, ttl: limits.ttl })
      await untilIdle(first)
      if (isDown) await first.close()
      await clock.advance(MINUTE + 1)
      // All three have passed at this recovery; the first of them is the one that counts.
      if (isDown) await clock.advance(10 * MINUTE)
      const second = isDown ? await openInMemory({ disk, clock, tasks: [task] }) : first
      await second.recovery.done
      const { error } = await second.get(taskId)
      expect(error).toMatchObject({ code, message: expect.stringMatching(message) })
    }
  })

  test('is enforced also by processes that never live for a minute', async () => {
    const clock = new ManualClock()
    const disk = new MemoryDisk()
    const first = await openInMemory({ disk, clock, tasks: [quick] })
    const { taskId } = await first.start(quick, null, { ttl: '10s' })
    await first.result(taskId)
    await first.close()
    await clock.advance(MINUTE)
    const second = await openInMemory({ disk, clock, tasks: [quick] })
    await clock.advance(5_000)
    await untilIdle(second)
    expect(keysOf(disk, taskId)).toEqual([])
    await second.close()
  })

  test('a task that settled in time is kept until it is over, also over a restart', async () => {
    const clock = new ManualClock()
    const disk = new MemoryDisk()
    const first = await openInMemory({ disk, clock, tasks: [quick] })
    const { taskId } = await first.start(quick, null, { ttl: '10m', owner: 'alice' })
    const kept = await first.start(quick, null, { owner: 'alice' })
    expect(await first.result(taskId)).toBe(1)
    await clock.advance(9 * MINUTE)
    expect(await first.get(taskId)).toMatchObject({ status: 'completed' })
    await first.close()
    await clock.advance(60 * MINUTE)
    const second = await openInMemory({ disk, clock, tasks: [quick] })
    await clock.advance(MINUTE)
    await untilIdle(second)
    await expect(second.get(taskId)).rejects.toEqual(failing('TASK_NOT_FOUND'))
    expect((await second.list({ owner: 'alice' })).tasks).toMatchObject([{ taskId: kept.taskId }])
    expect(keysOf(disk, taskId)).toEqual([])
  })

  test('a task that settles long after it (the process was down) is swept once it is settled', async () => {
    const clock = new ManualClock()
    const disk = new MemoryDisk()
    const first = await openInMemory({ disk, clock, tasks: [endless] })
    const { taskId } = await first.start(endless, null, { ttl: '1m' })
    await untilIdle(first)
    await first.close()
    await clock.advance(600 * MINUTE)
    const second = await openInMemory({ disk, clock, tasks: [endless] })
    await second.recovery.done
    expect(await second.get(taskId)).toMatchObject({ status: 'failed', error: { code: 'EXPIRED' } })
    await clock.advance(MINUTE)
    await untilIdle(second)
    expect(keysOf(disk, taskId)).toEqual([])
  })

  test('a parked task expires too', async () => {
    const clock = new ManualClock()
    const disk = new MemoryDisk()
    const first = await openInMemory({ disk, clock, tasks: [endless] })
    const { taskId } = await first.start(endless, null, { ttl: '570s' })
    await untilIdle(first)
    await first.close()
    const second = await openInMemory({ disk, clock })
    await second.recovery.done
    expect(await second.get(taskId)).toMatchObject({ parked: { code: 'TASK_TYPE_UNKNOWN' } })
    await clock.advance(9.5 * MINUTE)
    expect(await second.get(taskId)).toMatchObject({ status: 'failed', error: { code: 'EXPIRED' }, cleanUp: 'pending' })
  })

  test('a clock that jumps backwards sweeps nothing before its time, forwards nothing that is wanted for good', async () => {
    const clock = new ManualClock()
    const disk = new MemoryDisk()
    const first = await openInMemory({ disk, clock, tasks: [quick] })
    const short = await first.start(quick, null, { ttl: '10m' })
    const good = await first.start(quick, null)
    await Promise.all([first.result(short.taskId), first.result(good.taskId)])
    await first.close()
    const earlier = new ManualClock(clock.now() - 600 * MINUTE)
    const second = await openInMemory({ disk, clock: earlier, tasks: [quick] })
    await earlier.advance(30 * MINUTE)
    expect(await second.get(short.taskId)).toMatchObject({ status: 'completed' })
    await second.close()
    const later = new ManualClock(clock.now() + 600_000 * MINUTE)
    const third = await openInMemory({ disk, clock: later, tasks: [quick] })
    await later.advance(MINUTE)
    await untilIdle(third)
    await expect(third.get(short.taskId)).rejects.toEqual(failing('TASK_NOT_FOUND'))
    expect(await third.get(good.taskId)).toMatchObject({ status: 'completed' })
  })
})

describe('an idempotency key of a swept task', () => {
  const options = () => {
    const clock = new ManualClock()
    return {
      disk: new MemoryDisk(),
      clock,
      tasks: [quick, large],
      idempotencyRetention: '30m',
    } satisfies InMemoryOptions
  }
  const start = (holdfast: Holdfast, input: unknown = null, type = 'quick') =>
    holdfast.start(type, input, { ttl: '1m', idempotencyKey: 'k', owner: 'alice' })
  const gone = (taskId: string, settledAt: number) =>
    expect.objectContaining({
      code: 'RESULT_GONE',
      details: { taskId, settledAt },
      message: expect.stringContaining(`task ${taskId}, which settled at ${new Date(settledAt).toISOString()}`),
    })

  test('says that its task is gone, over a restart, starts nothing, and is then forgotten', async () => {
    const opened = options()
    const { clock, disk } = opened
    const first = await openInMemory(opened)
    const settledAt = clock.now()
    const { taskId } = await start(first)
    await first.result(taskId)
    await clock.advance(5 * MINUTE)
    await untilIdle(first)
    await expect(first.get(taskId)).rejects.toEqual(failing('TASK_NOT_FOUND'))
    const { writes } = disk
    await expect(start(first)).rejects.toEqual(gone(taskId, settledAt))
    await expect(start(first, 'other')).rejects.toEqual(failing('IDEMPOTENCY_CONFLICT'))
    expect(disk.writes).toBe(writes)
    await first.close()
    const second = await openInMemory(opened)
    await clock.advance(25 * MINUTE)
    await expect(start(second)).rejects.toEqual(gone(taskId, settledAt))
    await clock.advance(MINUTE)
    const again = await start(second)
    expect(again.created).toBe(true)
    expect(again.taskId).not.toBe(taskId)
    const againAt = clock.now()
    await second.result(again.taskId)
    await clock.advance(5 * MINUTE)
    await untilIdle(second)
    expect(keysOf(disk, taskId)).toEqual([])
    await expect(start(second)).rejects.toEqual(gone(again.taskId, againAt))
  })

  test('says so too while the task is half deleted', async () => {
    const opened = options()
    const { clock, disk } = opened
    const first = await openInMemory(opened)
    const settledAt = clock.now()
    const { taskId } = await start(first, null, 'large')
    await first.result(taskId)
    // The guards, the head that says so, the first of several batches of deletes: there the process dies.
    disk.dieAt({ atWrite: 3, applied: true })
    await clock.advance(5 * MINUTE)
    await untilIdle(first)
    expect(disk.content.get(`done/${taskId}`)).toContain('"sweeping":true')
    const second = await openInMemory(opened)
    await expect(start(second, null, 'large')).rejects.toEqual(gone(taskId, settledAt))
  })

  test('says no time where an earlier version swept the task', async () => {
    const opened = options()
    const { clock, disk } = opened
    const first = await openInMemory(opened)
    const { taskId } = await start(first)
    await first.result(taskId)
    await clock.advance(5 * MINUTE)
    await untilIdle(first)
    await first.close()
    const key = [...disk.content.keys()].find((each) => each.startsWith('key/')) ?? ''
    const { settledAt: _, ...entry } = unsealJson<{ settledAt?: number }>(key, disk.content.get(key) ?? '')
    disk.damage(key, seal(key, 0, JSON.stringify(entry)))
    const second = await openInMemory(opened)
    await expect(start(second)).rejects.toMatchObject({ code: 'RESULT_GONE', details: { taskId } })
  })

  test('holds for a fork too', async () => {
    const opened = options()
    const { clock } = opened
    const holdfast = await openInMemory(opened)
    const { taskId } = await holdfast.start(quick, null)
    await holdfast.result(taskId)
    const fork = () => holdfast.fork(taskId, { afterStep: { name: 'a' } }, { ttl: '1m', idempotencyKey: 'f' })
    const { taskId: forked } = await fork()
    await clock.advance(5 * MINUTE)
    await untilIdle(holdfast)
    await expect(fork()).rejects.toMatchObject({ code: 'RESULT_GONE', details: { taskId: forked } })
  })
})

describe('retention', () => {
  test('sweeps settled tasks without a ttl, also those settled before it was set, and nothing unfinished', async () => {
    const clock = new ManualClock()
    const disk = new MemoryDisk()
    const first = await openInMemory({ disk, clock, tasks: [quick, endless] })
    const old = await first.start(quick, null)
    const talk = await first.createSessionTask({ type: 'talk' })
    const sleeping = await first.start(endless, null)
    await first.result(old.taskId)
    await clock.advance(600 * MINUTE)
    expect(await first.get(old.taskId)).toMatchObject({ status: 'completed' })
    await first.close()
    const second = await openInMemory({ disk, clock, tasks: [quick, endless], retention: '1h' })
    const young = await second.start(quick, null)
    const asked = await second.start(quick, null, { ttl: '9h' })
    await Promise.all([second.result(young.taskId), second.result(asked.taskId)])
    await clock.advance(50 * MINUTE)
    await untilIdle(second)
    await expect(second.get(old.taskId)).rejects.toEqual(failing('TASK_NOT_FOUND'))
    expect(keysOf(disk, old.taskId)).toEqual([])
    expect(await second.get(young.taskId)).toMatchObject({ status: 'completed' })
    await clock.advance(12 * MINUTE)
    await untilIdle(second)
    expect(keysOf(disk, young.taskId)).toEqual([])
    for (const { taskId } of [talk, sleeping, asked]) expect(await second.get(taskId)).toBeTruthy()
  })
})

describe('a sweep', () => {
  test('passes what is damaged, and sweeps the rest', async () => {
    const clock = new ManualClock()
    const disk = new MemoryDisk()
    const holdfast = await openInMemory({ disk, clock, tasks: [quick] })
    const ids: string[] = []
    for (let n = 0; n < 3; n++) ids.push((await holdfast.start(quick, null, { ttl: '1m' })).taskId)
    for (const taskId of ids) await holdfast.result(taskId as never)
    disk.damage(`done/${ids[1]}`, 'rot')
    await clock.advance(3 * MINUTE)
    await untilIdle(holdfast)
    expect(keysOf(disk, ids[0] as string)).toEqual([])
    expect(keysOf(disk, ids[2] as string)).toEqual([])
    await expect(holdfast.get(ids[1] as string)).rejects.toEqual(failing('RECORD_DAMAGED'))
  })

  test('leaves a task alone that somebody restores from, and leaves nothing behind', async () => {
    const clock = new ManualClock()
    const disk = new MemoryDisk()
    const holdfast = await openInMemory({ disk, clock })
    const { taskId } = await holdfast.createSessionTask({ type: 'talk', ttl: '1m' })
    await holdfast.saveCheckpoint(taskId, 'state')
    await holdfast.cancel(taskId)
    await clock.advance(MINUTE - 1)
    const restored: Promise<unknown>[] = []
    for (let n = 0; n < 100; n++) {
      restored.push(holdfast.restoreCheckpoint(taskId).catch((error: { code: string }) => error.code))
      if (n === 20) void clock.advance(1)
      await turns(1)
    }
    await clock.advance(5 * MINUTE)
    await untilIdle(holdfast)
    expect((await Promise.all(restored)).slice(0, 5)).toMatchObject(Array(5).fill({ state: 'state' }))
    for (const answer of await Promise.all(restored)) {
      if (typeof answer === 'string') expect(answer).toBe('TASK_NOT_FOUND')
    }
    expect(keysOf(disk, taskId)).toEqual([])
  })

  test('of what a task without a head left behind takes it away; one that has a head keeps it', async () => {
    const clock = new ManualClock()
    const disk = new MemoryDisk()
    const holdfast = await openInMemory({ disk, clock, tasks: [quick] })
    const { taskId } = await holdfast.start(quick, null)
    await holdfast.result(taskId)
    const orphan = taskId.replace(/.{4}$/, 'ZZZZ')
    disk.damage(`log/${orphan}/00000000/0000000000`, 'half a copy')
    disk.damage(`input/${orphan}`, 'half a copy')
    for (const id of [orphan, taskId]) disk.damage(timerKey(clock.now(), 'sweep-orphan', id), 'x')
    await clock.advance(MINUTE)
    await untilIdle(holdfast)
    expect(keysOf(disk, orphan)).toEqual([])
    expect([...disk.content.keys()].filter((key) => key.startsWith('timer/'))).toEqual([])
    expect(await holdfast.get(taskId)).toMatchObject({ status: 'completed' })
    expect(await holdfast.steps(taskId)).toHaveLength(1)
  })
})

// --- a crash at every write --------------------------------------------------------------------------------------------

test('a sweep deletes no key that is not there', async () => {
  const absent: string[] = []
  class StrictDisk extends MemoryDisk {
    override async open(): Promise<Level> {
      const level = await super.open()
      const batch = level.batch.bind(level)
      return Object.assign(level, {
        batch: () => {
          const made = batch()
          const del = (key: string) => {
            if (!this.content.has(key)) absent.push(key)
            return made.del(key)
          }
          return { ...made, del }
        },
      })
    }
  }
  const disk = new StrictDisk()
  const clock = new ManualClock()
  const echo = defineTask({ name: 'echo' }, (task, text: string) => task.step('a', () => text))
  const holdfast = await openInMemory({ disk, clock, tasks: [echo, quick] })
  const taskIds: string[] = []
  for (const input of ['small', 'x'.repeat(600)]) {
    const options = { ttl: '5m', owner: 'ann', idempotencyKey: `${input.length}` } as const
    taskIds.push((await holdfast.start(echo, input, options)).taskId)
  }
  taskIds.push((await holdfast.start(quick, undefined, { ttl: '5m' })).taskId)
  for (const taskId of taskIds) await holdfast.result(taskId)
  absent.length = 0
  await clock.advance(7 * MINUTE)
  await untilIdle(holdfast)
  for (const taskId of taskIds) {
    const left = keysOf(disk, taskId).filter((key) => !/^(key|timer)\//.test(key))
    expect(left).toEqual([])
  }
  expect(absent).toEqual([])
  await holdfast.close()
})

const MANY = 90
const tasks = () => [
  // More than one batch: records, checkpoints, and what a step saved for its next attempt.
  defineTask({ name: 'large' }, async (task) => {
    await Promise.all(Array.from({ length: MANY }, (_, n) => task.step('part', () => n)))
    await task.saveCheckpoint({ parts: MANY })
    await task.step('hang', async ({ saveCheckpoint }) => {
      await saveCheckpoint('half')
      return new Promise(() => {})
    })
  }),
  quick,
]

/** Plays to the end, through at most one death, and says what is on the disk then. */
async function play(death?: { atWrite: number; applied: boolean }) {
  const clock = new ManualClock()
  const disk = new MemoryDisk()
  const began = clock.now()
  if (death) disk.dieAt(death)
  let deaths = 0
  for (let isAlive = true, life = 0; life < 3; life++, isAlive = true) {
    disk.onDeath(() => {
      isAlive = false
      deaths++
    })
    void live().catch(() => {})
    for (let quiet = 0; isAlive && quiet < 40; quiet++) await turns(1)
    while (isAlive && clock.now() < began + 8 * MINUTE) await clock.advance(MINUTE / 2)
    if (isAlive) break
  }
  const left = [...disk.content].filter(([key]) => !/^(chain|hour|meta\/format)|\/~$/.test(key))
  const countersIn = (text = '') => JSON.parse(text.replace(/^[^{]*/, '')) as Record<string, number>
  const { found: _found, takenUp: _takenUp, ...settled } = countersIn(disk.content.get('meta/totals'))
  // The counters of an hour are kept for 30 days.
  const { completed, failed, expired } = countersIn([...disk.content].find(([key]) => key.startsWith('hour/'))?.[1])
  const hour = { completed, failed, expired }
  const kept: Record<string, unknown> = { ...settled, hour }
  return { keys: left.map(([key]) => key), settled: kept, writes: disk.writes, deaths }

  async function live() {
    const holdfast = await openInMemory({
      disk,
      clock,
      tasks: tasks(),
      idempotencyRetention: '2m',
      retention: '3m',
      auditRetention: '3m',
    })
    if (clock.now() > began) return
    const owner = 'alice'
    await holdfast.start('large', { a: 1 }, { ttl: '2m', idempotencyKey: 'l', owner })
    await holdfast.start('quick', null, { ttl: '2m', idempotencyKey: 'q' })
    const { taskId } = await holdfast.start('quick', null, { idempotencyKey: 'r', owner })
    await holdfast.result(taskId as never)
  }
}

test('expiry and sweep leave nothing of a task, whatever write the process dies at', async () => {
  const calm = await play()
  expect(calm.keys).toEqual(['meta/life', 'meta/totals', 'meta/audit'])
  expect(calm.settled).toMatchObject({
    ...{ completed: 2, failed: 1, expired: 1, sweptCompleted: 2, sweptFailed: 1, settledBytes: 0 },
    hour: { completed: 2, failed: 1, expired: 1 },
  })
  const { completionMs: _, ...counted } = calm.settled
  let died = 0
  for (let atWrite = 1; atWrite <= calm.writes; atWrite++) {
    for (const applied of [false, true]) {
      const where = `write ${atWrite}, ${applied ? 'after' : 'before'}`
      const crashed = await play({ atWrite, applied })
      died += crashed.deaths
      const { completionMs: __, ...settled } = crashed.settled
      // The report of the last recovery is one bounded value.
      const keys = crashed.keys.filter((key) => key !== 'meta/recovery')
      expect(keys, where).toEqual(['meta/life', 'meta/totals', 'meta/audit'])
      expect(settled, where).toEqual(counted)
    }
  }
  expect(died).toBe(2 * calm.writes)
  expect(calm.writes).toBeGreaterThan(15)
  console.info(`expiry and sweep: ${died} crashes at ${calm.writes} writes`)
})

test('half a task is nobody’s: between two batches of its sweep, and after a crash there', async () => {
  const clock = new ManualClock()
  const disk = new MemoryDisk()
  const options: InMemoryOptions = { disk, clock, tasks: tasks() }
  const first = await openInMemory(options)
  const { taskId } = await first.start('large', null, { ttl: '90s', owner: 'alice' })
  await untilIdle(first)
  await clock.advance(1.5 * MINUTE)
  expect(await first.get(taskId)).toMatchObject({ error: { code: 'EXPIRED' } })
  // The guards, then the head is hidden; then the process dies with half of the rest deleted.
  disk.dieAt({ atWrite: 4, applied: false })
  await clock.advance(MINUTE)
  await untilIdle(first)
  expect(disk.isOpen).toBe(false)
  expect(disk.content.has(`done/${taskId}`)).toBe(true)
  const left = keysOf(disk, taskId)
  expect(left.length).toBeGreaterThan(5)
  const second = await openInMemory(options)
  for (const owner of ['alice', undefined]) {
    await expect(second.get(taskId, { owner })).rejects.toEqual(failing('TASK_NOT_FOUND'))
    expect((await second.list({ owner })).tasks).toEqual([])
  }
  await clock.advance(MINUTE)
  await untilIdle(second)
  expect(keysOf(disk, taskId)).toEqual([])
})
