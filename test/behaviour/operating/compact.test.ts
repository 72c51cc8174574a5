// Goal: an operator gets the space of deleted tasks back while tasks run, and a compaction never makes a full disk worse.
// Method: a real store whose tasks are deleted; made-up figures of the free space.
import { expect, test } from 'vitest'
import { engineOf } from '../../../src/engine/recovery/open-engines.js'
import { compactStore } from '../../../src/engine/retention/compact-store.js'
import { defineTask } from '../../../src/index.js'
import { clientOf, openStore } from '../../helpers/operator.js'

const large = defineTask({ name: 'large' }, async (task, n: number) => {
  for (let step = 0; step < 4; step++) {
    // Digits that LevelDB's compression does not make much smaller.
    await task.step('add', () => Array.from({ length: 60_000 }, (_, at) => (at * at * (n + 3)) % 97).join(''))
  }
})

test('the space of deleted tasks is free again, and tasks run on', async () => {
  const { holdfast, dir } = await openStore({ tasks: [large] })
  const run = async (n: number) => {
    const { taskId } = await holdfast.start(large, n)
    await holdfast.result(taskId)
    return taskId
  }
  for (let n = 0; n < 30; n++) await run(n)
  await holdfast.deleteMany({ all: true })
  const kept = await run(31)
  const phases: (number | undefined)[] = []
  const client = clientOf(dir)
  const compacting = client.compact({ onProgress: ({ total }) => phases.push(total) })
  await run(32)
  const { bytesBefore, bytesAfter } = await compacting
  expect(bytesAfter).toBeLessThan(Math.max(bytesBefore / 2, 4_000_000))
  expect(phases.length).toBeGreaterThan(0)
  expect((await holdfast.get(kept)).status).toBe('completed')
  expect((await holdfast.steps(kept))[0]?.steps).toHaveLength(4)
  expect(await client.verify()).toMatchObject({ isSound: true })
})

test('a disk with little room, a signal and a close end it with a sentence, and lose nothing', async () => {
  const { holdfast } = await openStore({ tasks: [large] })
  const { taskId } = await holdfast.start(large, 1)
  await holdfast.result(taskId)
  const full = async () => ({ bavail: 63 * 256, bsize: 4_096 })
  await expect(compactStore(engineOf(holdfast), {}, full)).rejects.toMatchObject({
    code: 'STORE_UNAVAILABLE',
    message: expect.stringContaining('needs 64 MiB of free space, and the disk of'),
  })
  await expect(holdfast.compact({ signal: AbortSignal.abort(new Error('enough')) })).rejects.toThrow('enough')
  for (const options of [{ signal: 1 }, { onProgress: 1 }, { other: 1 }]) {
    await expect(holdfast.compact(options as never)).rejects.toThrow(TypeError)
  }
  expect((await holdfast.get(taskId)).status).toBe('completed')
  await holdfast.close()
  await expect(holdfast.compact()).rejects.toMatchObject({ code: 'CLOSED' })
})
