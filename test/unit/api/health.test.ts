// Goal: `health` tells a probe if the process lives and if it does its work, at any moment, with the reason if not.
// Method: instances in memory in each state; the space of the file system is given.

import { mkdtempSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { readHealth } from '../../../src/api/health.js'
import { silentLogger } from '../../../src/base/logger.js'
import type { Engine } from '../../../src/engine/core/engine.js'
import { defineTask, Holdfast } from '../../../src/index.js'
import { systemCodeOf } from '../../../src/store/disk/damage.js'
import { ManualClock, MemoryDisk, openInMemory, untilIdle } from '../../../src/testing/index.js'

const sleeper = defineTask({ name: 'sleeper' }, (task) => task.sleep('night', '8h'))
const codes = ({ reasons }: { reasons: readonly { code: string }[] }) => reasons.map(({ code }) => code)

test('a recovered instance is live and ready, and one after close is neither', async () => {
  const holdfast = await openInMemory({ tasks: [sleeper] })
  await holdfast.recovery.done
  expect(await holdfast.health()).toMatchObject({
    live: true,
    ready: true,
    reasons: [],
    recovery: { state: 'done', found: 0, left: 0 },
    store: { state: 'up', error: undefined },
    damage: { store: undefined, tasks: 0 },
  })
  await holdfast.close()
  const closed = await holdfast.health()
  expect(closed).toMatchObject({ live: false, ready: false, store: { state: 'closed' } })
  expect(codes(closed)).toEqual(['CLOSED'])
})

test('an instance that waits for recover() is live and not ready', async () => {
  const disk = new MemoryDisk()
  const clock = new ManualClock()
  const first = await openInMemory({ disk, clock, tasks: [sleeper] })
  await first.start(sleeper, null)
  await untilIdle(first)
  await first.close()
  const next = await openInMemory({ disk, clock, tasks: [sleeper], recover: 'manual' })
  const waiting = await next.health()
  expect(waiting).toMatchObject({ live: true, ready: false, recovery: { state: 'waiting' } })
  expect(codes(waiting)).toEqual(['RECOVERY_WAITING'])
  await next.recover()
  await next.recovery.done
  expect(await next.health()).toMatchObject({ ready: true, recovery: { state: 'done', found: 1, left: 0 } })
  await next.close()
})

test('an instance that recovers names how many tasks are left', async () => {
  const disk = new MemoryDisk()
  const stuck = defineTask({ name: 'stuck' }, () => new Promise<void>(() => {}))
  const first = await openInMemory({ disk, tasks: [stuck] })
  await first.start(stuck, null)
  await first.start(stuck, null)
  await first.close({ grace: 0 })
  const next = await openInMemory({ disk, tasks: [stuck], concurrency: 1 })
  await untilIdle(next)
  const health = await next.health()
  if (health.recovery.state === 'running') expect(codes(health)).toEqual(['RECOVERY_RUNNING'])
  expect(health.ready).toBe(health.recovery.state === 'done')
  expect(health.recovery.left).toBe(health.recovery.state === 'done' ? 0 : 1)
  await next.close({ grace: 0 })
})

test('a store whose disk refuses writes is live and not ready, and ready again afterwards', async () => {
  const disk = new MemoryDisk()
  const clock = new ManualClock()
  const holdfast = await openInMemory({ disk, clock, tasks: [sleeper] })
  await holdfast.recovery.done
  disk.full = true
  await expect(holdfast.start(sleeper, null)).rejects.toThrow()
  const down = await holdfast.health()
  expect(down).toMatchObject({ live: true, ready: false, store: { state: 'down', error: 'ENOSPC' } })
  expect(codes(down)).toEqual(['STORE_DOWN'])
  disk.full = false
  await clock.advance(5_000)
  await untilIdle(holdfast)
  expect(await holdfast.health()).toMatchObject({ ready: true, store: { state: 'up' } })
  await holdfast.close()
})

test.each([
  [10, false, ['DISK_SPACE_LOW']],
  [100, true, ['DISK_SPACE_LOW']],
  [1_000, true, []],
])('with %i MiB free, ready is %s', async (mib, ready, reasons) => {
  const engine = {
    report: { finishedAt: 1, found: 0, left: 0, storeDamage: undefined, count: () => 0 },
    options: { dir: 'x', purpose: 'serve' },
    store: { connection: { isUp: true } },
    closing: false,
    lost: undefined,
  } as unknown as Engine
  const health = await readHealth(engine, async () => ({ bavail: mib, blocks: 2_000, bsize: 1_048_576 }))
  expect([health.ready, codes(health), health.disk]).toEqual([
    ready,
    reasons,
    { freeBytes: mib * 1_048_576, totalBytes: 2_000 * 1_048_576 },
  ])
})

test('a store whose lock file is deleted is not live', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'holdfast-health-'))
  const holdfast = await Holdfast.open({ dir, tasks: [sleeper], logger: silentLogger })
  expect((await holdfast.health()).disk?.totalBytes).toBeGreaterThan(0)
  await rm(join(dir, 'lock'))
  await expect(holdfast.start(sleeper, null)).rejects.toThrow()
  const lost = await holdfast.health()
  expect(lost).toMatchObject({ live: false, ready: false, store: { state: 'lost' } })
  expect(codes(lost)).toContain('STORE_LOST')
  await holdfast.close({ grace: 0 })
  await rm(dir, { recursive: true })
})

test('the system error of a failed write is found in its causes', () => {
  const failed = new Error('Database failed', { cause: new Error('IO error: 000012.log: No space left on device') })
  expect(systemCodeOf(failed)).toBe('ENOSPC')
  expect(systemCodeOf(Object.assign(new Error('x'), { code: 'EACCES' }))).toBe('EACCES')
  expect(systemCodeOf(new Error('another'))).toBeUndefined()
  expect(systemCodeOf('text')).toBeUndefined()
})
