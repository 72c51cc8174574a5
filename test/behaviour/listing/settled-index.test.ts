// Goal: the index has the entries of a task exactly while the task is settled and not swept, whatever write the process dies at.
// Method: tasks that complete, fail, are cancelled, cleaned up and swept are played with a crash before and after every write. After
// each crash the index is compared with the settled heads (test/helpers/format-laws.ts), and after the sweep nothing of it is left.
import { expect, test } from 'vitest'
import { defineTask, type Holdfast, type HoldfastError } from '../../../src/index.js'
import { type MemoryDisk, untilIdle } from '../../../src/testing/index.js'
import { everyCrash } from '../../helpers/every-crash.js'

const keysUnder = (disk: MemoryDisk, prefix: string) => [...disk.content.keys()].filter((key) => key.startsWith(prefix))

const tasks = () => [
  defineTask({ name: 'parent' }, (task) => task.child('a/child', null)),
  defineTask({ name: 'a/child' }, async () => 1),
  defineTask({ name: 'failing' }, () => {
    throw new Error('no')
  }),
  defineTask({ name: 'cleans', onCancel: () => {} }, (task) => task.sleep('long', '1d')),
  defineTask({ name: 'of_nobody' }, () => 1),
]

/** Starts one task of each type, all of which are swept five minutes later. Returns the ID of the parent. */
async function drive(holdfast: Holdfast): Promise<string> {
  const start = async (type: string, owner?: string) => {
    const options = { idempotencyKey: 'one', ttl: '5m', owner } as const
    return (await holdfast.start(type, null, options).catch(untilRestart)).taskId
  }
  const parent = await start('parent', 'ann/b')
  await start('failing', 'bob')
  await start('of_nobody')
  // Played again after a crash, it may be cancelled already.
  await holdfast.cancel(await start('cleans', 'bob')).catch(() => {})
  return parent
}

/** In a process that has crashed, nothing is answered. */
function untilRestart(error: HoldfastError): Promise<never> {
  if (error.code === 'CLOSED') return new Promise(() => {})
  throw error
}

test('an entry is there exactly while the head of its settled task is, and none is left after the sweep', async () => {
  let most = 0
  const { crashed } = await everyCrash({
    effects: () => undefined,
    tasks,
    drive,
    look: async (holdfast, _, disk) => {
      await untilIdle(holdfast)
      most = Math.max(most, keysUnder(disk, 'ix/').length)
      // The clock moves to the next timer whenever nothing else happens, and so to the sweep.
      while (keysUnder(disk, 'done/').length > 0) await new Promise((resolve) => setImmediate(resolve))
      expect(keysUnder(disk, 'ix/')).toEqual([])
    },
  })
  expect(crashed.length).toBeGreaterThan(20)
  // Five by type, four by owner, two by status, one by parent.
  expect(most).toBe(12)
})
