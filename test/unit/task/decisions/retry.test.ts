import { describe, expect, test } from 'vitest'
import { NonRetryableError, RetryAfterError } from '../../../../src/base/errors.js'
import { isBetweenAttempts, nextAttemptAt, stepRetryAt } from '../../../../src/task/decisions/retry.js'
import { retryPolicy } from '../../../../src/task/definition/retry-options.js'
import type { TaskHead } from '../../../../src/task/head.js'
import { describeError, reviveError, shortCodeOf, stepFailure } from '../../../../src/task/log/outcome.js'
import type { PendingRecord } from '../../../../src/task/log/pending-record.js'

describe('the next attempt', () => {
  const failed = { attempt: 1, error: new Error('no'), now: 1_000, dueAt: undefined, fraction: 0 }
  const policy = retryPolicy({ maximumAttempts: 4, initialInterval: 100, maximumInterval: 300 })

  test('comes after a wait that grows up to its longest', () => {
    expect([1, 2, 3].map((attempt) => nextAttemptAt(policy, { ...failed, attempt }))).toEqual([1_100, 1_200, 1_300])
  })

  test('comes earlier by up to half, at random', () => {
    expect(nextAttemptAt(policy, { ...failed, fraction: 0.5 })).toBe(1_075)
    expect(nextAttemptAt(policy, { ...failed, fraction: 1 })).toBe(1_050)
  })

  test('does not come once the attempts are used up', () => {
    expect(nextAttemptAt(policy, { ...failed, attempt: 4 })).toBeUndefined()
    expect(nextAttemptAt(retryPolicy(undefined), failed)).toBeUndefined()
  })

  test('does not come where it could not begin before the deadline', () => {
    expect(nextAttemptAt(policy, { ...failed, dueAt: 1_100 })).toBeUndefined()
    expect(nextAttemptAt(policy, { ...failed, dueAt: 1_101 })).toBe(1_100)
  })

  test.each([Number.NaN, Number.POSITIVE_INFINITY, -1, 1e300, '30s', null])(
    'takes no wait of %s from an error that is somebody else’s',
    (retryAfterMs) => {
      const error = new Error('outer', { cause: Object.assign(new Error('busy'), { retryAfterMs }) })
      expect(nextAttemptAt(policy, { ...failed, error })).toBe(1_100)
    },
  )

  test('is decided by what can be read of an error', () => {
    const hostile = (field: string, cause?: unknown) =>
      Object.defineProperty(new Error('no', { cause }), field, {
        get() {
          throw new Error('trap')
        },
      })
    for (const field of ['name', 'cause', 'retryAfterMs', 'message']) {
      expect(nextAttemptAt(policy, { ...failed, error: hostile(field) })).toBe(1_100)
    }
    const final = new NonRetryableError('gone', { cause: hostile('name') })
    expect(nextAttemptAt(policy, { ...failed, error: final })).toBeUndefined()
    expect(nextAttemptAt(policy, { ...failed, error: hostile('message', new RetryAfterError(5)) })).toBe(1_005)
  })

  test('does not come for an error that no attempt can help, also one that a step passed on', () => {
    const final = new NonRetryableError('gone')
    expect(nextAttemptAt(policy, { ...failed, error: final })).toBeUndefined()
    const passedOn = stepFailure('a', 0, describeError(final))
    expect(nextAttemptAt(policy, { ...failed, error: new Error('outer', { cause: passedOn }) })).toBeUndefined()
  })

  test('comes when the error says', () => {
    expect(nextAttemptAt(policy, { ...failed, error: new RetryAfterError('2s') })).toBe(3_000)
    const revived = reviveError(describeError(new RetryAfterError('2s')))
    expect(nextAttemptAt(policy, { ...failed, error: new Error('outer', { cause: revived }) })).toBe(3_000)
    expect(() => new RetryAfterError('soon' as never)).toThrow(TypeError)
  })

  test('comes only where `retryIf` says so; one that throws says no', () => {
    const only = (retryIf: (error: unknown) => boolean) =>
      nextAttemptAt(retryPolicy({ maximumAttempts: 2, retryIf }), failed)
    expect(only((error) => error === failed.error)).toBe(2_000)
    expect(only(() => false)).toBeUndefined()
    expect(
      only(() => {
        throw new Error('trap')
      }),
    ).toBeUndefined()
  })

  test('comes for what is no Error too, and a cycle of causes ends', () => {
    expect(nextAttemptAt(policy, { ...failed, error: 'text' })).toBe(1_100)
    const cycle = new Error('cycle')
    cycle.cause = cycle
    expect(nextAttemptAt(policy, { ...failed, error: cycle })).toBe(1_100)
  })
})

describe('options', () => {
  test.each([
    [{ maximumAttempts: 0 }, 'retry.maximumAttempts'],
    [{ maximumAttempts: 1.5 }, 'retry.maximumAttempts'],
    [{ maximumAttempts: Number.POSITIVE_INFINITY }, 'retry.maximumAttempts'],
    [{ backoffCoefficient: 0.5 }, 'retry.backoffCoefficient'],
    [{ backoffCoefficient: Number.POSITIVE_INFINITY }, 'retry.backoffCoefficient'],
    [{ initialInterval: -1 }, 'retry.initialInterval'],
    [{ initialInterval: '1 fortnight' }, 'retry.initialInterval'],
    [{ maximumInterval: 0 }, 'retry.maximumInterval'],
    [{ retryIf: true }, 'retry.retryIf'],
  ])('%j are refused, naming the option', (options, named) => {
    expect(() => retryPolicy(options as never)).toThrow(named)
  })
})

test('an unloaded task is between two attempts unless one of its waits has its wake time', () => {
  const head = { attempt: 2, wakeAt: 900 } as TaskHead
  const note = (rest: Partial<PendingRecord>) => [{ failedAttempts: 0, ...rest } as PendingRecord]
  expect(isBetweenAttempts(head, [])).toBe(true)
  expect(isBetweenAttempts(head, note({ retryAt: 800, wait: { startedAt: 1, dueAt: 800 } }))).toBe(true)
  expect(isBetweenAttempts(head, note({ retryAt: 900 }))).toBe(false)
  expect(isBetweenAttempts(head, note({ wait: { startedAt: 1, dueAt: 900 } }))).toBe(false)
  const input = { key: 'k', name: 'k', request: null, requestedAt: 1, dueAt: 900 }
  expect(isBetweenAttempts(head, note({ input }))).toBe(false)
  expect(isBetweenAttempts({ ...head, listens: true }, [])).toBe(false)
  expect(isBetweenAttempts({ ...head, attempt: 1 }, [])).toBe(false)
  expect(isBetweenAttempts({ ...head, wakeAt: undefined }, [])).toBe(false)
})

test('an error is named by its code, or else by its name, and never by a long text', () => {
  expect(shortCodeOf({ name: 'Error', message: 'secret', code: 'ENOSPC' })).toBe('ENOSPC')
  expect(shortCodeOf({ name: 'QuotaError', message: 'secret' })).toBe('QuotaError')
  expect(shortCodeOf({ name: 'x'.repeat(200), message: 'secret' })).toHaveLength(60)
})

test('an attempt that failed before a caller asked for it is due at once, and a later one is not', () => {
  const failed = { retryAt: 900, failedSeq: 4 } as PendingRecord
  expect(stepRetryAt({}, failed)).toBe(900)
  expect(stepRetryAt({ attemptsBefore: 5 }, failed)).toBe(0)
  expect(stepRetryAt({ attemptsBefore: 4 }, failed)).toBe(900)
  expect(stepRetryAt({ attemptsBefore: 5 }, { retryAt: 900 } as PendingRecord)).toBe(0)
  expect(stepRetryAt({ attemptsBefore: 5 }, {} as PendingRecord)).toBeUndefined()
})
