// Goal: what new users get wrong first is answered with words that say what to do.
// Method: each mistake as it is written, with the exact message.
import { defineTask, Holdfast, type Logger, NonRetryableError, type TaskContext } from 'holdfast'
import { durableTasks } from 'holdfast/mcp/2025-11-25'
import { ManualClock, MemoryDisk, openInMemory, untilIdle } from 'holdfast/testing'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { z as z3 } from 'zod/v3'

/** A logger that keeps its warnings. */
function keeping(): { logger: Logger; warnings: [string, unknown][] } {
  const warnings: [string, unknown][] = []
  const nothing = () => {}
  const warn = (message: string, fields?: unknown) => void warnings.push([message, fields])
  return { warnings, logger: { debug: nothing, info: nothing, warn, error: nothing } }
}

describe('a schema that is not one of zod 4', () => {
  const OLD = 'Expected `OPTION` to be a schema of zod 4, got a schema of zod 3: wrap it in z.object({…}) of zod 4'
  const SHAPE = 'Expected `OPTION` to be a schema of zod 4, got a raw shape: wrap it in z.object({…}) of zod 4'
  const given = [
    ['a schema of zod 3', z3.object({ a: z3.string() }), OLD],
    ['a raw shape', { a: z.string() }, SHAPE],
    ['a raw shape of zod 3', { a: z3.string() }, SHAPE],
    ['an empty raw shape', {}, SHAPE],
  ] as const

  test.each(given)('is refused by defineTask: %s', (_, schema, said) => {
    for (const option of ['input', 'output']) {
      const define = () => defineTask({ name: 'a', [option]: schema as never }, () => 1)
      expect(define).toThrow(new TypeError(said.replace('OPTION', option)))
    }
  })

  test.each(given)('is refused by durable.tool: %s', async (_, schema, said) => {
    const durable = durableTasks(await openInMemory(), { access: 'local' })
    for (const option of ['inputSchema', 'outputSchema']) {
      const tool = () =>
        durable.tool(
          defineTask({ name: 'a' }, () => 1),
          { [option]: schema as never },
        )
      expect(tool).toThrow(new TypeError(said.replace('OPTION', option)))
    }
  })
})

test('`new Holdfast()` does not type-check, and throws', () => {
  // @ts-expect-error the constructor is private
  expect(() => new Holdfast()).toThrow(
    new TypeError('Holdfast has no public constructor: await Holdfast.open({ dir })'),
  )
})

test('a start of a definition that is not registered warns once that a restart parks the task', async () => {
  const { logger, warnings } = keeping()
  const known = defineTask({ name: 'known' }, () => 1)
  const holdfast = await openInMemory({ logger, tasks: [known] })
  const late = defineTask({ name: 'late' }, () => 1)
  for (const definition of [known, late, late]) await holdfast.result((await holdfast.start(definition, null)).taskId)
  expect(warnings).toEqual([
    [
      'A task was started of a definition that is not registered, so a restart parks the task. Pass the definition to Holdfast.open as an option.',
      { type: 'late' },
    ],
  ])
})

describe('CODE_CHANGED', () => {
  const HOW = "Put what changed behind `task.patched('a name')`, or bring the old code back."

  test('names the sleep that had begun, and `patched`', async () => {
    const disk = new MemoryDisk()
    const sleeps = defineTask({ name: 'a' }, (task) => task.sleep('s', '1h'))
    const first = await openInMemory({ disk, tasks: [sleeps] })
    const { taskId } = await first.start(sleeps, null)
    await untilIdle(first)
    disk.crash()
    const steps = defineTask({ name: 'a' }, (task) => task.sleep('other', '1h'))
    const second = await openInMemory({ disk, tasks: [steps], clock: new ManualClock(Date.now() + 7_200_000) })
    await untilIdle(second)
    expect((await second.get(taskId)).parked).toMatchObject({
      code: 'CODE_CHANGED',
      reason: `sleep 's' had begun where the code now calls sleep 'other'. ${HOW}`,
    })
  })

  test('names the step that the log has, and `patched`', async () => {
    const disk = new MemoryDisk()
    const does = (name: string) =>
      defineTask({ name: 'a' }, async (task) => {
        await task.step(name, () => 1)
        await task.sleep('s', '1h')
      })
    const first = await openInMemory({ disk, tasks: [does('one')] })
    const { taskId } = await first.start('a')
    await untilIdle(first)
    disk.crash()
    const clock = new ManualClock(Date.now() + 7_200_000)
    const second = await openInMemory({ disk, tasks: [does('two')], clock })
    await untilIdle(second)
    expect((await second.get(taskId)).parked).toMatchObject({
      code: 'CODE_CHANGED',
      reason: `the log has step 'one' where the code now calls step 'two'. ${HOW}`,
    })
  })
})

test.each([
  ['timeout', { timeout: '2s' }, {}, 'its `timeout` of 2000 ms passed at 2026-01-01T00:00:02.000Z'],
  ['deadline', {}, { deadline: Date.UTC(2026, 0, 1, 0, 0, 2) }, 'its `deadline` passed at 2026-01-01T00:00:02.000Z'],
  ['ttl', {}, { ttl: '2s' }, 'its `ttl` of 2000 ms passed at 2026-01-01T00:00:02.000Z'],
] as const)('a task that ran out of time names the option and its value: %s', async (_, options, started, said) => {
  const clock = new ManualClock()
  const sleeps = defineTask({ name: 'a', ...options }, (task) => task.sleep('s', '1h'))
  const holdfast = await openInMemory({ clock, tasks: [sleeps] })
  const { taskId } = await holdfast.start(sleeps, null, started)
  const ended = holdfast.result(taskId).catch((error: Error) => error.message)
  await untilIdle(holdfast)
  await clock.advance(2_000)
  const message = (await ended) as string
  expect(message).toContain(`Task ${taskId} ran out of time: ${said}`)
  // A task ID appears once per message.
  expect(message.split(taskId)).toHaveLength(2)
})

test('a duration with a unit in words is refused by the types, and by defineTask', () => {
  // @ts-expect-error units are ms, s, m, h and d
  expect(() => defineTask({ name: 'a', timeout: '5 minutes' }, () => 1)).toThrow(
    new TypeError(
      "Expected `timeout` to be milliseconds or a string such as '30s' (ms, s, m, h, d), above zero, got '5 minutes' (string)",
    ),
  )
})

test("`maximumAttempts: 'unlimited'` tries until it succeeds; other words are refused", async () => {
  let attempts = 0
  const fails = () => {
    if (++attempts < 50) throw new Error('not yet')
    return attempts
  }
  const retry = { maximumAttempts: 'unlimited', initialInterval: 0 } as const
  const tries = defineTask({ name: 'a' }, (task) => task.step('s', fails, { retry }))
  const holdfast = await openInMemory({ tasks: [tries] })
  expect(await holdfast.result((await holdfast.start(tries, null)).taskId)).toBe(50)
  expect(() => defineTask({ name: 'a', retry: { maximumAttempts: 'forever' as never } }, () => 1)).toThrow(
    new TypeError("Expected `retry.maximumAttempts` to be an integer >= 1 or 'unlimited', got 'forever' (string)"),
  )
})

test.each([
  [
    { retry: 3 },
    'Expected `retry` to be an object of maximumAttempts, initialInterval, backoffCoefficient, maximumInterval, retryIf, got 3 (number)',
  ],
  [
    { timeout: -1 },
    "Expected `timeout` to be milliseconds or a string such as '30s' (ms, s, m, h, d), above zero, got -1 (number)",
  ],
  [{ keepCheckpoints: 0 }, 'Expected `keepCheckpoints` to be an integer >= 1, got 0 (number)'],
])('a wrong option of a definition is thrown by defineTask: %j', (options, said) => {
  expect(() => defineTask({ name: 'a', ...(options as object) }, () => 1)).toThrow(new TypeError(said))
})

test('a NonRetryableError anywhere in the chain of causes stops the retries', async () => {
  let attempts = 0
  const fails = () => {
    attempts++
    throw new Error('a', { cause: new Error('b', { cause: new NonRetryableError('c') }) })
  }
  const retry = { maximumAttempts: 5, initialInterval: 0 } as const
  const tries = defineTask({ name: 'a', retry }, (task) => task.step('s', fails, { retry }))
  const holdfast = await openInMemory({ tasks: [tries] })
  await expect(holdfast.result((await holdfast.start(tries, null)).taskId)).rejects.toThrow()
  expect(attempts).toBe(1)
})

test('an undo for a step that did not occur in a completed task is warned of once', async () => {
  const { logger, warnings } = keeping()
  const undo = { chrage: () => {}, charge: () => {} }
  const order = defineTask({ name: 'order', undo }, (task) => task.step('charge', () => 1))
  const holdfast = await openInMemory({ logger, tasks: [order] })
  for (let i = 0; i < 2; i++) await holdfast.result((await holdfast.start(order)).taskId)
  await untilIdle(holdfast)
  expect(warnings).toEqual([
    [
      'A task completed without a step that has an undo. Compare the name in `undo` with that of the step.',
      { type: 'order', step: 'chrage' },
    ],
  ])
})

test('an undo is not warned of while the task may have done its step before a checkpoint', async () => {
  const { logger, warnings } = keeping()
  const order = defineTask({ name: 'order', undo: { other: () => {} } }, async (task) => {
    await task.step('charge', () => 1)
    await task.saveCheckpoint(1)
  })
  const holdfast = await openInMemory({ logger, tasks: [order] })
  await holdfast.result((await holdfast.start(order)).taskId)
  await untilIdle(holdfast)
  expect(warnings).toEqual([])
})

test('`respond` names the questions that can be answered now', async () => {
  const asks = defineTask({ name: 'asks' }, async (task) => {
    const [name, size] = await Promise.all([task.input('name'), task.input('size')])
    return [name, size, await task.input('colour')]
  })
  const holdfast = await openInMemory({ tasks: [asks] })
  const { taskId } = await holdfast.start(asks)
  await untilIdle(holdfast)
  expect(await holdfast.respond(taskId, { nmae: 'a' })).toEqual({
    accepted: [],
    ignored: [{ key: 'nmae', reason: 'unknown' }],
    open: ['name', 'size'],
  })
  expect(await holdfast.respond(taskId, { name: 'a' })).toEqual({ accepted: ['name'], ignored: [], open: ['size'] })
  expect((await holdfast.respond(taskId, { size: 1 })).open).toEqual([])
  await untilIdle(holdfast)
  expect((await holdfast.respond(taskId, {})).open).toEqual(['colour'])
  await holdfast.respond(taskId, { colour: 'red' })
  await holdfast.result(taskId)
  expect((await holdfast.respond(taskId, { colour: 'blue' })).open).toEqual([])
})

test('a fork from the start begins anew, with the same input and the code of now', async () => {
  let runs = 0
  const body = async (task: TaskContext, input: { n: number }) => [
    input.n,
    await task.uuid(),
    await task.step('a', () => ++runs),
  ]
  const disk = new MemoryDisk()
  const first = await openInMemory({ disk, tasks: [defineTask({ name: 'x', version: '1' }, body)] })
  const { taskId } = await first.start('x', { n: 7 })
  const [n, uuid, run] = (await first.result(taskId)) as unknown[]
  expect([n, run]).toEqual([7, 1])
  await first.close()
  const second = await openInMemory({ disk, tasks: [defineTask({ name: 'x', version: '2' }, body)] })
  const fork = await second.fork(taskId, { from: 'start' })
  const again = (await second.result(fork.taskId)) as unknown[]
  expect([again[0], again[2]]).toEqual([7, 2])
  expect(again[1]).not.toBe(uuid)
  expect(await second.get(fork.taskId)).toMatchObject({ version: '2', status: 'completed' })
  const entries = await second.audit({ taskId: fork.taskId })
  expect(entries.map(({ why }) => why)).toContain(`from ${taskId}, from its start`)
  await expect(second.fork(taskId, { from: 'end' as never })).rejects.toThrow(
    new TypeError("Expected `from` to be 'start', got 'end' (string)"),
  )
})
