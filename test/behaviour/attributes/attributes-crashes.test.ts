// Goal: whatever write the process dies at, a body's changes of attributes have their effect once, and the index has the attributes of
// a task exactly while it is settled and not swept.
// Method: a task that sets attributes is played with a crash before and after every write, and swept at the end. The format laws
// (test/helpers/format-laws.ts) compare the index with the settled heads after each crash.
import { expect, test } from 'vitest'
import { defineTask, type Holdfast } from '../../../src/index.js'
import type { MemoryDisk } from '../../../src/testing/index.js'
import { everyCrash } from '../../helpers/every-crash.js'

const indexed = (disk: MemoryDisk) => [...disk.content.keys()].filter((key) => key.startsWith('ix/a/'))

test('the attributes are the same after every crash, each is found by the index, and none is left after the sweep', async () => {
  const { calm, crashed } = await everyCrash({
    effects: () => undefined,
    tasks: () => [
      defineTask({ name: 'sets' }, async (task) => {
        await task.setAttributes({ phase: 'one', round: 1 })
        await task.step('work', () => 1)
        await task.all({ a: (one) => one.setAttributes({ a: true }), b: (one) => one.setAttributes({ phase: null }) })
      }),
    ],
    drive: async (holdfast) => {
      const options = { idempotencyKey: 'one', ttl: '5m', title: 'T', attributes: { customer: 'a/17' } } as const
      return (await holdfast.start('sets', null, options)).taskId
    },
    look: async (holdfast: Holdfast, taskId, disk) => {
      const { title, attributes } = await holdfast.get(taskId)
      const found = await holdfast.list({ attributes: { customer: 'a/17', round: 1 } })
      const gone = await holdfast.list({ attributes: { phase: 'one' } })
      const entries = (await holdfast.audit({ taskId })).filter(({ action }) => action === 'attributes-set')
      const keys = indexed(disk).length
      // The clock moves to the next timer whenever nothing else happens, and so to the sweep.
      while ([...disk.content.keys()].some((key) => key.startsWith('done/'))) {
        await new Promise((resolve) => setImmediate(resolve))
      }
      expect(indexed(disk)).toEqual([])
      return { title, attributes, found: found.tasks.length, gone: gone.tasks.length, keys, entries: entries.length }
    },
  })
  const attributes = { a: true, customer: 'a/17', round: 1 }
  expect(calm.outcome).toMatchObject({ seen: { title: 'T', attributes, found: 1, gone: 0, keys: 3, entries: 3 } })
  expect(crashed.length).toBeGreaterThan(10)
  for (const { where, outcome } of crashed) {
    expect(outcome, where).toMatchObject({ seen: (calm.outcome as { seen: unknown }).seen as object })
  }
})
