import { runInNewContext } from 'node:vm'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { DURATION_MS_MAX, durationMs } from '../../../src/base/duration.js'
import {
  HoldfastError,
  ProtocolError,
  StepFailedError,
  TaskCancelledError,
  TaskFailedError,
} from '../../../src/base/errors.js'
import { forgetAt } from '../../../src/task/decisions/expiry.js'
import { defineTask } from '../../../src/task/definition/definition.js'
import type { TaskHead } from '../../../src/task/head.js'
import {
  describeError,
  failureCode,
  reviveError,
  stepFailure,
  type TaskError,
  waitFailure,
} from '../../../src/task/log/outcome.js'
import { checkName, cutText } from '../../../src/task/names.js'

describe('a duration', () => {
  test.each([
    [250, 250],
    ['250ms', 250],
    ['30s', 30_000],
    ['1.5m', 90_000],
    ['2 h', 7_200_000],
    ['7d', 604_800_000],
    [0.4, 1],
  ])('%j is %d ms', (given, ms) => expect(durationMs(given, 'timeout')).toBe(ms))

  test.each([
    0,
    -1,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    DURATION_MS_MAX * 2,
    '',
    '30',
    '30 parsecs',
    '-5s',
    '0s',
    null,
    {},
  ])('%j is refused, naming the option and the value', (given) =>
    expect(() => durationMs(given as number, 'timeout')).toThrow(/Expected `timeout` to be milliseconds/),
  )

  test('zero is allowed where it means something', () => expect(durationMs(0, 'grace', { zero: true })).toBe(0))
})

describe('a name', () => {
  test.each([undefined, null, 5, '', 'x'.repeat(11), 'a\nb', '\ud800'])('%j is refused', (given) => {
    expect(() => checkName(given, 'owner', 10)).toThrow(/Expected `owner` to be/)
  })
  test('any other text is allowed', () => expect(() => checkName('Ädä /%', 'owner', 10)).not.toThrow())
  test('a text is cut to its bytes, and loses what could forge a line', () => {
    expect(cutText('a\nb\u202e', 10)).toBe('a b ')
    expect(Buffer.byteLength(cutText('語'.repeat(100), 30))).toBeLessThanOrEqual(30)
  })
})

describe('an error', () => {
  const roundTrip = (thrown: unknown) => reviveError(JSON.parse(JSON.stringify(describeError(thrown))) as TaskError)

  test('for the protocol keeps its data, and goes without what JSON can’t carry, or is too large', () => {
    const withData = (data: unknown) => roundTrip(new ProtocolError(-32_602, 'bad', data))
    expect(withData({ field: 'x' })).toMatchObject({ name: 'ProtocolError', code: -32_602, data: { field: 'x' } })
    for (const data of [1n, 'x'.repeat(20_000)]) {
      expect(withData(data)).toMatchObject({ code: -32_602, message: 'bad' })
      expect(withData(data)).not.toHaveProperty('data')
    }
    expect(roundTrip(Object.assign(new Error('other'), { code: 5, data: { secret: 1 } }))).not.toHaveProperty('data')
  })

  test('comes back with name, message, code, stack and cause', () => {
    const thrown = Object.assign(new RangeError('too far', { cause: new Error('why') }), { code: 'E_FAR' })
    expect(roundTrip(thrown)).toMatchObject({
      name: 'RangeError',
      message: 'too far',
      code: 'E_FAR',
      stack: thrown.stack,
    })
    expect(roundTrip(thrown).cause).toMatchObject({ message: 'why' })
  })

  test('without a stack, or with a number for its code, comes back too', () => {
    const thrown = Object.assign(new Error('x'), { stack: undefined, code: 42 })
    expect(roundTrip(thrown)).toMatchObject({ message: 'x', code: 42 })
  })

  test('with parts comes back with its parts', () => {
    const thrown = new AggregateError([new Error('one'), 'two'], 'both', { cause: 'because' })
    expect(roundTrip(thrown)).toMatchObject({
      message: 'both',
      errors: [{ message: 'one' }, { message: 'two' }],
      cause: { message: 'because' },
    })
  })

  test.each([
    ['text', 'text'],
    [undefined, 'undefined'],
    [{ a: 1 }, '{"a":1}'],
    [null, 'null'],
    [{ toJSON: () => undefined }, '[object Object]'],
  ])('that is no Error (%j) is kept as what it says', (thrown, message) =>
    expect(describeError(thrown)).toEqual({ name: 'NonError', message }),
  )

  test('whose getters throw does no harm', () => {
    const thrown = Object.defineProperty(new Error('x'), 'message', {
      get: () => {
        throw new Error('trap')
      },
    })
    expect(describeError(thrown).message).toMatch(/could not be read/)
  })

  test('is cut where it is long, deep or a cycle', () => {
    const cycle = new AggregateError([], 'x'.repeat(20_000))
    cycle.errors.push(cycle, cycle, cycle)
    cycle.cause = cycle
    expect(JSON.stringify(describeError(cycle)).length).toBeLessThan(1_000_000)
  })

  test('keeps at most 200 bytes of its name and of its code', () => {
    const kept = (name: string, code: string) => describeError(Object.assign(new Error('short'), { name, code }))
    expect(kept('n'.repeat(200), 'c'.repeat(200))).toMatchObject({ name: 'n'.repeat(200), code: 'c'.repeat(200) })
    expect(kept('n'.repeat(201), 'c'.repeat(20_000_000))).toMatchObject({
      name: 'n'.repeat(200),
      code: 'c'.repeat(200),
    })
    // Three bytes and four each: what would be cut in the middle of a character goes without it.
    expect(kept('€'.repeat(100), `x${'😀'.repeat(100)}`)).toMatchObject({
      name: '€'.repeat(66),
      code: `x${'😀'.repeat(49)}`,
    })
  })

  test('of another realm keeps its name, message, cause and parts', () => {
    const foreign = (code: string) => runInNewContext(code) as unknown
    expect(roundTrip(foreign(`new RangeError('too far', { cause: new Error('why') })`))).toMatchObject({
      name: 'RangeError',
      message: 'too far',
      cause: { message: 'why' },
    })
    expect(roundTrip(foreign(`new AggregateError([new Error('one'), 'two'], 'both')`))).toMatchObject({
      message: 'both',
      errors: [{ message: 'one' }, { message: 'two' }],
    })
    expect(new StepFailedError('pay', foreign(`new Error('declined')`)).message).toBe("Step 'pay' failed: declined")
  })

  test('that only has the name of an error with parts has none', () => {
    expect(describeError(Object.assign(new Error('x'), { name: 'AggregateError' }))).not.toHaveProperty('errors')
  })

  test('of another task comes back as what it was', () => {
    const failed = roundTrip(new TaskFailedError('t1', 'TIMEOUT', 'too late', new RangeError('why')))
    expect(failed).toBeInstanceOf(TaskFailedError)
    expect(failed).toMatchObject({ taskId: 't1', code: 'TIMEOUT', message: 'too late', cause: { name: 'RangeError' } })
    for (const reason of ['enough', undefined]) {
      const cancelled = roundTrip(new TaskCancelledError('t1', reason))
      expect(cancelled).toBeInstanceOf(TaskCancelledError)
      expect(cancelled).toMatchObject({ taskId: 't1', reason, message: new TaskCancelledError('t1', reason).message })
    }
    const long = new TaskCancelledError('t1', 'r'.repeat(300))
    expect(roundTrip(long)).toMatchObject({ reason: undefined, message: long.message })
    for (const name of ['TaskFailedError', 'TaskCancelledError']) {
      const stored = { name, message: 'm', code: 'TIMEOUT', ours: true } as const
      expect(reviveError(stored)).toMatchObject({ name, code: 'TIMEOUT', constructor: HoldfastError })
    }
  })

  test('of the library comes back as the library’s, and somebody else’s code of the same name does not', () => {
    expect(roundTrip(new HoldfastError('TOO_LARGE', 'big'))).toBeInstanceOf(HoldfastError)
    expect(roundTrip(Object.assign(new Error('x'), { code: 'TIMEOUT' }))).not.toBeInstanceOf(HoldfastError)
    expect(failureCode(describeError(Object.assign(new Error('x'), { code: 'TIMEOUT' })))).toBe('TASK_FAILED')
    expect(failureCode({ name: 'x', message: '', ours: true, code: 'NO_SUCH_CODE' })).toBe('TASK_FAILED')
  })

  test('of a step comes back as StepFailedError, with the step and the cause', () => {
    const failed = stepFailure('charge', 7, describeError(new Error('declined')))
    expect(failed).toMatchObject({
      step: 'charge',
      message: "Step 'charge' failed: declined",
      cause: { message: 'declined' },
    })
    expect(describeError(failed)).toMatchObject({ step: 'charge', record: 7 })
    const back = roundTrip(failed)
    expect(back).toBeInstanceOf(StepFailedError)
    expect(back).toMatchObject({ step: 'charge', message: failed.message })
  })

  test('of a step says where the step threw, as far as that is known', () => {
    expect(stepFailure('a', 0, { name: 'Error', message: 'no', stack: 'Error: no\n    at x' }).stack).toMatch(
      /caused by Error: no\n {4}at x/,
    )
    expect(stepFailure('a', 0, { name: 'Error', message: 'no' }).stack).toMatch(/caused by no$/)
  })

  test('of a child says so, and is a failed step’s otherwise', () => {
    const failed = stepFailure('import', 7, describeError(new Error('no')), 'child')
    expect(failed).toMatchObject({ step: 'import', message: "Child 'import' failed: no", cause: { message: 'no' } })
    expect(failed.stack).toMatch(/^StepFailedError: Child 'import' failed: no/)
    expect(describeError(failed)).toMatchObject({ record: 7 })
  })

  test('of a wait that was over before its end comes back as what it was, with its record', () => {
    const failed = waitFailure(7, describeError(new HoldfastError('INPUT_TIMEOUT', 'late')))
    expect(failed).toBeInstanceOf(HoldfastError)
    expect(failed).toMatchObject({ code: 'INPUT_TIMEOUT', message: 'late' })
    expect(describeError(failed)).toMatchObject({ record: 7 })
  })

  test('of a step passes the engine’s own reason on', () => {
    expect(failureCode(describeError(new StepFailedError('a', new HoldfastError('TOO_LARGE', 'big'))))).toBe(
      'TOO_LARGE',
    )
    expect(failureCode(describeError(new StepFailedError('a', 'text')))).toBe('TASK_FAILED')
    expect(failureCode({ name: 'StepFailedError', message: '', step: 'a' })).toBe('TASK_FAILED')
  })
})

describe('a definition', () => {
  const body = () => 1
  test('keeps what it was given', () => {
    const undo = { charge: () => {} }
    const retry = { maximumAttempts: 3, backoffCoefficient: 2, initialInterval: '1s', maximumInterval: '1m' } as const
    const onCancel = () => {}
    const made = defineTask(
      { name: 'x', version: '1', input: z.string(), output: z.number(), timeout: '30m', retry, undo, onCancel },
      body,
    )
    expect(made).toMatchObject({
      name: 'x',
      version: '1',
      timeoutMs: 1_800_000,
      retry: { maximumAttempts: 3, initialMs: 1_000, maximumMs: 60_000 },
      undo,
      onCancel,
      body,
    })
  })

  test.each([
    [{ name: '' }, '`name`'],
    [{ name: 'x', version: 1 }, '`version`'],
    [{ name: 'x', timeout: 'soon' }, '`timeout`'],
    [{ name: 'x', input: {} }, '`input`'],
    [{ name: 'x', output: 'number' }, '`output`'],
    [{ name: 'x', input: null }, '`input`'],
    [{ name: 'x', onCancel: 1 }, '`onCancel`'],
    [{ name: 'x', undo: { charge: 1 } }, '`undo.charge`'],
    [{ name: 'x', undo: [] }, '`undo`'],
    [{ name: 'x', undo: null }, '`undo`'],
    [{ name: 'x', undo: 'charge' }, '`undo`'],
    [{ name: 'x', cleanUp: { retry: { maximumAttempts: 0 } } }, '`cleanUp.retry.maximumAttempts`'],
    [{ name: 'x', cleanUp: { timeout: 0 } }, '`cleanUp.timeout`'],
    [{ name: 'x', cleanUp: { grace: -1 } }, '`cleanUp.grace`'],
    [{ name: 'x', retry: { maximumAttempts: 0 } }, '`retry.maximumAttempts`'],
    [{ name: 'x', retry: { maximumAttempts: 1.5 } }, '`retry.maximumAttempts`'],
    [{ name: 'x', retry: { backoffCoefficient: 0 } }, '`retry.backoffCoefficient`'],
    [{ name: 'x', retry: { initialInterval: -1 } }, '`retry.initialInterval`'],
    [{ name: 'x', retry: { maximumInterval: 0 } }, '`retry.maximumInterval`'],
  ])('%j is refused, naming the option', (options, named) => {
    expect(() => defineTask(options as never, body)).toThrow(named)
  })

  test('needs no more than a name and a body; an undo is tried five times, a minute each, after a grace of 5 s', () => {
    expect(defineTask({ name: 'x' }, body)).toMatchObject({
      name: 'x',
      timeoutMs: undefined,
      retry: { maximumAttempts: 1 },
      cleanUp: { retry: { maximumAttempts: 5, initialMs: 1_000, coefficient: 2 }, timeoutMs: 60_000, graceMs: 5_000 },
    })
  })

  test('may say how undos are run, in part, and that there is no grace', () => {
    const cleanUp = { retry: { initialInterval: '5s' }, timeout: '10m', grace: 0 } as const
    expect(defineTask({ name: 'x', cleanUp }, body).cleanUp).toMatchObject({
      retry: { maximumAttempts: 5, initialMs: 5_000 },
      timeoutMs: 600_000,
      graceMs: 0,
    })
  })

  test('without a body is refused', () => expect(() => defineTask({ name: 'x' }, 1 as never)).toThrow('`body`'))
})

test('an idempotency key of an unfinished task is not forgotten', () => {
  expect(forgetAt({ createdAt: 0 } as TaskHead, 1)).toBeUndefined()
})
