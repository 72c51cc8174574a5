// Goal: every option of every call of a body refuses what it cannot be, with an error that names the option, what was expected and
// what was given; nothing is begun or recorded by it.
// Method: a table of calls, each with a row of bad values for each option. The tests want every call, so that a new one without
// rows fails. The log is compared around each refusal.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { AUDIT_OPTIONS } from '../../../src/api/audit.js'
import { LIST_OPTIONS } from '../../../src/api/list.js'
import { STEP_OPTIONS } from '../../../src/engine/calls/checked-step.js'
import { CALL_OPTIONS } from '../../../src/engine/checks/call-options.js'
import { START_OPTIONS } from '../../../src/engine/checks/start-options.js'
import {
  type ChildOptions,
  defineTask,
  type IsolatedOptions,
  type SaveCheckpointOptions,
  type StepOptions,
  type TaskContext,
  type WaitOptions,
} from '../../../src/index.js'
import { CHILD_OPTIONS, SAVE_OPTIONS, WAIT_OPTIONS } from '../../../src/task/definition/context.js'
import { ISOLATED_OPTIONS } from '../../../src/task/definition/isolated-options.js'
import { RETRY_OPTIONS } from '../../../src/task/definition/retry-options.js'
import { MemoryDisk, openInMemory } from '../../../src/testing/index.js'
import {
  badOptions,
  COUNT,
  DURATION,
  errorOf,
  expectRefusal,
  FLAG,
  FUNCTION,
  INSTANT,
  NO_DURATION,
  NOTHING_ELSE,
  OBJECT,
  oneOf,
  quick,
  RETRY,
  type Rows,
  show,
  type Tried,
  text,
} from '../../helpers/bad-options.js'

const BASIC_STEP = { retry: OBJECT, timeout: DURATION, onInterrupted: oneOf, summary: [5, ...NOTHING_ELSE] }
const STEP: Rows<StepOptions> = { ...BASIC_STEP, commit: oneOf }
const WAIT: Rows<WaitOptions> = { timeout: DURATION }

const unhandled: unknown[] = []
const note = (reason: unknown) => void unhandled.push(reason)
let scratch: string
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'holdfast-bad-options-'))
  process.on('unhandledRejection', note)
})
afterAll(async () => {
  await rm(scratch, { recursive: true, force: true })
  process.off('unhandledRejection', note)
  expect(unhandled).toEqual([])
})

// --- the calls of a body ------------------------------------------------------------------------------------------------

const MODULE = new URL('../../helpers/isolated-work.mjs', import.meta.url)
const NAME = [undefined, ...text(200)]

type BodyCall = Tried & { readonly prefix?: string; readonly run: (task: TaskContext, options: never) => unknown }
const BODY_CALLS: Record<string, BodyCall> = {
  'task.step': {
    call: 'task.step',
    names: STEP_OPTIONS,
    rows: STEP,
    run: (task, options) => task.step('bad', () => 1, options),
  },
  'retry of task.step': {
    call: 'retry',
    prefix: 'retry.',
    names: RETRY_OPTIONS,
    rows: RETRY,
    run: (task, retry) => task.step('bad', () => 1, { retry }),
  },
  'task.isolated': {
    call: 'task.isolated',
    names: ISOLATED_OPTIONS,
    rows: {
      ...BASIC_STEP,
      memoryMb: [...COUNT, 127],
      cpuMs: COUNT,
      export: ['', 5, ...NOTHING_ELSE],
    } satisfies Rows<IsolatedOptions>,
    run: (task, options) => task.isolated('bad', MODULE, null, options),
  },
  'task.input': {
    call: 'task.input',
    names: WAIT_OPTIONS,
    rows: WAIT,
    run: (task, options) => task.input('bad', null, options),
  },
  'task.receive': {
    call: 'task.receive',
    names: WAIT_OPTIONS,
    rows: { timeout: NO_DURATION } satisfies Rows<WaitOptions>,
    run: (task, options) => task.receive('bad', options),
  },
  'task.child': {
    call: 'task.child',
    names: CHILD_OPTIONS,
    rows: { name: text(200) } satisfies Rows<ChildOptions>,
    run: (task, options) => task.child(quick, null, options),
  },
  'task.saveCheckpoint': {
    call: 'task.saveCheckpoint',
    names: SAVE_OPTIONS,
    rows: { label: text(256), prune: FLAG } satisfies Rows<SaveCheckpointOptions>,
    run: (task, options) => task.saveCheckpoint(1, options),
  },
}
const branch = async () => 1
const branches = [5, 'x', () => {}, null, true, [], undefined, { a: 5 }, { '': branch }, { ['x'.repeat(65)]: branch }]
const BODY_ARGUMENTS: [string, readonly unknown[], (task: TaskContext, value: never) => unknown, RegExp][] = [
  ['the name of step', NAME, (task, name) => task.step(name, () => 1), /`name` to be/],
  ['the function of step', [undefined, ...FUNCTION], (task, fn) => task.step('bad', fn), /`fn` to be a function/],
  ['the name of isolated', NAME, (task, name) => task.isolated(name, MODULE), /`name` to be/],
  [
    'the module of isolated',
    [undefined, 5, '', './work.mjs', 'https://example.org/x.js', new URL('data:text/javascript,'), {}, ...NOTHING_ELSE],
    (task, url) => task.isolated('bad', url),
    /`moduleUrl` to be/,
  ],
  ['the name of sleep', NAME, (task, name) => task.sleep(name, 1), /`name` to be/],
  ['the duration of sleep', [undefined, ...NO_DURATION], (task, ms) => task.sleep('bad', ms), /`duration` to be/],
  ['the name of sleepUntil', NAME, (task, name) => task.sleepUntil(name, 1), /`name` to be/],
  ['the instant of sleepUntil', [undefined, ...INSTANT], (task, at) => task.sleepUntil('bad', at), /`instant` to be/],
  ['the name of input', NAME, (task, name) => task.input(name), /`name` to be/],
  ['the name of receive', NAME, (task, name) => task.receive(name), /`name` to be/],
  [
    'the definition of child',
    [5, {}, undefined, ...NOTHING_ELSE],
    (task, definition) => task.child(definition, null),
    /definition made by `defineTask`, got /,
  ],
  ['the ID of restoreCheckpoint', text(256), (task, id) => task.restoreCheckpoint(id), /`checkpointId` to be/],
  ['the ID of patched', NAME, (task, id) => task.patched(id), /`id` to be/],
  [
    'the attributes of setAttributes',
    [undefined, ...OBJECT, { '': 1 }, { a: [] }, { a: Number.NaN }, { a: 'x'.repeat(65) }],
    (task, attributes) => task.setAttributes(attributes),
    /`attributes\b.*` to be/,
  ],
  [
    'the progress',
    [undefined, ...OBJECT],
    (task, progress) => task.progress(progress),
    /`progress` to be an object of done, total, message/,
  ],
  ['the branches of all', branches, (task, given) => task.all(given), /`?branch/],
  ['the branches of race', [...branches, {}], (task, given) => task.race(given), /`?branch|at least one/],
  ['the branches of any', [...branches, {}], (task, given) => task.any(given), /`?branch|at least one/],
]
/** What of a context can't be called wrongly: figures, and calls without arguments. */
const NOT_CALLED = ['taskId', 'type', 'version', 'owner', 'attempt', 'recovered', 'signal', 'log', 'now', 'uuid']

describe('a call of a body', () => {
  /** Runs a body that tries bad calls, and goes on. Returns what they threw; only what came after is in the log. */
  async function tries(calls: [string, (task: TaskContext) => unknown][]): Promise<Map<string, unknown>> {
    const errors = new Map<string, unknown>()
    const disk = new MemoryDisk()
    const task = defineTask({ name: 'task' }, async (task) => {
      expect(Object.keys(task).sort()).toEqual([...new Set([...NOT_CALLED, ...methodsTried()])].sort())
      for (const [where, call] of calls) errors.set(where, await errorOf(() => call(task)))
      return task.step('after', () => 'fine')
    })
    const holdfast = await openInMemory({ disk, tasks: [task, quick] })
    const { taskId } = await holdfast.start(task, null)
    expect(await holdfast.result(taskId)).toBe('fine')
    expect((await holdfast.steps(taskId)).flatMap(({ steps }) => steps.map(({ name }) => name))).toEqual(['after'])
    expect((await holdfast.list()).tasks).toHaveLength(1)
    expect(await holdfast.get(taskId)).toMatchObject({ completedSteps: 1, progress: undefined })
    await holdfast.close()
    return errors
  }
  const methodsTried = () => [
    ...Object.values(BODY_CALLS).flatMap(({ call }) => (call.startsWith('task.') ? [call.slice(5)] : [])),
    ...BODY_ARGUMENTS.map(([what]) => what.split(' ').at(-1) as string),
  ]

  test.each(Object.entries(BODY_CALLS))('%s refuses every option that can’t be; the body goes on', async (_, tried) => {
    const bad = [...badOptions(tried, tried.prefix)]
    const errors = await tries(
      bad.map(
        ([options], at) =>
          [`${at}`, (task) => tried.run(task, options as never)] as [string, (task: TaskContext) => unknown],
      ),
    )
    for (const [at, [options, message]] of bad.entries()) {
      expectRefusal(errors.get(`${at}`), message, `${tried.call} with ${show(options)}`)
    }
  })

  test.each(BODY_ARGUMENTS)('refuses %s that can’t be; the body goes on', async (_, values, call, message) => {
    const errors = await tries(values.map((value, at) => [`${at}`, (task) => call(task, value as never)]))
    for (const [at, value] of values.entries()) {
      const error = errors.get(`${at}`)
      expect(error, show(value)).toBeInstanceOf(TypeError)
      expect((error as Error).message, show(value)).toMatch(message)
    }
  })

  test('takes undefined for left out, and leaves out figures of progress that are none', async () => {
    const options = (names: object) => Object.fromEntries(Object.keys(names).map((name) => [name, undefined]))
    const task = defineTask({ name: 'task' }, async (task) => {
      await task.step('a', () => 1, { ...options(STEP_OPTIONS), retry: options(RETRY_OPTIONS) })
      await task.child(quick, null, options(CHILD_OPTIONS))
      await task.saveCheckpoint(1, options(SAVE_OPTIONS))
      await task.restoreCheckpoint(undefined)
      task.progress({ done: Number.NaN, total: Number.POSITIVE_INFINITY, message: 'half' })
      await task.race({ a: (t) => t.input('q', undefined, options(WAIT_OPTIONS)), b: (t) => t.step('b', () => 1) })
    })
    const holdfast = await openInMemory({ tasks: [task] })
    const { taskId } = await holdfast.start(task, undefined, options(START_OPTIONS))
    await holdfast.result(taskId, options(CALL_OPTIONS.result))
    expect((await holdfast.get(taskId, options(CALL_OPTIONS.owner))).progress).toEqual({ message: 'half' })
    await holdfast.list(options(LIST_OPTIONS))
    await holdfast.audit(options(AUDIT_OPTIONS))
    await holdfast.close(options(CALL_OPTIONS.close))
  })

  test('that makes a task its own ancestor ends after a few generations, and leaves none of them', async () => {
    const self = defineTask({ name: 'self' }, (task: TaskContext): Promise<unknown> => task.child('self'))
    const holdfast = await openInMemory({ tasks: [self] })
    const { taskId } = await holdfast.start(self, null)
    await expect(holdfast.result(taskId)).rejects.toThrow(/ancestors already, as many as a task may have/)
    const { tasks } = await holdfast.list()
    expect(tasks.every(({ status }) => status === 'failed')).toBe(true)
    expect(tasks.length).toBeLessThan(20)
    await holdfast.close()
  })
})
