/** The tasks of the golden store. Their names and steps are on disk: never change them. */
import { z } from 'zod'
import { defineTask } from '../../src/index.js'

/** When the golden store was made, by its own clock. */
export const START = Date.UTC(2026, 10, 21)

/** @param hang what `golden_load` waits for at its third row; without it, it goes through */
export function goldenTasks(hang?: () => Promise<never>) {
  const sum = defineTask(
    { name: 'golden_sum', version: '1', input: z.object({ numbers: z.array(z.number()) }), output: z.number() },
    async (task, { numbers }) => {
      let total = 0
      for (const number of numbers) total = await task.step('add', () => total + number)
      return total
    },
  )
  const fail = defineTask({ name: 'golden_fail' }, (task) =>
    task.step('pay', () => {
      // Without its stack, which would name the folders of whoever made the store.
      throw Object.assign(new RangeError('declined'), { stack: 'RangeError: declined' })
    }),
  )
  const forever = defineTask({ name: 'golden_forever' }, (task) => task.step('wait', () => new Promise(() => {})))
  const load = defineTask({ name: 'golden_load', input: z.object({ rows: z.number() }) }, async (task, { rows }) => {
    const plan = await task.step('plan', () => ({ rows, at: new Date(START) }))
    let { row } = (await task.restoreCheckpoint<{ row: number }>())?.state ?? { row: 0 }
    const ids: string[] = []
    while (row < rows) {
      row = await task.step('load', () => (hang && row === 3 ? hang() : row + 1))
      if (row % 2 === 0) await task.saveCheckpoint({ row }, { prune: true, label: `row ${row}` })
      ids.push(await task.uuid())
    }
    return { row, plan, ids }
  })
  return { sum, fail, forever, load }
}
