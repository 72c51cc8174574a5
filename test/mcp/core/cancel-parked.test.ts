// Goal: a client that cancels a parked task does not lose its clean-up, whichever way it cancels.
// Method: a task whose type a later process lacks, cancelled through each call of both revisions; a third process has it.
import { defineTask } from 'holdfast'
import { durableTasks } from 'holdfast/mcp/2025-11-25'
import { durableTasks as modernTasks } from 'holdfast/mcp/2026-07-28'
import { ManualClock, MemoryDisk, openInMemory, untilIdle } from 'holdfast/testing'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { connect } from '../../helpers/mcp/rev-2025-11-25/connect.js'
import { modernClient } from '../../helpers/mcp/rev-2026-07-28/modern-client.js'

type Open = Awaited<ReturnType<typeof openInMemory>>

async function legacy(holdfast: Open) {
  const durable = durableTasks(holdfast, { access: 'local' })
  const { client } = await connect(durable, { setUp: (server) => durable.registerFallbackTools(server) })
  return { durable, client }
}

const ways: Record<string, (holdfast: Open, taskId: string) => Promise<unknown>> = {
  'tasks/cancel of 2025-11-25': async (holdfast, taskId) => {
    const { client } = await legacy(holdfast)
    const answer = await client.request({ method: 'tasks/cancel', params: { taskId } }, z.looseObject({}))
    expect(answer).toMatchObject({ status: 'cancelled' })
  },
  'the tool cancel_task': async (holdfast, taskId) => {
    const { client } = await legacy(holdfast)
    const { structuredContent } = await client.callTool({ name: 'cancel_task', arguments: { taskId } })
    expect(structuredContent).toMatchObject({ status: 'cancelled' })
  },
  'the task store': async (holdfast, taskId) => {
    const { durable } = await legacy(holdfast)
    await durable.taskStore.updateTaskStatus(taskId, 'cancelled', 'no more')
  },
  'tasks/cancel of 2026-07-28': async (holdfast, taskId) => {
    const client = await modernClient(modernTasks(holdfast, { access: 'local' }))
    expect((await client.request('tasks/cancel', { taskId })).error).toBeUndefined()
    await client.close()
  },
}

test.each(Object.keys(ways))('a parked task that is cancelled by %s is undone once its type is back', async (way) => {
  const [disk, clock] = [new MemoryDisk(), new ManualClock()]
  const undone: string[] = []
  const booked = defineTask({ name: 'booked', undo: { book: () => undone.push('book') } }, async (task) => {
    await task.step('book', () => 'seat 7')
    await task.sleep('until the flight', '30d')
  })
  const first = await openInMemory({ disk, clock, tasks: [booked] })
  const { taskId } = await first.start(booked, null, { owner: 'local' })
  await untilIdle(first)
  disk.crash()

  const second = await openInMemory({ disk, clock })
  await second.recovery.done
  expect(await second.get(taskId)).toMatchObject({ parked: { code: 'TASK_TYPE_UNKNOWN' } })
  await ways[way]?.(second, taskId)
  expect(await second.get(taskId)).toMatchObject({ status: 'cancelled', cleanUp: 'pending' })
  expect(undone).toEqual([])
  await second.close()

  const third = await openInMemory({ disk, clock, tasks: [booked] })
  await expect(third.result(taskId)).rejects.toMatchObject({ code: 'TASK_CANCELLED' })
  expect(await third.get(taskId)).toMatchObject({ cleanUp: 'done', undone: [{ step: 'book', state: 'undone' }] })
  expect(undone).toEqual(['book'])
})
