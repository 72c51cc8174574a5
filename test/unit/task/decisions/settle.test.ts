// Goal: a task ends once, and what is left behind it is cleaned up by a run of its own, without touching the outcome.
// Method: heads that earlier decisions made meet their end, and then everything that may still happen to them.
import { describe, expect, test } from 'vitest'
import { createTask, type NewTask } from '../../../../src/task/decisions/create.js'
import { RunFenced, transition } from '../../../../src/task/decisions/transition.js'
import { isLive, isSettled, type StoppedBy, type TaskHead } from '../../../../src/task/head.js'
import type { Outcome } from '../../../../src/task/log/outcome.js'
import { onCancelRecord, type Undoing, type UndoRecord, undoneRecords } from '../../../../src/task/log/undo-record.js'
import type { EventOf, TaskEvent } from '../../../../src/task/task-event.js'
import { NO_DROPS, newTask, note, question, step } from '../../../helpers/build-log.js'

const NOW = 1_000_000

const RESULT: Outcome = { kind: 'result', result: 1 }
const ERROR: Outcome = { kind: 'error', error: { name: 'Error', message: 'no' } }
const CANCELLED: Outcome = { kind: 'cancelled', reason: 'no more' }

const running = (more: Partial<NewTask> = {}) => createTask(newTask(more), NOW).head
const withIntent = (head: TaskHead) =>
  transition(head, { kind: 'note', run: 1, beside: { intent: PAY, isNewIntent: true } }, NOW).head
const withChild = (head: TaskHead) =>
  transition(head, { kind: 'note', run: 1, beside: { begun: [note('c', {}, { child: CHILD })] } }, NOW).head
const CHILD = { taskId: 'task-2', startedAt: 0 }
const PAY: UndoRecord = { ...onCancelRecord(NOW), id: 'pay', name: 'pay', order: 0 }

type More = Partial<Omit<EventOf<'settle'>, 'kind' | 'outcome'>>
const settle = (head: TaskHead, outcome: Outcome, more: More = {}) =>
  transition(head, { kind: 'settle', outcome, by: 'body', retentionMs: 70, ...more }, NOW + 1)

describe('a move to another store', () => {
  const parked = (head: TaskHead) =>
    transition(head, { kind: 'park', parked: { code: 'EXPORTED', reason: 'x' }, endsRun: true }, NOW).head

  test('ends the run that may be there, and no run or clean-up begins before a resume', () => {
    const head = parked(running())
    expect(head).toMatchObject({ run: 2, parked: { code: 'EXPORTED', reason: 'x' } })
    expect(() => transition(head, { kind: 'record', run: 1, record: step('a') }, NOW)).toThrow(RunFenced)
    expect(() => transition(head, { kind: 'start', run: 3, recovered: true }, NOW)).toThrow(RunFenced)
    const pending = settle(withIntent(running()), CANCELLED, { stoppedBy: 'cancel' }).head
    const imported: TaskHead = { ...pending, parked: { code: 'EXPORTED', reason: 'x', since: 1 } }
    expect(() => transition(imported, { kind: 'clean-up', run: 4 }, NOW)).toThrow(RunFenced)
    const resumed = transition(head, { kind: 'resume', by: 'x' }, NOW).head
    expect(transition(resumed, { kind: 'start', run: 3, recovered: true }, NOW).head).toMatchObject({ run: 3 })
  })

  test('leaves no clean-up, because the task continues elsewhere', () => {
    for (const head of [parked(withIntent(running())), parked(running())]) {
      const moved = settle(head, CANCELLED, { stoppedBy: 'cancel', onCancel: true, movedAt: head.seq }).head
      expect(moved).toMatchObject({ status: 'cancelled', cleanUp: 'none', parked: undefined })
    }
  })

  test('is refused if the task has changed since it was read', () => {
    const head = parked(running())
    const message = { kind: 'send', message: { name: 'go', order: 0, text: '' }, by: 'x' } as const
    const changed = transition(head, message, NOW).head
    expect(() => settle(changed, CANCELLED, { movedAt: head.seq })).toThrow(
      expect.objectContaining({ code: 'TASK_IN_USE' }),
    )
  })
})

describe('the end of a task', () => {
  test('ends its run: whatever that says later is refused as fenced, also that it ended', () => {
    const head = running()
    const settled = settle(head, CANCELLED).head
    expect(settled.run).toBe(head.run + 1)
    for (const late of [
      { kind: 'record', run: 1, record: step('a') },
      { kind: 'settle', run: 1, outcome: RESULT, by: 'body', retentionMs: 1 },
      { kind: 'park', run: 1, parked: { code: 'CODE_CHANGED', reason: 'renamed' } },
    ] as TaskEvent[]) {
      expect(() => transition(settled, late, NOW + 2)).toThrow(RunFenced)
    }
  })

  test('leaves nothing that it waited for', () => {
    const asking = transition(running(), { kind: 'note', run: 1, beside: { begun: [question('ok-1')] } }, NOW).head
    const sent = transition(asking, { kind: 'send', message: { name: 'go', order: 0, text: '' }, by: 'x' }, NOW).head
    const waiting = transition(sent, { kind: 'unload', run: 1, wakeAt: 9, listens: true }, NOW).head
    const parked = transition(waiting, { kind: 'park', parked: { code: 'CODE_CHANGED', reason: 'x' } }, NOW).head
    expect(parked).toMatchObject({ inputs: 1, wakeAt: NOW, listens: true, hasNews: true })
    const { head } = settle(parked, CANCELLED)
    for (const gone of ['inputs', 'wakeAt', 'listens', 'hasNews', 'parked'] as const) expect(head[gone]).toBeUndefined()
  })

  test('as a failure shows its name, message and code on the head, and its code in the audit', () => {
    const error = { name: 'TaskFailedError', message: 'late\nvery', code: 'TIMEOUT', ours: true } as const
    const { head, changes } = settle(
      running(),
      { kind: 'error', error },
      { progress: { done: 2 }, stoppedBy: 'timeout' },
    )
    expect(head.error).toEqual({ name: 'TaskFailedError', message: 'late very', code: 'TIMEOUT' })
    expect(head).toMatchObject({ settledAt: NOW + 1, progress: { done: 2 }, stoppedBy: 'timeout' })
    expect(changes[1]).toMatchObject({ entry: { action: 'failed', why: 'TIMEOUT', from: 'running', to: 'failed' } })
  })

  test('as a failure with a long message shows what fits', () => {
    const { head } = settle(running(), { kind: 'error', error: { name: 'E'.repeat(900), message: 'm'.repeat(9_000) } })
    expect(head.error).toMatchObject({ name: 'E'.repeat(400), message: 'm'.repeat(400) })
  })

  test('as a result, and as a cancel, shows no error', () => {
    expect(settle(running(), RESULT).head.error).toBeUndefined()
    const { head, changes } = settle(running({ startNow: false }), CANCELLED)
    expect(head.error).toBeUndefined()
    expect(changes[1]).toMatchObject({ entry: { action: 'cancelled', from: 'pending', why: 'no more' } })
    expect(changes).toContainEqual({ kind: 'outcome', text: JSON.stringify(CANCELLED) })
  })

  test('lets its idempotency key be forgotten once the task is, and the retention is over', () => {
    const forget = (more: Partial<NewTask>, createdAt = NOW) =>
      settle({ ...running(more), createdAt }, RESULT).changes.find(({ kind }) => kind === 'forget-key')
    const keyed = { owner: 'alice', idempotency: { key: 'k', fingerprint: 'f' } }
    expect(forget(keyed)).toMatchObject({ at: NOW + 71, scope: { owner: 'alice', type: 'import', key: 'k' } })
    expect(forget({ ...keyed, ttlMs: 500 })).toMatchObject({ at: NOW + 570 })
    expect(forget({ ...keyed, ttlMs: 500 }, 0)).toMatchObject({ at: NOW + 71 })
    expect(forget({})).toBeUndefined()
  })
})

describe('a clean-up', () => {
  const plain = running()
  const undoable = withIntent(plain)
  const parent = withChild(plain)
  const cancel = (onCancel: boolean | 'unknown' | undefined, stoppedBy: StoppedBy | undefined = 'cancel') => ({
    onCancel,
    stoppedBy,
  })
  // settle-1, as a table: what is left behind, how the task ended, and whether that has to be cleaned up.
  const cases: [string, TaskHead, Outcome, More, 'pending' | 'none'][] = [
    ['nothing is left, and it returned', plain, RESULT, {}, 'none'],
    ['nothing is left, and it failed', plain, ERROR, {}, 'none'],
    ['nothing is left, and it was cancelled', plain, CANCELLED, cancel(false), 'none'],
    ['a child is left, and it returned', parent, RESULT, {}, 'pending'],
    ['a child is left, and it failed', parent, ERROR, {}, 'pending'],
    ['a child is left, and it was cancelled', parent, CANCELLED, cancel(false), 'pending'],
    ['a step has an undo, and it returned', undoable, RESULT, {}, 'none'],
    ['a step has an undo, and it failed', undoable, ERROR, {}, 'pending'],
    ['a step has an undo, and it was cancelled', undoable, CANCELLED, cancel(false), 'pending'],
    ['a step has an undo, and it timed out', undoable, ERROR, cancel(false, 'timeout'), 'pending'],
    ['there is an onCancel, and it returned', plain, RESULT, { onCancel: true }, 'none'],
    ['there is an onCancel, and it failed by itself', plain, ERROR, { onCancel: true }, 'none'],
    ['there is an onCancel, and it was cancelled', plain, CANCELLED, cancel(true), 'pending'],
    ['there is an onCancel, and it timed out', plain, ERROR, cancel(true, 'timeout'), 'pending'],
    ['there is an onCancel, and its deadline passed', plain, ERROR, cancel(true, 'deadline'), 'pending'],
    ['there is an onCancel, and it expired', plain, ERROR, cancel(true, 'expiry'), 'pending'],
    ['nobody knows of an onCancel, and it was cancelled', plain, CANCELLED, cancel('unknown'), 'pending'],
    ['nobody says anything of an onCancel, and it was cancelled', plain, CANCELLED, cancel(undefined), 'none'],
    ['it is given up, whatever is left', withChild(undoable), CANCELLED, { ...cancel(true), givesUp: true }, 'none'],
  ]
  test.each(cases)('when %s', (_, head, outcome, more, cleanUp) => {
    const settled = settle(head, outcome, more).head
    expect(settled.cleanUp).toBe(more.givesUp ? 'failed' : cleanUp)
    expect(isSettled(settled.status)).toBe(true)
    expect(isLive(settled)).toBe(cleanUp === 'pending')
  })

  test('that is given up says that it was not run', () => {
    expect(settle(undoable, CANCELLED, { givesUp: true }).head).toMatchObject({ cleanUpReason: 'NOT_RUN' })
    expect(settle(undoable, CANCELLED).head.cleanUpReason).toBeUndefined()
  })

  test('of an unfinished task is none: it is live as it is', () => expect(isLive(plain)).toBe(true))
})

const OF_CLEAN_UP: Record<string, TaskEvent> = {
  'a run of the clean-up begins': { kind: 'clean-up', run: 3 },
  'an undo comes further': { kind: 'undo', run: 2, intent: PAY },
  'a late result arrives': { kind: 'late-result', intent: PAY },
  'it is parked': { kind: 'park', run: 2, parked: { code: 'TASK_TYPE_UNKNOWN', reason: 'nobody knows it' } },
  'it is over': { kind: 'cleaned-up', run: 2 },
  'it has failed': { kind: 'cleaned-up', run: 2, failed: 'step pay' },
}

describe('while a clean-up is pending', () => {
  const pending = settle(withIntent(running()), ERROR).head
  const outcome = ({ status, settledAt, error }: TaskHead) => ({ status, settledAt, error })

  test.each(Object.keys(OF_CLEAN_UP))('%s, and the outcome stands', (name) => {
    const { head, changes } = transition(pending, OF_CLEAN_UP[name] as TaskEvent, NOW + 2)
    expect(outcome(head)).toEqual(outcome(pending))
    expect(head).toMatchObject({ seq: pending.seq + 1, updatedAt: NOW + 2 })
    expect(changes[0]).toEqual({ kind: 'head', head })
    expect(changes.map(({ kind }) => kind)).not.toContain('outcome')
  })

  test.each([
    { kind: 'start', run: 3, recovered: true },
    { kind: 'record', run: 2, record: step('a') },
    { kind: 'note', run: 2, beside: { begun: [note('a')] } },
    { kind: 'retry', run: 2, wakeAt: 9, why: 'no', plan: NO_DROPS },
    { kind: 'unload', run: 2, wakeAt: 9, listens: false },
    { kind: 'answer', notes: [question('ok-1', {}, '1')], by: 'alice' },
    { kind: 'send', message: { name: 'go', order: 0, text: '' }, by: 'alice' },
    { kind: 'settle', outcome: RESULT, by: 'admin', retentionMs: 1 },
    { kind: 'save-checkpoint', checkpointId: 'cp-9', stateText: '1', by: 'alice' },
  ] satisfies TaskEvent[])('$kind is refused', (event) => {
    expect(() => transition(pending, event, NOW + 2)).toThrow(expect.objectContaining({ code: 'TASK_SETTLED' }))
  })

  test.each(['an undo comes further', 'it is parked', 'it is over'])('another run may not say that %s', (name) => {
    const overtaken = transition(pending, { kind: 'clean-up', run: 3 }, NOW + 2).head
    expect(() => transition(overtaken, OF_CLEAN_UP[name] as TaskEvent, NOW + 3)).toThrow(RunFenced)
  })

  test('a run that takes it up ends its parking', () => {
    const parked = transition(pending, OF_CLEAN_UP['it is parked'] as TaskEvent, NOW + 2).head
    expect(parked.parked).toMatchObject({ code: 'TASK_TYPE_UNKNOWN', reason: 'nobody knows it' })
    expect(parked.cleanUp).toBe('pending')
    const taken = transition(parked, { kind: 'clean-up', run: 3 }, NOW + 3).head
    expect(taken).toMatchObject({ run: 3, parked: undefined, cleanUp: 'pending' })
  })
})

describe('once a clean-up is over', () => {
  const pending = settle(withChild(withIntent(running())), ERROR).head
  const endsWith = (failed?: string) => transition(pending, { kind: 'cleaned-up', run: 2, failed }, NOW + 2)

  test('no children are left, and the audit says how it went', () => {
    expect(pending.children).toBe(1)
    const done = endsWith()
    expect(done.head).toMatchObject({ cleanUp: 'done', children: undefined, parked: undefined })
    expect(done.head.cleanUpReason).toBeUndefined()
    expect(done.changes[1]).toMatchObject({ entry: { action: 'cleaned-up', by: 'engine' } })
  })

  test('in vain, the reason is on the head and in the audit', () => {
    const failed = endsWith('step pay could\nnot be undone')
    expect(failed.head).toMatchObject({ cleanUp: 'failed', cleanUpReason: 'step pay could not be undone' })
    expect(failed.changes[1]).toMatchObject({
      entry: { action: 'clean-up-failed', why: 'step pay could not be undone' },
    })
    expect(endsWith('x'.repeat(900)).head.cleanUpReason).toHaveLength(400)
  })

  test.each([undefined, 'no'])('(%j) nothing of it happens any more', (failed) => {
    const { head } = endsWith(failed)
    expect(isLive(head)).toBe(false)
    for (const event of Object.values(OF_CLEAN_UP)) {
      expect(() => transition(head, event, NOW + 3)).toThrow(expect.objectContaining({ code: 'TASK_SETTLED' }))
    }
  })
})

describe('an undo', () => {
  const pending = settle(withIntent(running()), ERROR).head
  const undo = (undoing: Undoing, more: Partial<UndoRecord> = {}) =>
    transition(pending, { kind: 'undo', run: 2, intent: { ...PAY, undoing, ...more } }, NOW + 2)

  test('that goes on is written, and not audited', () => {
    const { changes } = undo({ failedAttempts: 1, retryAt: 9 })
    expect(changes.slice(1)).toEqual([
      { kind: 'intent', intent: { ...PAY, undoing: { failedAttempts: 1, retryAt: 9 } } },
    ])
  })

  test('is audited at its end: undone, or not to be undone', () => {
    expect(undo({ failedAttempts: 0, doneAt: 9 }).changes[1]).toEqual({
      kind: 'audit',
      entry: { at: NOW + 2, action: 'undone', by: 'engine', why: 'pay' },
    })
    expect(undo({ failedAttempts: 5, failedAt: 9 }, { number: 2 }).changes[1]).toMatchObject({
      entry: { action: 'undo-failed', why: 'pay (number 2)' },
    })
  })

  test('is not what onCancel is: its end is the end of the clean-up', () => {
    expect(undo({ failedAttempts: 0, doneAt: 9 }, onCancelRecord(0)).changes.map(({ kind }) => kind)).toEqual([
      'head',
      'intent',
    ])
  })

  test('of a branch that lost is written by the run that goes on', () => {
    const undone = { ...PAY, undoing: { failedAttempts: 0, doneAt: 9 } }
    const { head, changes } = transition(withIntent(running()), { kind: 'undo', run: 1, intent: undone }, NOW + 2)
    expect(head).toMatchObject({ status: 'running', cleanUp: 'none' })
    expect(changes).toContainEqual({ kind: 'intent', intent: undone })
  })
})

test('the records that were undone are those of steps, whose undoing began, that had one', () => {
  const undoing = { failedAttempts: 0 }
  const intents = [PAY, { ...PAY, undoing }, { ...PAY, record: 4 }, { ...PAY, record: 7, undoing }]
  expect(undoneRecords(intents)).toEqual(new Set([7]))
})
