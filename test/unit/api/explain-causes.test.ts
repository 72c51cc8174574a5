// Goal: `explain` names a cause outside the task: crashes, a held recovery, a disk that is full, no server.
// Method: a machine whose process dies on a disk in memory; a real directory that is open for a command.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { openToOperate } from '../../../src/api/open-to-operate.js'
import { silentLogger } from '../../../src/base/logger.js'
import { defineTask, Holdfast } from '../../../src/index.js'
import { MemoryDisk, openInMemory, untilIdle } from '../../../src/testing/index.js'
import { Machine } from '../../helpers/poison-machine.js'

const receiver = defineTask({ name: 'receiver' }, (task) => task.receive('go'))

test('a suspect waits for the turn of the one before it', async () => {
  const machine = new Machine()
  const [first, second] = (await machine.startAndDie('a', 'b')) as [string, string]
  await machine.live()
  machine.die()
  const holdfast = await machine.live()
  expect(await holdfast?.explain(first)).toMatchObject({ state: 'running' })
  expect(await holdfast?.explain(second)).toMatchObject({ state: 'suspect', deaths: 2 })
})

test('a task of a held recovery was not resumed, because the starts before crashed', async () => {
  const machine = new Machine()
  const [taskId] = (await machine.startAndDie('one')) as [string]
  for (let start = 0; start < 5; start++) {
    machine.disk.dieAt({ atWrite: 1, applied: true })
    await machine.live()
  }
  const holdfast = await machine.live()
  expect(await holdfast?.explain(taskId)).toMatchObject({
    state: 'not-recovered',
    cause: 'held',
    advice: expect.stringContaining('the last 5 starts'),
  })
})

test('a task is not explained by its wait while the disk is full, and is again afterwards', async () => {
  const disk = new MemoryDisk()
  const holdfast = await openInMemory({ disk, tasks: [receiver] })
  const { taskId } = await holdfast.start(receiver, null)
  await untilIdle(holdfast)
  disk.full = true
  await expect(holdfast.start(receiver, null)).rejects.toThrow()
  expect(await holdfast.explain(taskId)).toMatchObject({ state: 'store-down', status: 'running' })
  disk.full = false
  await holdfast.close({ grace: 0 })
})

test('in a store that is open for a command, no process runs the task', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'holdfast-explain-'))
  const holdfast = await Holdfast.open({ dir, tasks: [receiver], logger: silentLogger })
  const { taskId } = await holdfast.start(receiver, null)
  await untilIdle(holdfast)
  await holdfast.close()
  const operated = await openToOperate({ dir, logger: silentLogger })
  expect(await operated.explain(taskId)).toMatchObject({ state: 'not-recovered', cause: 'no-server' })
  await operated.close()
  rmSync(dir, { recursive: true, force: true })
})
