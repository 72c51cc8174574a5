// Goal: a call of the context that a body does not await is reported. In the turn in which the body returns, it fails the task.
// Method: the calls one by one, then a body with calls of both kinds, with a crash before and after every write.
import { describe, expect, test } from 'vitest'
import { defineTask, type TaskContext } from '../../../../src/index.js'
import { MemoryDisk, openInMemory } from '../../../../src/testing/index.js'
import { everyCrash } from '../../../helpers/every-crash.js'
import { type Body, play } from '../../../helpers/play.js'

const message = (call: string) =>
  new RegExp(
    `^Task \\S+ failed: The body returned without waiting for ${call}, which therefore never began. Await every call of the context before the body returns.$`,
  )

/** A logger that keeps the lines of level `warn` and `error`. */
function linesOf() {
  const lines: { message: string; fields: Record<string, unknown> | undefined }[] = []
  const keep = (message: string, fields?: Record<string, unknown>) => void lines.push({ message, fields })
  return { lines, logger: { debug() {}, info() {}, warn: keep, error: keep } }
}

describe('a call of the turn in which the body returns', () => {
  const calls: [string, (task: TaskContext) => unknown][] = [
    ["step 'a'", (task) => task.step('a', () => 1)],
    ["sleep 'a'", (task) => task.sleep('a', '1s')],
    ["input 'a'", (task) => task.input('a', { message: 'Go on?' })],
    ["receive 'a'", (task) => task.receive('a')],
    ['checkpoint 1', (task) => task.saveCheckpoint({})],
    ["step 'a'", (task) => task.all({ left: (left) => left.step('a', () => 1) })],
  ]

  test.each(calls)('fails the task with CALL_NOT_AWAITED: %s', async (name, call) => {
    const ended = await play(new MemoryDisk(), (task) => {
      void call(task)
      return 'early'
    })
    expect(ended.code).toBe('CALL_NOT_AWAITED')
    expect(ended.error?.message).toMatch(message(name))
  })

  test('fails the task after an awaited step too, and no attempt follows', async () => {
    let bodies = 0
    let charged = false
    const order = defineTask({ name: 'order', retry: { maximumAttempts: 3 } }, async (task) => {
      bodies++
      await task.step('reserve', () => 1)
      void task.step('charge', () => {
        charged = true
      })
      return 'ordered'
    })
    const holdfast = await openInMemory({ tasks: [order] })
    const { taskId } = await holdfast.start(order, null)
    await expect(holdfast.result(taskId)).rejects.toMatchObject({ code: 'CALL_NOT_AWAITED' })
    await holdfast.close()
    expect({ bodies, charged }).toEqual({ bodies: 1, charged: false })
  })

  test('changes nothing for a body that throws', async () => {
    const ended = await play(new MemoryDisk(), (task) => {
      void task.step('a', () => 1)
      throw new Error('the cause')
    })
    expect(ended).toMatchObject({ code: 'TASK_FAILED' })
    expect(ended.message).toContain('the cause')
  })
})

const raced: Body = async (task) => {
  const winner = await Promise.race([task.step('fast', () => 'fast'), task.step('slow', () => new Promise(() => {}))])
  return winner
}

test('a call of an earlier turn lets the task complete, with one warning for each definition', async () => {
  const { lines, logger } = linesOf()
  const [one, other] = ['one', 'other'].map((name) => defineTask({ name }, raced))
  const holdfast = await openInMemory({ tasks: [one, other] as never, logger })
  for (const name of ['one', 'one', 'other']) {
    expect(await holdfast.result((await holdfast.start(name, null)).taskId)).toBe('fast')
  }
  await holdfast.close({ grace: 0 })
  expect(lines.map(({ fields }) => [fields?.['type'], fields?.['call']])).toEqual([
    ['one', "step 'slow'"],
    ['other', "step 'slow'"],
  ])
  expect(lines[0]?.message).toBe(
    'A body returned without waiting for a call that it had made, so the call may not have run. Await it, unless it lost a race.',
  )
})

test('with a crash at every write, calls of both kinds come to the same end', async () => {
  const scenario = (last: boolean) => ({
    effects: () => ({ forgotten: 0 }),
    tasks: (effects: { forgotten: number }) => [
      defineTask({ name: 'job' }, async (task) => {
        await task.step('first', () => 1)
        void task.sleep('left behind', '30d')
        await task.step('second', () => 2)
        if (last) void task.step('forgotten', () => effects.forgotten++)
        return 'done'
      }),
    ],
    drive: async (holdfast: Awaited<ReturnType<typeof openInMemory>>) =>
      (await holdfast.start('job', null, { idempotencyKey: 'the one' })).taskId,
  })
  for (const last of [false, true]) {
    const { calm, crashed } = await everyCrash(scenario(last))
    expect(calm.outcome).toMatchObject(
      last ? { status: 'failed', error: expect.stringContaining("step 'forgotten'") } : { status: 'completed' },
    )
    for (const { where, outcome, effects } of crashed) {
      expect({ where, outcome, effects }).toEqual({ where, outcome: calm.outcome, effects: { forgotten: 0 } })
    }
  }
})
