// Goal: what TypeScript infers is what JSON makes of the values. Checked by `npm run typecheck`; run only to be counted.
import { expectTypeOf, test } from 'vitest'
import { z } from 'zod'
import {
  defineTask,
  type Holdfast,
  type StepToUndo,
  type TaskContext,
  type TaskDefinition,
} from '../../../src/index.js'

declare const holdfast: Holdfast
declare const task: TaskContext
const neverRun = (_: () => unknown) => {}

test('a step’s type is what JSON makes of its value', () => {
  neverRun(async () => {
    expectTypeOf(await task.step('a', () => ({ at: new Date(), n: 1, f: () => 1 }))).toEqualTypeOf<{
      at: string
      n: number
    }>()
    expectTypeOf(await task.step('b', async () => [1, 2])).toEqualTypeOf<number[]>()
    expectTypeOf(await task.step('c', () => {})).toEqualTypeOf<undefined>()
    expectTypeOf(await task.step('d', (): unknown => 1)).toEqualTypeOf<unknown>()
    expectTypeOf(await task.step('e', () => null as string | null)).toEqualTypeOf<string | null>()
  })
})

test('input and output are inferred from the schemas', () => {
  neverRun(async () => {
    const dated = defineTask(
      {
        name: 'x',
        input: z.object({ at: z.coerce.date(), n: z.number().default(1) }),
        output: z.object({ ok: z.boolean() }),
      },
      (_, input) => {
        expectTypeOf(input).toEqualTypeOf<{ at: string; n: number }>()
        return { ok: true }
      },
    )
    const { taskId } = await holdfast.start(dated, { at: 'today' })
    expectTypeOf(await holdfast.result(taskId)).toEqualTypeOf<{ ok: boolean }>()
    // @ts-expect-error the schema wants a number
    await holdfast.start(dated, { at: 'today', n: 'one' })
    // @ts-expect-error the output schema wants a boolean
    defineTask({ name: 'y', output: z.object({ ok: z.boolean() }) }, () => ({ ok: 'yes' }))
  })
})

test('without schemas they are what the body says', () => {
  neverRun(async () => {
    const plain = defineTask({ name: 'x' }, async (_, input: { file: string }) => ({
      read: input.file,
      at: new Date(),
    }))
    const { taskId } = await holdfast.start(plain, { file: 'a' })
    expectTypeOf(await holdfast.result(taskId)).toEqualTypeOf<{ read: string; at: string }>()
    // @ts-expect-error the body wants a file
    await holdfast.start(plain, {})
    const stored: string = taskId
    expectTypeOf(await holdfast.result(stored)).toEqualTypeOf<unknown>()
  })
})

test('an undo may name the type of the step’s result', () => {
  neverRun(() => {
    type Trade = { shares: number }
    type Order = { orderId: string }
    defineTask(
      {
        name: 'x',
        input: z.object({ shares: z.number() }),
        undo: {
          order: (_, { result, input }: StepToUndo<Trade, Order>) => {
            expectTypeOf(result).toEqualTypeOf<Order | undefined>()
            expectTypeOf(input).toEqualTypeOf<Trade>()
          },
          pay: (_, { result, input }) => {
            expectTypeOf(result).toBeAny()
            expectTypeOf(input).toEqualTypeOf<Trade>()
          },
          // @ts-expect-error the input is another one
          send: (_, step: StepToUndo<{ address: string }>) => step,
        },
      },
      () => {},
    )
  })
})

test('a start without the input that its definition wants is "Expected 2-3 arguments, but got 1"', () => {
  neverRun(async () => {
    const wants = defineTask({ name: 'x', input: z.object({ rows: z.number() }) }, () => 1)
    // @ts-expect-error the input is missing
    await holdfast.start(wants)
    // @ts-expect-error the input is missing
    await holdfast.forOwner('ann').start(wants)
    const { taskId } = await holdfast.start(defineTask({ name: 'y' }, () => 1))
    expectTypeOf(await holdfast.result(taskId)).toEqualTypeOf<number>()
    await holdfast.start('x')
    await holdfast.start('x', { rows: 1 })
    // A caller that is generic itself.
    async function start<Input, Output>(definition: TaskDefinition<Input, Output>, input: Input): Promise<Output> {
      return holdfast.result((await holdfast.start(definition, input)).taskId)
    }
    return start
  })
})
