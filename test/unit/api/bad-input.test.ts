// Goal: every kind of bad input: a clear error that says what to do, and nothing lost.
// Method: a store in memory, or in a temporary directory where files matter.
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { defineTask, Holdfast, type TaskContext } from '../../../src/index.js'
import { MemoryDisk, openInMemory, silentLogger } from '../../../src/testing/index.js'

let scratch: string
const unhandled: unknown[] = []
const note = (reason: unknown) => unhandled.push(reason)
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'holdfast-bad-input-'))
  process.on('unhandledRejection', note)
})
afterAll(async () => {
  await rm(scratch, { recursive: true, force: true })
  process.off('unhandledRejection', note)
  expect(unhandled).toEqual([])
})

const open = (dir: string) => Holdfast.open({ dir, logger: silentLogger })
const failing = (code: string, message = /./) =>
  expect.objectContaining({ code, message: expect.stringMatching(message) })

describe('a directory', () => {
  test('that this process holds already is refused, and the first holder is unharmed', async () => {
    const dir = join(scratch, 'held')
    const first = await open(dir)
    await symlink(dir, join(scratch, 'alias'))
    for (const path of [dir, `${dir}/`, join(dir, '..', 'held'), join(scratch, 'alias')]) {
      await expect(open(path)).rejects.toThrow(failing('STORE_LOCKED', new RegExp(String(process.pid))))
    }
    const { taskId } = await first.createSessionTask({ type: 'talk' })
    expect(await first.get(taskId)).toMatchObject({ status: 'running' })
    await first.close()
  })

  test('that is a file is refused and left alone', async () => {
    const file = join(scratch, 'file')
    await writeFile(file, 'mine')
    await expect(open(file)).rejects.toThrow(failing('STORE_UNUSABLE', /is a file/))
    await expect(open(join(file, 'below'))).rejects.toThrow(failing('STORE_UNUSABLE', /file/))
    expect(await readFile(file, 'utf8')).toBe('mine')
  })

  test('that holds something else is refused and left alone', async () => {
    const dir = join(scratch, 'photos')
    await mkdir(dir)
    await writeFile(join(dir, 'cat.jpg'), 'cat')
    await expect(open(dir)).rejects.toThrow(failing('STORE_UNUSABLE', /cat\.jpg/))
    expect(await readdir(dir)).toEqual(['cat.jpg'])
  })

  test('where nothing can be made is refused, and the call returns', async () => {
    await expect(open('/proc/holdfast/store')).rejects.toThrow(failing('STORE_UNUSABLE'))
  })

  test('that a newer version wrote is refused and left alone', async () => {
    const dir = join(scratch, 'newer')
    await (await open(dir)).close()
    const file = join(dir, 'holdfast.json')
    const identity = { ...JSON.parse(await readFile(file, 'utf8')), format: 99 }
    await writeFile(file, JSON.stringify(identity))
    const before = await readdir(dir, { recursive: true })
    await expect(open(dir)).rejects.toThrow(failing('STORE_TOO_NEW', /format 99.*Upgrade/))
    expect(await readdir(dir, { recursive: true })).toEqual(before)
  })

  test('whose database is gone is not made anew', async () => {
    const dir = join(scratch, 'gone')
    await (await open(dir)).close()
    await rm(join(dir, 'db'), { recursive: true })
    await expect(open(dir)).rejects.toThrow(failing('STORE_DAMAGED'))
  })

  test('with the database of another store is refused', async () => {
    const [one, other] = [join(scratch, 'one'), join(scratch, 'other')]
    await (await open(one)).close()
    await (await open(other)).close()
    await writeFile(join(one, 'holdfast.json'), await readFile(join(other, 'holdfast.json')))
    await expect(open(one)).rejects.toThrow(failing('STORE_UNUSABLE', /another store/))
  })
})

describe('an option', () => {
  test.each([
    [undefined, /options/],
    [{}, /`dir`/],
    [{ dir: '' }, /`dir`/],
    [{ dir: 5 }, /`dir`/],
    [{ dir: 'x', concurrency: 0 }, /`concurrency`.*>= 1, got 0/],
    [{ dir: 'x', concurrency: 1.5 }, /`concurrency`/],
    [{ dir: 'x', concurrency: Number.POSITIVE_INFINITY }, /`concurrency`/],
    [{ dir: 'x', durability: 'maybe' }, /`durability`.*'synced' or 'buffered'/],
    [{ dir: 'x', recover: 'never' }, /`recover`/],
    [{ dir: 'x', anchor: 'no' }, /`anchor`/],
    [{ dir: 'x', tasks: {} }, /`tasks`/],
    [{ dir: 'x', idempotencyRetention: '7 weeks' }, /`idempotencyRetention`/],
    [{ dir: 'x', limits: { stepsMax: 5 } }, /`limits.stepsMax`/],
    [{ dir: 'x', limits: { resultBytesMax: -1 } }, /`limits.resultBytesMax`/],
    [{ dir: 'x', limits: { resultBytesMax: 2 ** 30 } }, /at most/],
  ])('%j of open is refused, naming it', async (options, message) => {
    await expect(Holdfast.open(options as never)).rejects.toThrow(TypeError)
    await expect(Holdfast.open(options as never)).rejects.toThrow(message)
  })

  const task = defineTask({ name: 'noop' }, () => 1)
  test.each([
    [{ owner: '' }, /`owner`/],
    [{ owner: 5 }, /`owner`/],
    [{ idempotencyKey: 'x'.repeat(300) }, /`idempotencyKey`/],
    [{ ttl: '0s' }, /`ttl`/],
    [{ deadline: 'tomorrow' }, /`deadline`/],
    [{ deadline: new Date(Number.NaN) }, /`deadline`/],
  ])('%j of start is refused, and there is no task', async (options, message) => {
    const holdfast = await openInMemory({ tasks: [task] })
    await expect(holdfast.start(task, null, options as never)).rejects.toThrow(message)
    expect((await holdfast.list()).tasks).toEqual([])
  })

  test('of any other call is refused by its name', async () => {
    const holdfast = await openInMemory({ tasks: [task] })
    await expect(holdfast.list({ limit: 0 })).rejects.toThrow(/`limit`/)
    await expect(holdfast.list({ status: 'done' as never })).rejects.toThrow(/`status`/)
    await expect(holdfast.list({ cursor: 'nonsense' })).rejects.toThrow(failing('INVALID_CURSOR'))
    await expect(holdfast.audit({ limit: -1 })).rejects.toThrow(/`limit`/)
    await expect(holdfast.audit({ since: Number.NaN })).rejects.toThrow(/`since`/)
    await expect(holdfast.get(5 as never)).rejects.toThrow(/`taskId`/)
    expect(() => holdfast.forOwner('')).toThrow(/`owner`/)
    await expect(holdfast.close({ grace: -1 })).rejects.toThrow(/`grace`/)
    expect(() => holdfast.on('task:settled', 5 as never)).toThrow(/`listener`/)
    expect(() => holdfast.register({} as never)).toThrow(/defineTask/)
    expect(() => holdfast.register(defineTask({ name: 'noop' }, () => 2))).toThrow(/'noop'/)
  })
})

describe('a value', () => {
  const echo = defineTask({ name: 'echo' }, (_: TaskContext, input: unknown) => input)
  const cycle: Record<string, unknown> = {}
  cycle['self'] = cycle
  let deep: unknown = 1
  for (let level = 0; level < 2_000; level++) deep = [deep]

  const bad: [string, unknown, RegExp][] = [
    ['a BigInt', { rows: [1n] }, /`rows\[0\]`.*BigInt/],
    ['a function', { f: () => 1 }, /`f`.*function/],
    ['a symbol', Symbol('x'), /symbol/],
    ['NaN', { a: { b: Number.NaN } }, /`a.b`.*NaN/],
    ['Infinity', Number.POSITIVE_INFINITY, /Infinity/],
    ['a cycle', cycle, /contains itself/],
    ['a Map', { m: new Map() }, /Map, whose content JSON loses/],
    ['a promise', { p: Promise.resolve(1) }, /await it first/],
    ['an invalid Date', new Date(Number.NaN), /invalid Date/],
    ['something too deep', deep, /nested deeper/],
  ]

  test.each(bad)('%s is refused as input, and there is no task', async (_, value, message) => {
    const holdfast = await openInMemory({ tasks: [echo] })
    await expect(holdfast.start(echo, value)).rejects.toThrow(failing('NOT_SERIALIZABLE', message))
    expect((await holdfast.list()).tasks).toEqual([])
  })

  test.each(bad)('%s as a step’s result fails the task, naming the step', async (_, value, message) => {
    const task = defineTask({ name: 'bad' }, (task) => task.step('load', () => value as never))
    const holdfast = await openInMemory({ tasks: [task] })
    const { taskId } = await holdfast.start(task, null)
    const error = await holdfast.result(taskId).catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ name: 'TaskFailedError', code: 'NOT_SERIALIZABLE' })
    expect(String(error)).toMatch(message)
    expect(String(error)).toMatch(/'load'/)
  })

  test.each(bad)('%s as a task’s output fails the task', async (_, value, message) => {
    const task = defineTask({ name: 'bad' }, () => value as never)
    const holdfast = await openInMemory({ tasks: [task] })
    const { taskId } = await holdfast.start(task, null)
    await expect(holdfast.result(taskId)).rejects.toThrow(failing('NOT_SERIALIZABLE', message))
    expect(await holdfast.get(taskId)).toMatchObject({ status: 'failed', error: { code: 'NOT_SERIALIZABLE' } })
  })

  test('over its limit is refused, naming limit, size and option', async () => {
    const text = 'x'.repeat(200)
    const limits = { inputBytesMax: 100, resultBytesMax: 100, outputBytesMax: 100, stateBytesMax: 100 }
    const big = defineTask({ name: 'big' }, async (task, where: string) => {
      if (where === 'step') await task.step('load', () => text)
      if (where === 'state') await task.saveCheckpoint({ text })
      return text
    })
    const holdfast = await openInMemory({ tasks: [big], limits })
    await expect(holdfast.start(big, text)).rejects.toThrow(
      failing('TOO_LARGE', /202 bytes.*100.*limits\.inputBytesMax/),
    )
    for (const [where, option] of [
      ['step', 'resultBytesMax'],
      ['state', 'stateBytesMax'],
      ['output', 'outputBytesMax'],
    ]) {
      const { taskId } = await holdfast.start(big, where as string)
      await expect(holdfast.result(taskId)).rejects.toThrow(failing('TOO_LARGE', new RegExp(`limits\\.${option}`)))
    }
    const { taskId } = await holdfast.createSessionTask({ type: 'talk' })
    await expect(holdfast.saveCheckpoint(taskId, text)).rejects.toThrow(failing('TOO_LARGE'))
    expect(await holdfast.listCheckpoints(taskId)).toEqual([])
  })
})

describe('a schema', () => {
  const half = defineTask(
    { name: 'half', input: z.object({ rows: z.array(z.number()) }), output: z.object({ n: z.number() }) },
    (_, { rows }) => ({ n: (rows[0] === 0 ? 'none' : rows.length) as number }),
  )

  test('that the input does not fit refuses it with path and message, and there is no task', async () => {
    const holdfast = await openInMemory({ tasks: [half] })
    await expect(holdfast.start('half', { rows: [1, 'two'] })).rejects.toThrow(
      failing('INVALID_INPUT', /`rows\.1`: .*number/),
    )
    expect((await holdfast.list()).tasks).toEqual([])
  })

  test('that the output does not fit fails the task with path and message', async () => {
    const holdfast = await openInMemory({ tasks: [half] })
    const { taskId } = await holdfast.start(half, { rows: [0] })
    await expect(holdfast.result(taskId)).rejects.toThrow(failing('INVALID_OUTPUT', /`n`: .*number/))
  })
})

describe('a task', () => {
  const wait = defineTask({ name: 'wait' }, (task) => task.step('wait', () => new Promise(() => {})))
  const done = defineTask({ name: 'done' }, (_: TaskContext, n: number) => n)

  test('that is unknown and one of another owner answer alike, everywhere', async () => {
    const holdfast = await openInMemory({ tasks: [wait] })
    const { taskId } = await holdfast.start(wait, null, { owner: 'alice' })
    const bob = holdfast.forOwner('bob')
    const unknown = `${taskId.slice(0, -1)}${taskId.endsWith('0') ? '1' : '0'}`
    for (const id of [taskId, unknown, '', 'task-', '../x', 'x'.repeat(1_000)]) {
      for (const call of ['get', 'result', 'cancel', 'restoreCheckpoint', 'listCheckpoints', 'steps'] as const) {
        await expect(bob[call](id)).rejects.toThrow(failing('TASK_NOT_FOUND', /^There is no task "/))
      }
      await expect(bob.saveCheckpoint(id, 1)).rejects.toThrow(failing('TASK_NOT_FOUND'))
      await expect(bob.completeSessionTask(id, { kind: 'result' })).rejects.toThrow(failing('TASK_NOT_FOUND'))
    }
    expect((await bob.list()).tasks).toEqual([])
    expect(await holdfast.forOwner('alice').get(taskId)).toMatchObject({ status: 'running' })
  })

  test('that is settled refuses every change, naming its status', async () => {
    const holdfast = await openInMemory({ tasks: [done] })
    const { taskId } = await holdfast.start(done, 5)
    expect(await holdfast.result(taskId)).toBe(5)
    const refused = failing('TASK_SETTLED', /'completed'/)
    await expect(holdfast.cancel(taskId)).rejects.toThrow(refused)
    await expect(holdfast.saveCheckpoint(taskId, 1)).rejects.toThrow(refused)
    await expect(holdfast.completeSessionTask(taskId, { kind: 'cancelled' })).rejects.toThrow(refused)
    expect(await holdfast.get(taskId)).toMatchObject({ status: 'completed', outcome: { kind: 'result', result: 5 } })
  })

  test('started twice under one key with another input is refused, and the first is unharmed', async () => {
    const holdfast = await openInMemory({ tasks: [done] })
    const { taskId } = await holdfast.start(done, 5, { idempotencyKey: 'k' })
    await expect(holdfast.start(done, 6, { idempotencyKey: 'k' })).rejects.toThrow(
      failing('IDEMPOTENCY_CONFLICT', new RegExp(taskId)),
    )
    expect(await holdfast.result(taskId)).toBe(5)
  })

  test('of a type that nobody registered is refused, naming those that are', async () => {
    const holdfast = await openInMemory({ tasks: [done] })
    await expect(holdfast.start('dome', 5)).rejects.toThrow(failing('TASK_TYPE_UNKNOWN', /'dome'.*'done'/))
  })

  test('beyond the limit of unfinished tasks is refused', async () => {
    const holdfast = await openInMemory({ tasks: [wait], limits: { liveTasksMax: 1 } })
    await holdfast.start(wait, null)
    await expect(holdfast.start(wait, null)).rejects.toThrow(failing('LIMIT_EXCEEDED', /limits\.liveTasksMax/))
  })

  test('with more checkpoints than are kept fails, saying how to keep fewer', async () => {
    const many = defineTask({ name: 'many' }, async (task) => {
      for (let n = 0; n < 5; n++) await task.saveCheckpoint(n)
    })
    const holdfast = await openInMemory({ tasks: [many], limits: { checkpointsPerTaskMax: 3 } })
    const { taskId } = await holdfast.start(many, null)
    await expect(holdfast.result(taskId)).rejects.toThrow(failing('LIMIT_EXCEEDED', /checkpointsPerTaskMax/))
  })

  test('with a body is not completed from outside', async () => {
    const holdfast = await openInMemory({ tasks: [wait] })
    const { taskId } = await holdfast.start(wait, null)
    await expect(holdfast.completeSessionTask(taskId, { kind: 'result' })).rejects.toThrow(
      failing('NOT_A_SESSION_TASK'),
    )
  })

  test.each([{}, { kind: 'maybe' }, { kind: 'error' }, { kind: 'error', error: {} }, null, 5])(
    'of a session is not completed with %j',
    async (outcome) => {
      const holdfast = await openInMemory()
      const { taskId } = await holdfast.createSessionTask({ type: 'talk' })
      await expect(holdfast.completeSessionTask(taskId, outcome as never)).rejects.toThrow(TypeError)
      expect(await holdfast.get(taskId)).toMatchObject({ status: 'running' })
    },
  )

  test('has no checkpoint until one is saved', async () => {
    const holdfast = await openInMemory()
    const { taskId } = await holdfast.createSessionTask({ type: 'talk' })
    await expect(holdfast.restoreCheckpoint(taskId)).rejects.toThrow(
      failing('CHECKPOINT_NOT_FOUND', /no checkpoint yet/),
    )
    await expect(holdfast.restoreCheckpoint(taskId, { checkpointId: 'cp-x' })).rejects.toThrow(
      failing('CHECKPOINT_NOT_FOUND'),
    )
  })
})

describe('a body', () => {
  const bodies: [string, (task: TaskContext) => unknown, Record<string, unknown>][] = [
    [
      'that throws',
      () => {
        throw new RangeError('too far')
      },
      { name: 'RangeError', message: 'too far', stack: expect.stringContaining('too far') },
    ],
    ['that rejects with a text', () => Promise.reject('no'), { name: 'NonError', message: 'no' }],
    [
      'that throws undefined',
      () => {
        throw undefined
      },
      { name: 'NonError', message: 'undefined' },
    ],
    [
      'that fails with a step left unawaited',
      (task) => {
        void task.step('x', () => {
          throw new Error('late')
        })
        throw new Error('now')
      },
      { message: 'now' },
    ],
    [
      'whose step throws',
      (task) =>
        task.step('pay', () => {
          throw new TypeError('declined')
        }),
      { name: 'StepFailedError', cause: expect.objectContaining({ message: 'declined' }) },
    ],
    [
      'with a step that has no name',
      (task) => task.step('', () => 1),
      { name: 'TypeError', message: expect.stringContaining('`name`') },
    ],
    [
      'with a step that has no function',
      (task) => task.step('x', 5 as never),
      { name: 'TypeError', message: expect.stringContaining('`fn`') },
    ],
  ]
  const cases = bodies.map(([title, body, cause]) => [title, body, cause] as const)
  test.each(cases)('%s fails its task once, with the cause, and harms no other', async (_, body, cause) => {
    const bad = defineTask({ name: 'bad' }, body)
    const good = defineTask(
      { name: 'good' },
      async (task) => (await task.step('a', () => 1)) + (await task.step('b', () => 2)),
    )
    const holdfast = await openInMemory({ tasks: [bad, good] })
    const [one, other] = await Promise.all([holdfast.start(bad, null), holdfast.start(good, null)])
    const error = await holdfast.result(one.taskId).catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ name: 'TaskFailedError', code: 'TASK_FAILED', taskId: one.taskId, cause })
    expect(await holdfast.result(other.taskId)).toBe(3)
    const settled = (await holdfast.audit({ taskId: one.taskId })).filter(({ action }) => action === 'failed')
    expect(settled).toHaveLength(1)
  })
})

test('a listener that throws harms nobody', async () => {
  const task = defineTask({ name: 'noop' }, () => 1)
  const holdfast = await openInMemory({ tasks: [task] })
  holdfast.on('task:created', () => {
    throw new Error('listener')
  })
  const { taskId } = await holdfast.start(task, null)
  expect(await holdfast.result(taskId)).toBe(1)
})

test('calls after close are refused', async () => {
  const disk = new MemoryDisk()
  const holdfast = await openInMemory({ disk })
  const { taskId } = await holdfast.createSessionTask({ type: 'talk' })
  const waiting = holdfast.result(taskId)
  const told = expect(waiting).rejects.toThrow(failing('CLOSED'))
  await Promise.all([holdfast.close(), holdfast.close()])
  await told
  for (const call of [
    () => holdfast.get(taskId),
    () => holdfast.start('x'),
    () => holdfast.cancel(taskId),
    () => holdfast.list(),
  ]) {
    await expect(call()).rejects.toThrow(failing('CLOSED'))
  }
})
