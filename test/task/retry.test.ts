import { describe, expect, test } from 'vitest'
import { NonRetryableError, RetryAfterError } from '../../src/errors.js'
import { createTask } from '../../src/task/create.js'
import { emptySegment, PREFIX, type TaskHead } from '../../src/task/head.js'
import { findHole, type ReadRecord } from '../../src/task/integrity.js'
import { encodeRecord, type LogRecord } from '../../src/task/log.js'
import { describeError, reviveError, stepFailure } from '../../src/task/outcome.js'
import { dropForRetry, nextAttemptAt, retryPolicy } from '../../src/task/retry.js'
import { decodeStepProgress, encodeStepProgress } from '../../src/task/step-progress.js'
import type { NewRecord } from '../../src/task/task-event.js'
import { transition } from '../../src/task/transition.js'

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
    expect(() => new RetryAfterError('soon')).toThrow(TypeError)
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

// A log as real decisions make it.
function build(records: readonly NewRecord[]): { head: TaskHead; log: ReadRecord[] } {
  const about = {
    taskId: 'task-1',
    seed: 's',
    type: 't',
    kind: 'body',
    durability: 'synced',
    startNow: true,
    by: 'x',
  } as const
  let { head } = createTask(about, 0)
  const log = records.map((record) => {
    const checkpoint = record.kind === 'checkpoint' ? { stateText: '', prune: false } : undefined
    const decision = transition(head, { kind: 'record', run: 1, record, checkpoint }, 1)
    head = decision.head
    const made = decision.record as LogRecord
    return { record: made, text: encodeRecord(made) }
  })
  return { head, log }
}

const step = (name: string, ask: number, after: number, failed = false, segment = PREFIX): NewRecord => ({
  kind: 'step',
  name,
  number: 1,
  segment,
  scope: '',
  ask,
  after,
  startedAt: 0,
  attempts: 1,
  value: failed ? undefined : '1',
  failed: failed ? { name: 'Error', message: name } : undefined,
})
const save = (opens: number, ask: number, after: number, segment: number): NewRecord => ({
  kind: 'checkpoint',
  checkpointId: `cp-${opens}`,
  opens,
  segment,
  scope: '',
  ask,
  after,
})

const names = (reads: readonly ReadRecord[]) =>
  reads.map(({ record }) => (record.kind === 'checkpoint' ? record.checkpointId : record.name))
const escaped = (seq: number) => describeError(stepFailure('x', seq, { name: 'Error', message: 'no' }))

describe('a retry of the task', () => {
  const cases: [string, NewRecord[], unknown, string[]][] = [
    [
      'catch, notify, rethrow',
      [step('before', 0, -1), step('charge', 1, 0, true), step('notify', 2, 1)],
      escaped(1),
      ['charge', 'notify'],
    ],
    [
      'a failure wrapped as cause',
      [step('before', 0, -1), step('charge', 1, 0, true)],
      { name: 'E', message: '', cause: escaped(1) },
      ['charge'],
    ],
    [
      'an AggregateError after allSettled',
      [step('a', 0, -1, true), step('b', 1, -1), step('c', 2, -1, true)],
      { name: 'E', message: '', errors: [escaped(2), escaped(0)] },
      ['a', 'c'],
    ],
    ['a sibling that was asked for before', [step('a', 0, -1, true), step('b', 1, -1)], escaped(0), ['a']],
    [
      'a failure that was caught, and another that escaped',
      [step('a', 0, -1, true), step('b', 1, 0, true)],
      escaped(1),
      ['b'],
    ],
    ['an error of the body itself', [step('a', 0, -1), step('b', 1, 0)], { name: 'Error', message: 'bug' }, []],
    ['a failure that was pruned', [step('a', 0, -1)], escaped(9), []],
    [
      'a checkpoint saved after the failure was caught',
      [step('a', 0, -1), save(1, 1, 0, PREFIX), step('b', 0, 1, true, 1), save(2, 1, 2, 1), step('c', 0, 3, false, 2)],
      escaped(2),
      ['b', 'cp-2', 'c'],
    ],
  ]

  test.each(cases)('drops what it must after %s, and leaves a log without holes', (_, records, error, gone) => {
    const { head, log } = build(records)
    const { kept, dropped } = dropForRetry(log, error as never, { keptFrom: 0, checkpoints: { body: 9, client: 0 } })
    expect(names(dropped)).toEqual(gone)
    const event = { kind: 'retry', run: 1, wakeAt: 50, why: 'no', kept, dropped } as const
    const { head: next, changes } = transition(head, event, 10)
    expect(findHole(next, kept)).toBeUndefined()
    expect(next).toMatchObject({ attempt: 2, wakeAt: 50, records: kept.length, nextRecord: head.nextRecord })
    const completed = kept.filter(({ record }) => record.kind === 'step' && !record.failed).length
    expect(next.completedSteps).toBe(completed)
    const deletes = changes.filter(({ kind }) => kind === 'drop-record' || kind === 'drop-checkpoint')
    expect(deletes).toHaveLength(dropped.length + dropped.filter(({ record }) => record.kind === 'checkpoint').length)
    if (kept.length === 0) expect(next.open).toEqual(emptySegment(PREFIX))
  })
})

test('how far a step is comes back from text as it was', () => {
  for (const progress of [
    { id: 'a', failedAttempts: 0 },
    { id: 'a', failedAttempts: 2, retryAt: 9 },
    { id: 'a', failedAttempts: 1, stateText: '{"a":"b\\nc"}' },
    { id: 'a', failedAttempts: 1, stateText: '' },
  ]) {
    expect(decodeStepProgress(encodeStepProgress(progress))).toEqual(progress)
  }
})
