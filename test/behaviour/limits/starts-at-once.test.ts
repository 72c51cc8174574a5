// Goal: of a burst of starts, few are decided and written at once, and each gets its answer, whatever happens to the store.
// Method: a disk whose writes are held, with V8's count of the tasks in memory; a disk that is full; a close.
import { queryObjects } from 'node:v8'
import { expect, test } from 'vitest'
import { LiveTask } from '../../../src/engine/core/live-task.js'
import { CREATIONS_MAX } from '../../../src/engine/scheduling/admission.js'
import { defineTask } from '../../../src/index.js'
import { turn } from '../../../src/testing/immediates.js'
import { MemoryDisk, openInMemory, untilIdle } from '../../../src/testing/index.js'

const job = defineTask({ name: 'job' }, (_, n: number) => n)
const BURST = 4 * CREATIONS_MAX

/** A disk whose writes wait from `hold` until `release`. */
function heldDisk() {
  let isHeld = false
  let letGo: () => void = () => {}
  const latency = () => (isHeld ? new Promise<void>((resolve) => (letGo = resolve)) : turn())
  const hold = () => {
    isHeld = true
  }
  const release = () => {
    isHeld = false
    letGo()
  }
  return { disk: new MemoryDisk(latency), hold, release }
}

test('starts beyond a hundred wait until others are on disk, and then run in their order', async () => {
  const held = heldDisk()
  const holdfast = await openInMemory({ disk: held.disk, tasks: [job] })
  held.hold()
  const starts = Array.from({ length: BURST }, (_, n) => holdfast.start(job, n))
  await untilIdle(holdfast)
  expect(queryObjects(LiveTask, { format: 'count' })).toBeLessThanOrEqual(CREATIONS_MAX)
  held.release()
  const started = await Promise.all(starts)
  const ids = started.map(({ taskId }) => taskId)
  expect([...ids].sort()).toEqual(ids)
  expect(await Promise.all(ids.map((taskId) => holdfast.result(taskId)))).toEqual(ids.map((_, n) => n))
  await holdfast.close()
})

test('starts that wait are refused when the instance closes', async () => {
  const held = heldDisk()
  const holdfast = await openInMemory({ disk: held.disk, tasks: [job] })
  held.hold()
  const starts = Array.from({ length: BURST }, (_, n) => holdfast.start(job, n))
  const settled = Promise.allSettled(starts)
  await untilIdle(holdfast)
  const closed = holdfast.close()
  held.release()
  await closed
  const codes = (await settled).map((start) => (start.status === 'rejected' ? start.reason.code : 'started'))
  expect(codes.filter((code) => code === 'started').length).toBe(CREATIONS_MAX)
  expect(new Set(codes.slice(CREATIONS_MAX))).toEqual(new Set(['CLOSED']))
})

test('starts that wait are refused while the disk is full, and later ones get a place', async () => {
  const disk = new MemoryDisk()
  const holdfast = await openInMemory({ disk, tasks: [job] })
  disk.full = true
  const refused = await Promise.allSettled(Array.from({ length: BURST }, (_, n) => holdfast.start(job, n)))
  expect(refused.filter(({ status }) => status === 'fulfilled').length).toBe(0)
  disk.full = false
  await expect
    .poll(() =>
      holdfast.start(job, 1).then(
        () => 'started',
        () => 'refused',
      ),
    )
    .toBe('started')
  const started = await Promise.all(Array.from({ length: BURST }, (_, n) => holdfast.start(job, n)))
  expect(new Set(started.map(({ taskId }) => taskId)).size).toBe(BURST)
  await holdfast.close()
})
