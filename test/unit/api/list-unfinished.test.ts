// Goal: a list of unfinished tasks costs the same however many tasks have settled.
// Method: on a disk in memory, opened iterators and reads are counted; pages are compared with those of the whole list.
import { defineTask } from 'holdfast'
import { MemoryDisk, openInMemory } from 'holdfast/testing'
import { expect, test, vi } from 'vitest'
import { bindingOf } from '../../../src/api/binding.js'

const done = defineTask({ name: 'done' }, async () => 1)
const waits = defineTask({ name: 'waits' }, async (task) => task.receive('never'))

test('a list of unfinished tasks reads nothing from the store, and pages in the order of creation', async () => {
  const disk = new MemoryDisk()
  let holdfast = await openInMemory({ disk, tasks: [done, waits] })
  const mine: string[] = []
  for (let n = 0; n < 60; n++) {
    await holdfast.result((await holdfast.start(done, undefined, { owner: 'ann' })).taskId)
    const { taskId } = await holdfast.start(waits, undefined, { owner: n % 2 === 0 ? 'ann' : 'bob' })
    if (n % 2 === 0) mine.push(taskId)
  }
  const check = async () => {
    const records = bindingOf(holdfast).records('test') as unknown as { store: { read: () => unknown } }
    const read = vi.spyOn(records.store, 'read')
    const found: string[] = []
    let cursor: string | undefined
    do {
      const page = await holdfast.list({ owner: 'ann', status: ['pending', 'running'], limit: 7, cursor })
      found.push(...page.tasks.map(({ taskId }) => taskId))
      cursor = page.cursor
    } while (cursor !== undefined)
    expect(found).toEqual(mine)
    expect((await holdfast.list({ owner: 'ann', status: 'running', type: 'done' })).tasks).toEqual([])
    expect(read).not.toHaveBeenCalled()
    const all = (await holdfast.list({ limit: 1_000 })).tasks
    expect(read).toHaveBeenCalled()
    const unfinished = all.filter(({ status }) => status === 'running').map(({ taskId }) => taskId)
    expect((await holdfast.list({ status: 'running', limit: 1_000 })).tasks.map(({ taskId }) => taskId)).toEqual(
      unfinished,
    )
  }
  await check()
  disk.crash()
  holdfast = await openInMemory({ disk, tasks: [done, waits] })
  await holdfast.recovery.done
  await check()
  await holdfast.close()
  await expect(holdfast.list({ status: 'running' })).rejects.toMatchObject({ code: 'CLOSED' })
})
