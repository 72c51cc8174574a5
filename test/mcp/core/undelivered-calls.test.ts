// Goal: the undelivered calls in memory are those on disk that a repeat may join, and their number has a limit.
// Method: the class alone, over records in memory and a clock in hand.
import { setImmediate as turn } from 'node:timers/promises'
import { expect, test, vi } from 'vitest'
import { REJOIN_SETTLED_MS, UndeliveredCalls } from '../../../src/mcp/tools/join-call.js'

const LOGGER = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

async function calls({ onDisk = [] as string[], max = 10 } = {}) {
  const disk = new Set(onDisk)
  const unfinished = new Set<string>()
  let now = 0
  const keys = vi.fn(async (prefix: string, limit = Number.POSITIVE_INFINITY) =>
    [...disk].filter((key) => key.startsWith(prefix)).slice(0, limit),
  )
  const write = vi.fn(async (records: readonly { key: string; text: string | undefined }[]) => {
    await turn()
    for (const { key } of records) disk.delete(key)
  })
  const own = (key: string, text: string | undefined) => ({ key, text })
  const undelivered = new UndeliveredCalls(
    { records: { keys, write, own }, logger: LOGGER, now: () => now, isUnfinished: (taskId) => unfinished.has(taskId) },
    max,
  )
  const add = (key: string) => {
    disk.add(key)
    unfinished.add(key.slice(key.lastIndexOf('/') + 1))
    undelivered.add(key)
  }
  await undelivered.find('')
  keys.mockClear()
  const pass = (ms: number) => {
    now += ms
  }
  return { undelivered, add, keys, disk, pass }
}

test('the calls of an earlier process are found without a read', async () => {
  const { undelivered, keys } = await calls({ onDisk: ['rejoin/a/t/h/one', 'rejoin/a/t/h/two', 'rejoin/b/t/h/three'] })
  expect(await undelivered.find('rejoin/a/t/h/')).toEqual(['one', 'two'])
  expect(await undelivered.find('rejoin/c/t/h/')).toEqual([])
  expect(keys).not.toHaveBeenCalled()
})

test('over the limit the oldest is only on disk, and searches read that', async () => {
  const { undelivered, add, keys } = await calls({ max: 3 })
  for (const n of [1, 2, 3, 4]) add(`rejoin/a/t/${n}/task-${n}`)
  expect(await undelivered.find('rejoin/a/t/1/')).toEqual(['task-1'])
  expect(keys).toHaveBeenCalledTimes(1)
})

test('more calls on disk than the limit are not all read into memory', async () => {
  const { undelivered, keys } = await calls({ onDisk: [1, 2, 3, 4, 5].map((n) => `rejoin/a/t/${n}/task-${n}`), max: 2 })
  expect(await undelivered.find('rejoin/a/t/5/')).toEqual(['task-5'])
  expect(keys).toHaveBeenCalledTimes(1)
})

test('a call whose task settled an hour ago is forgotten, an unfinished one is not', async () => {
  const { undelivered, add, pass } = await calls()
  add('rejoin/a/t/h/settled')
  add('rejoin/a/t/h/unfinished')
  undelivered.noteSettled('settled')
  pass(REJOIN_SETTLED_MS)
  expect(await undelivered.find('rejoin/a/t/h/')).toEqual(['settled', 'unfinished'])
  pass(1)
  expect(await undelivered.find('rejoin/a/t/h/')).toEqual(['unfinished'])
})

test('a delivered call is not found while its deletion is being written, also where the disk is read', async () => {
  const { undelivered, add, disk } = await calls({ max: 1 })
  for (const n of [1, 2]) add(`rejoin/a/t/h/task-${n}`)
  undelivered.delete('rejoin/a/t/h/task-1')
  expect(disk.size).toBe(2)
  expect(await undelivered.find('rejoin/a/t/h/')).toEqual(['task-2'])
  await turn()
  expect(disk.size).toBe(1)
  expect(await undelivered.find('rejoin/a/t/h/')).toEqual(['task-2'])
})

test('a call whose answer is on its way is not found, until its client is gone', async () => {
  const { undelivered, add } = await calls()
  add('rejoin/a/t/h/one')
  undelivered.hold('rejoin/a/t/h/one')
  expect(await undelivered.find('rejoin/a/t/h/')).toEqual([])
  undelivered.release('rejoin/a/t/h/one')
  expect(await undelivered.find('rejoin/a/t/h/')).toEqual(['one'])
})
