// Goal: the key of a question is the name where it can be, is never given twice in a task's life, and goes with the task.
// Method: whole tasks on a disk in memory, over prunes, retries, forks and restarts; what is on the disk is looked at.
import { defineTask, type Holdfast, type TaskContext } from 'holdfast'
import { ManualClock, MemoryDisk, openInMemory, untilIdle } from 'holdfast/testing'
import { describe, expect, test } from 'vitest'

const keysOf = (disk: MemoryDisk, prefix: string) => [...disk.content.keys()].filter((key) => key.startsWith(prefix))

/** Answers every question with its key until the task is settled. */
async function answerWithKeys(holdfast: Holdfast, taskId: string): Promise<string[]> {
  const keys: string[] = []
  for (;;) {
    await untilIdle(holdfast)
    const { inputRequests = {} } = await holdfast.get(taskId)
    const open = Object.keys(inputRequests)
    if (open.length === 0) return keys
    keys.push(...open)
    await holdfast.respond(taskId, Object.fromEntries(open.map((key) => [key, key])))
  }
}

async function keysAsked(...names: string[]): Promise<string[]> {
  const body = defineTask({ name: 'asks' }, async (task) => {
    for (const name of names) await task.input(name)
  })
  const holdfast = await openInMemory({ tasks: [body] })
  const { taskId } = await holdfast.start(body, undefined)
  const keys = await answerWithKeys(holdfast, taskId)
  await holdfast.close()
  return keys
}

describe('the key of a question', () => {
  test('is its name for the first of the name, and has the number of the question for later ones', async () => {
    expect(await keysAsked('name', 'city', 'name', 'city', 'city')).toEqual([
      'name',
      'city',
      'name-3',
      'city-4',
      'city-5',
    ])
  })

  test('is the next free one where an earlier question of another name had it', async () => {
    expect(await keysAsked('a-2', 'a', 'a', 'a-2', 'a-3')).toEqual(['a-2', 'a', 'a-3', 'a-2-4', 'a-3-5'])
    expect(await keysAsked('a-4', 'a-5', 'a', 'a')).toEqual(['a-4', 'a-5', 'a', 'a-6'])
    const names = ['a-9', 'a-10', 'a-11', 'a-12', 'a-13', 'a-14', 'a', 'a']
    expect(await keysAsked(...names)).toEqual(['a-9', 'a-10', 'a-11', 'a-12', 'a-13', 'a-14', 'a', 'a-8'])
    const long = [...Array(9).keys()].map((n) => `b-${n + 11}`)
    expect(await keysAsked(...long, 'b', 'b')).toEqual([...long, 'b', 'b-20'])
  })

  test('is another one for each of several that are asked side by side', async () => {
    const body = defineTask({ name: 'asks' }, (task) => Promise.all(['a', 'a', 'a'].map((name) => task.input(name))))
    const holdfast = await openInMemory({ tasks: [body] })
    const { taskId } = await holdfast.start(body, undefined)
    await untilIdle(holdfast)
    expect(Object.keys((await holdfast.get(taskId)).inputRequests ?? {})).toEqual(['a', 'a-2', 'a-3'])
    await holdfast.close()
  })

  test('is not given again after a prune, a retry and a restart, and an answer to it is told to be late', async () => {
    const disk = new MemoryDisk()
    const clock = new ManualClock()
    const body = defineTask({ name: 'asks', retry: { maximumAttempts: 2 } }, async (task: TaskContext) => {
      const restored = await task.restoreCheckpoint()
      if (!restored) {
        await task.input('ok')
        await task.saveCheckpoint('half', { prune: true })
      }
      await task.input('ok')
      if (task.attempt === 1) throw new Error('again')
      return task.input('ok')
    })
    let holdfast = await openInMemory({ disk, clock, tasks: [body] })
    const { taskId } = await holdfast.start(body, undefined)
    await untilIdle(holdfast)
    await holdfast.respond(taskId, { ok: 1 })
    await untilIdle(holdfast)
    expect(Object.keys((await holdfast.get(taskId)).inputRequests ?? {})).toEqual(['ok-2'])
    disk.crash()
    holdfast = await openInMemory({ disk, clock, tasks: [body] })
    await holdfast.recovery.done
    expect(await holdfast.respond(taskId, { ok: 2, 'ok-1': 2, 'ok-3': 2 })).toMatchObject({
      accepted: [],
      ignored: [
        { key: 'ok', reason: 'answered' },
        { key: 'ok-1', reason: 'unknown' },
        { key: 'ok-3', reason: 'unknown' },
      ],
    })
    await holdfast.respond(taskId, { 'ok-2': 2 })
    await untilIdle(holdfast)
    await clock.advance(5_000)
    const after = await answerWithKeys(holdfast, taskId)
    expect(new Set(['ok', 'ok-2', ...after]).size).toBe(2 + after.length)
    expect(await holdfast.result(taskId)).toBe(after.at(-1))
    await holdfast.close()
  })

  test('is not given again in a fork that has the answer', async () => {
    const body = defineTask({ name: 'asks' }, async (task) => [
      await task.input('ok'),
      await task.input('ok'),
      await task.input('ok'),
    ])
    const holdfast = await openInMemory({ tasks: [body] })
    const { taskId } = await holdfast.start(body, undefined)
    await answerWithKeys(holdfast, taskId)
    const { taskId: forkId } = await holdfast.fork(taskId, { afterStep: { name: 'ok', number: 2 } })
    expect(await holdfast.respond(forkId, { ok: 'late' })).toMatchObject({ ignored: [{ reason: 'answered' }] })
    expect(await answerWithKeys(holdfast, forkId)).toEqual(['ok-3'])
    expect(await holdfast.result(forkId)).toEqual(['ok', 'ok-2', 'ok-3'])
    await holdfast.close()
  })
})

test('the keys of a task count in its bytes, and are deleted with it', async () => {
  const clock = new ManualClock()
  const disk = new MemoryDisk()
  const body = defineTask({ name: 'asks' }, async (task) => {
    for (let n = 0; n < 3; n++) await task.input('ok')
  })
  const holdfast = await openInMemory({ disk, clock, tasks: [body] })
  const { taskId } = await holdfast.start(body, undefined, { ttl: '1h' })
  await untilIdle(holdfast)
  const before = (await holdfast.stats()).bytes.counted
  expect(keysOf(disk, `input-key/${taskId}/`)).toHaveLength(1)
  await holdfast.respond(taskId, { ok: 1 })
  await untilIdle(holdfast)
  // A record and a key.
  expect((await holdfast.stats()).bytes.counted - before).toBeGreaterThan(2 * 120)
  await answerWithKeys(holdfast, taskId)
  expect(keysOf(disk, `input-key/${taskId}/`)).toHaveLength(3)
  await clock.advance(2 * 3_600_000)
  await untilIdle(holdfast)
  expect(keysOf(disk, taskId)).toEqual([])
  // The audit outlives its task.
  const left = [...disk.content.keys()].filter((key) => key.includes(taskId) && !key.startsWith('trail/'))
  expect(left).toEqual([])
  await holdfast.close()
})
