/**
 * The task: a trade that reserves money, places an order and waits for its fill. If none comes in time it is over, and
 * what was done is undone. This is the file to copy.
 */
import { type Duration, defineTask } from 'holdfast'
import { z } from 'zod'
import type { Broker } from './broker.js'

/** The task, bound to its broker. */
export const trade = (broker: Broker, timeout: Duration) =>
  defineTask(
    {
      name: 'trade',
      input: z.object({ name: z.string(), cents: z.int().positive() }),
      timeout,
      // By the names of the steps; the newest first, each until it is recorded as undone.
      undo: {
        reserve: (undo, { input }) => broker.do('release', input, undo.idempotencyKey),
        'place order': (undo, { input }) => broker.do('withdraw order', input, undo.idempotencyKey),
      },
      onCancel: (cancel, { input }) => broker.do('tell customer', input, cancel.idempotencyKey),
    },
    async (task, input) => {
      await task.step('reserve', (step) => broker.do('reserve', input, step.idempotencyKey))
      // No key would keep the broker from placing it twice. After a crash in the middle of this step somebody is asked.
      await task.step('place order', () => broker.do('place order', input), { onInterrupted: 'ask' })
      const end = await task.race({
        filled: (t) => t.receive<{ cents: number }>('fill'),
        withdrawn: async (t) => {
          await t.receive('withdraw')
          return undefined
        },
      })
      if (!end) throw new Error('The customer withdrew the trade') // Fails the task: its steps are undone.
      await task.step('pay', (step) => broker.do('pay', { ...input, ...end }, step.idempotencyKey))
      return { paidCents: end.cents }
    },
  )
