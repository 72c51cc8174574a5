// Goal: every route answers what its schema promises, does what the method of `Holdfast` does, shows no value that was not asked
// for, and writes the actor into the audit.
// Method: one store on disk, the typed client, and the schemas of the routes made strict.
import { Writable } from 'node:stream'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { defineTask, type Holdfast, type HoldfastError } from '../../../src/index.js'
import { ROUTES, type RouteName } from '../../../src/operator/contract/routes.js'
import type { OperatorClient } from '../../../src/operator/index.js'
import { untilIdle } from '../../../src/testing/index.js'
import { clientOf, openStore, talk } from '../../helpers/operator.js'

const SECRETS = ['input-value', 'result-value', 'state-value', 'question-value', 'payload-value', 'outcome-value']
const parent = defineTask({ name: 'parent' }, async (task) => {
  await task.child(talk, 'input-value' as never)
})
const changed = defineTask({ name: 'changed' }, async (task) => task.sleep('long', '1h'))

interface Fixture {
  readonly holdfast: Holdfast
  readonly client: OperatorClient
  readonly taskId: string
  readonly checkpointIds: readonly string[]
}

/** Resolves at the next question of a task of any kind. */
function nextQuestion(holdfast: Holdfast): Promise<void> {
  return new Promise((resolve) => {
    const stop = holdfast.on('task:input-required', () => {
      stop()
      resolve()
    })
  })
}

async function fixture(): Promise<Fixture> {
  const { holdfast, dir } = await openStore({ tasks: [talk, parent, changed] })
  const client = clientOf(dir)
  const asked = nextQuestion(holdfast)
  const { taskId } = await client.startTask({
    type: 'talk',
    input: 'input-value',
    owner: 'ann',
    title: 'a talk',
    attributes: { customer: 'a-17', priority: 3 },
  })
  await asked
  const { checkpoints } = await client.listCheckpoints({ taskId })
  return { holdfast, client, taskId, checkpointIds: checkpoints.map(({ checkpointId }) => checkpointId) }
}

/** A schema that refuses fields that it does not name. */
function strict(schema: z.ZodType): z.ZodType {
  if (schema instanceof z.ZodObject) {
    const { shape } = schema
    return z.strictObject(
      Object.fromEntries(Object.entries(shape).map(([name, each]) => [name, strict(each as z.ZodType)])),
    )
  }
  if (schema instanceof z.ZodArray) return z.array(strict(schema.element as z.ZodType))
  if (schema instanceof z.ZodOptional) return strict(schema.unwrap() as z.ZodType).optional()
  return schema
}

type Call = (fixture: Fixture) => Promise<unknown>

/** A call of each route on the task of the fixture, in an order in which each can work. */
const CALLS: Record<RouteName, Call> = {
  info: ({ client }) => client.info(),
  stats: ({ client }) => client.stats({ from: 0, to: 8.64e15 }),
  recovery: ({ client }) => client.recovery(),
  lastRecovery: ({ client }) => client.lastRecovery(),
  recover: ({ client }) => client.recover(),
  listTasks: ({ client }) =>
    client.listTasks({
      status: ['input_required'],
      owner: 'ann',
      type: 'talk',
      order: 'newest',
      limit: 5,
      createdAfter: 1,
      attributes: { customer: 'a-17', priority: 3 },
    }),
  setAttributes: ({ client, taskId }) =>
    client.setAttributes({ taskId, attributes: { phase: 'talks', priority: null } }),
  getTask: ({ client, taskId }) => client.getTask({ taskId }),
  listSteps: ({ client, taskId }) => client.listSteps({ taskId }),
  listCheckpoints: ({ client, taskId }) => client.listCheckpoints({ taskId }),
  getCheckpoint: ({ client, taskId, checkpointIds: [checkpointId = ''] }) =>
    client.getCheckpoint({ taskId, checkpointId }),
  diffCheckpoints: ({ client, taskId, checkpointIds: [, checkpointId = ''] }) =>
    client.diffCheckpoints({ taskId, checkpointId }),
  listChildren: ({ client, taskId }) => client.listChildren({ taskId }),
  listMessages: async ({ client, taskId }) => {
    await client.sendMessage({ taskId, name: 'early', payload: 'payload-value' })
    return client.listMessages({ taskId })
  },
  listQuestions: ({ client, taskId }) => client.listQuestions({ taskId }),
  startTask: ({ client }) => client.startTask({ type: 'changed', input: null, idempotencyKey: 'once' }),
  sendMessage: ({ client, taskId }) => client.sendMessage({ taskId, name: 'go', payload: 'payload-value' }),
  forkTask: ({ client, taskId }) => client.forkTask({ taskId, point: { afterStep: 'load' } }),
  respond: ({ client, taskId }) => client.respond({ taskId, responses: { proceed: 'yes' } }),
  audit: ({ client, taskId }) => client.audit({ taskId, since: 0, limit: 100 }),
  cancelTask: async ({ client }) => {
    const { taskId } = await client.startTask({ type: 'changed' })
    return client.cancelTask({ taskId, reason: 'a test' })
  },
  endMove: async ({ client }) => {
    const { taskId } = await client.startTask({ type: 'talk', input: 'moved' })
    const bytes: Buffer[] = []
    const stream = new Writable({
      write: (chunk: Buffer, _encoding, done) => done(void bytes.push(chunk) as undefined),
    })
    const { commits } = await client.exportTask({ taskId, move: true, stream })
    return client.endMove({ taskId, commits })
  },
  explainTask: ({ client, taskId }) => client.explainTask({ taskId }),
  health: ({ client }) => client.health(),
  cancelTasks: async ({ client }) => {
    await client.startTask({ type: 'changed' })
    return client.cancelTasks({ type: 'changed', dryRun: true, limit: 10 })
  },
  retryTasks: ({ client }) => client.retryTasks({ all: true }),
  resumeTasks: ({ client }) => client.resumeTasks({ all: true, status: ['running'] }),
  deleteTask: async ({ client, holdfast }) => {
    const { taskId } = await client.startTask({ type: 'changed' })
    await client.cancelTask({ taskId })
    await untilIdle(holdfast)
    return client.deleteTask({ taskId })
  },
  deleteTasks: ({ client }) => client.deleteTasks({ type: 'changed' }),
  retryTask: async ({ client, taskId }) => client.retryTask({ taskId }).catch((error: HoldfastError) => error),
  resumeTask: async ({ client, taskId }) => client.resumeTask({ taskId }).catch((error: HoldfastError) => error),
}

test('every route answers what its schema says, and shows no value that was not asked for', async () => {
  const made = await fixture()
  for (const [name, call] of Object.entries(CALLS) as [RouteName, Call][]) {
    const answer = await call(made)
    for (const secret of SECRETS) expect(JSON.stringify(answer), name).not.toContain(secret)
    // A task that is not parked cannot be resumed: the route hands on the refusal.
    if (name === 'retryTask')
      expect(answer).toMatchObject({ code: expect.stringMatching(/NO_NEXT_ATTEMPT|TASK_SETTLED/) })
    else if (name === 'resumeTask')
      expect(answer).toMatchObject({ code: expect.stringMatching(/NOT_PARKED|TASK_SETTLED/) })
    else expect(strict(ROUTES[name].response).safeParse(answer), name).toMatchObject({ success: true })
  }
})

test('with `values`, a task, its steps, checkpoints, questions and messages show their values', async () => {
  const { client, holdfast, taskId, checkpointIds } = await fixture()
  const [first = '', second = ''] = checkpointIds
  expect(await client.getTask({ taskId, values: true })).toMatchObject({
    input: 'input-value',
    questions: [{ key: 'proceed', request: { message: 'question-value' } }],
  })
  expect(JSON.stringify(await client.listSteps({ taskId, values: true }))).toContain('result-value')
  expect(await client.getCheckpoint({ taskId, checkpointId: first, values: true })).toMatchObject({
    state: { row: 1, note: 'state-value' },
  })
  const differences = [
    { path: '/row', kind: 'changed', before: 1, after: 2 },
    { path: '/more', kind: 'added', after: true },
  ]
  const request = { taskId, checkpointId: second, values: true }
  expect(await client.diffCheckpoints(request)).toEqual({ from: first, to: second, differences, isCut: false })
  expect(await client.diffCheckpoints({ ...request, values: false })).toMatchObject({
    differences: differences.map(({ path, kind }) => ({ path, kind })),
  })
  await client.sendMessage({ taskId, name: 'early', payload: 'payload-value' })
  expect(await client.listMessages({ taskId, values: true })).toEqual({
    messages: [{ name: 'early', order: 0, bytes: 15, payload: 'payload-value' }],
  })
  await client.respond({ taskId, responses: { proceed: 'yes' } })
  await client.sendMessage({ taskId, name: 'go', payload: 1 })
  await holdfast.result(taskId)
  expect(await client.getTask({ taskId, values: true })).toMatchObject({
    outcome: { kind: 'result', result: { answer: 'yes', message: 1, kept: 'outcome-value' } },
  })
})

test('the steps have the last attempts and the summary that `steps` returns', async () => {
  const flaky = defineTask({ name: 'flaky' }, (task) =>
    task.step(
      'pay',
      ({ attempt }) => {
        if (attempt === 1) throw new RangeError('message-value')
      },
      { retry: { maximumAttempts: 2, initialInterval: 0 }, summary: () => 'Paid the bill' },
    ),
  )
  const { holdfast, dir } = await openStore({ tasks: [flaky] })
  const { taskId } = await holdfast.start(flaky, undefined)
  await holdfast.result(taskId)
  const { segments } = await clientOf(dir).listSteps({ taskId })
  expect(segments[0]?.steps[0]?.summary).toBe('Paid the bill')
  expect(segments[0]?.steps[0]?.lastAttempts).toMatchObject([{ attempt: 1, errorCode: 'RangeError' }, { attempt: 2 }])
  expect(segments).toEqual(JSON.parse(JSON.stringify(await holdfast.steps(taskId))))
  expect(JSON.stringify(segments)).not.toContain('message-value')
})

test('the audit names the actor that the client claims', async () => {
  const { client, holdfast, taskId } = await fixture()
  await client.sendMessage({ taskId, name: 'go' })
  await client.respond({ taskId, responses: { proceed: 'yes' } })
  await holdfast.result(taskId)
  const { taskId: fork } = await client.forkTask({ taskId, point: { from: 'start' } })
  await client.cancelTask({ taskId: fork })
  const by = async (id: string, action: string) =>
    (await holdfast.audit({ taskId: id })).filter((entry) => entry.action === action).map((entry) => entry.by)
  for (const action of ['created', 'message-sent', 'answered', 'forked']) {
    expect(await by(taskId, action), action).toEqual(['cli: ann'])
  }
  expect(await by(fork, 'created')).toEqual(['cli: ann'])
  expect(await by(fork, 'cancelled')).toEqual(['cli: ann'])
})

test('a parked task is resumed in the name of the actor', async () => {
  const { holdfast, dir } = await openStore({ tasks: [changed] })
  const { taskId } = await holdfast.start(changed)
  await holdfast.close()
  const again = await openStore({ dir })
  await again.holdfast.recovery.done
  const client = clientOf(dir)
  expect(await client.getTask({ taskId })).toMatchObject({ parked: { code: 'TASK_TYPE_UNKNOWN' } })
  await expect(client.resumeTask({ taskId })).rejects.toMatchObject({ code: 'TASK_TYPE_UNKNOWN' })
  expect(await client.recovery()).toMatchObject({ found: 1, counts: { parked: 1 }, tasks: [{ taskId }] })
})

test('an error of a method comes through with its code, its message and its details', async () => {
  const { client, taskId } = await fixture()
  await expect(client.getTask({ taskId: 'none' })).rejects.toMatchObject({
    name: 'HoldfastError',
    code: 'TASK_NOT_FOUND',
    message: 'There is no task "none"',
    details: { taskId: 'none' },
  })
  await expect(client.startTask({ type: 'unknown' })).rejects.toMatchObject({ code: 'TASK_TYPE_UNKNOWN' })
  await expect(client.listTasks({ cursor: 'x' })).rejects.toMatchObject({ code: 'INVALID_CURSOR' })
  await expect(client.cancelTask({ taskId, reason: 'x'.repeat(3_000) })).rejects.toMatchObject({
    code: 'INVALID_REQUEST',
    message: expect.stringContaining('`reason`'),
  })
  await expect(client.listTasks({ stat: 'x' } as never)).rejects.toMatchObject({
    code: 'INVALID_REQUEST',
    message: expect.stringContaining('stat'),
  })
  expect(() => client.getTask({} as never)).toThrow(TypeError)
})

test('children are listed by the parent', async () => {
  const { client, holdfast } = await fixture()
  const asked = nextQuestion(holdfast)
  const { taskId } = await client.startTask({ type: 'parent' })
  await asked
  expect((await client.listChildren({ taskId })).tasks).toMatchObject([{ type: 'talk', parentId: taskId }])
})
