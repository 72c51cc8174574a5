// Goal: a task of several MB is imported through a running server, and a client that breaks off in the middle leaves nothing.
// Method: real stores and the real socket. The file is larger than the buffers between a client and its server.
import { createReadStream, createWriteStream } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { request } from 'node:http'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { defineTask, type Holdfast } from '../../../src/index.js'
import { clientOf, holderOf, openStore, scratchDir } from '../../helpers/operator.js'

const STEPS = 8
const large = defineTask({ name: 'large' }, async (task) => {
  for (let step = 0; step < STEPS; step++) await task.step('add', () => String(step).repeat(1_000_000))
  return STEPS
})

/** Exports a settled task of 8 MB through the server of its store. */
async function exportedLarge(): Promise<{ taskId: string; file: string }> {
  const { holdfast, dir } = await openStore({ tasks: [large] })
  const { taskId } = await holdfast.start(large, undefined)
  await holdfast.result(taskId)
  const file = join(scratchDir(), 'large.task')
  await clientOf(dir).exportTask({ taskId, stream: createWriteStream(file) })
  return { taskId, file }
}

/** Bytes of all records of a store, also of those that belong to no task. */
async function storedBytes(dir: string): Promise<number> {
  const { isSound, bytes } = await clientOf(dir).verify()
  expect(isSound).toBe(true)
  return bytes
}

/** Waits until an import that was broken off has left nothing. */
async function untilNothingIsLeft(holdfast: Holdfast, dir: string): Promise<void> {
  await expect.poll(() => storedBytes(dir), { interval: 20, timeout: 20_000 }).toBeLessThan(100_000)
  expect((await holdfast.list()).tasks).toEqual([])
}

test('the bytes of a large task arrive whole', async () => {
  const { taskId, file } = await exportedLarge()
  const { holdfast, dir } = await openStore({ tasks: [large] })
  expect(await clientOf(dir).importTask({ stream: createReadStream(file) })).toMatchObject({ taskId, isParked: false })
  expect(await holdfast.result(taskId)).toBe(STEPS)
  expect(await storedBytes(dir)).toBeGreaterThan(STEPS * 1_000_000)
  const { segments } = await clientOf(dir).listSteps({ taskId, values: true })
  expect(segments.flatMap(({ steps }) => steps).map(({ result }) => result)).toEqual(
    Array.from({ length: STEPS }, (_, step) => String(step).repeat(1_000_000)),
  )
})

test('a client that disconnects in the middle of an import leaves nothing, and the task can be imported after that', async () => {
  const { taskId, file } = await exportedLarge()
  const { holdfast, dir } = await openStore({ tasks: [large] })
  expect(await storedBytes(dir)).toBeLessThan(100_000)
  const { path: socketPath, secret } = holderOf(dir)
  const headers = { authorization: `Bearer ${secret}`, 'holdfast-protocol': '1' }
  const sent = request({ socketPath, path: '/v1/import', method: 'POST', headers })
  sent.on('error', () => {})
  const bytes = await readFile(file)
  sent.write(bytes.subarray(0, bytes.length / 2))
  await expect.poll(() => storedBytes(dir), { interval: 20, timeout: 20_000 }).toBeGreaterThan(1_000_000)
  sent.destroy()
  await untilNothingIsLeft(holdfast, dir)
  expect(await clientOf(dir).importTask({ stream: createReadStream(file) })).toMatchObject({ taskId })
  expect(await holdfast.result(taskId)).toBe(STEPS)
})

test('an import whose own source fails ends with its reason, and leaves nothing', async () => {
  const { file } = await exportedLarge()
  const { holdfast, dir } = await openStore({ tasks: [large] })
  const bytes = await readFile(file)
  async function* broken() {
    yield bytes.subarray(0, bytes.length / 2)
    await turn()
    throw new Error('The disk of the client broke')
  }
  await expect(clientOf(dir).importTask({ stream: broken() })).rejects.toMatchObject({
    code: 'OPERATOR_UNAVAILABLE',
    message: expect.stringContaining('The disk of the client broke'),
  })
  await untilNothingIsLeft(holdfast, dir)
})
