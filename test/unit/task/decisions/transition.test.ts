// Goal: every status meets every event, and each meeting is either the change that is written down here or refused.
// Method: one table of status × event; the events are the real ones, on heads that earlier decisions made.
import { describe, expect, test } from 'vitest'
import type { Change, TaskDecision } from '../../../../src/task/changes.js'
import { createTask } from '../../../../src/task/decisions/create.js'
import { RunFenced, transition } from '../../../../src/task/decisions/transition.js'
import { TASK_STATUSES, type TaskHead, type TaskStatus } from '../../../../src/task/head.js'
import type { Outcome } from '../../../../src/task/log/outcome.js'
import { PREFIX } from '../../../../src/task/log/segment.js'
import { onCancelRecord } from '../../../../src/task/log/undo-record.js'
import type { TaskEvent } from '../../../../src/task/task-event.js'
import { asked, failing, NO_DROPS, newTask, note, question, save, step } from '../../../helpers/build-log.js'

const NOW = 1_000_000

const OUTCOMES: Partial<Record<TaskStatus, Outcome>> = {
  completed: { kind: 'result', result: 1 },
  failed: { kind: 'error', error: { name: 'Error', message: 'no' } },
  cancelled: { kind: 'cancelled' },
}

/** A head that decisions made: its run is 1, if it ever ran. */
function headIn(status: TaskStatus, more: Partial<TaskHead> = {}): TaskHead {
  const { head } = createTask(newTask({ startNow: status !== 'pending' }), NOW)
  const outcome = OUTCOMES[status]
  if (outcome)
    return transition({ ...head, ...more }, { kind: 'settle', outcome, by: 'body', retentionMs: 1 }, NOW).head
  if (status !== 'input_required') return { ...head, ...more }
  const beside = { begun: [question('ok-1')] }
  return transition({ ...head, ...more }, { kind: 'note', run: 1, beside }, NOW).head
}

// What a body does names its run.
const OF_A_BODY: Record<string, TaskEvent> = {
  'record a step': { kind: 'record', run: 1, record: step('load') },
  'record a step that was noted': { kind: 'record', run: 1, record: step('load'), beside: { ended: [note('a')] } },
  'record a sleep': { kind: 'record', run: 1, record: { kind: 'sleep', ...asked('nap'), dueAt: NOW + 5 } },
  'record a checkpoint': {
    kind: 'record',
    run: 1,
    record: save(1, { segment: PREFIX }),
    checkpoint: { stateText: '{}', prune: false },
  },
  'note how far a step is': { kind: 'note', run: 1, beside: { changed: [note('a')] } },
  'ask a question': { kind: 'note', run: 1, beside: { begun: [question('ok-9')] } },
  retry: { kind: 'retry', run: 1, wakeAt: NOW + 9, why: 'Error: no', plan: NO_DROPS },
  'flush deferred records': { kind: 'flush', run: 1 },
  patch: { kind: 'patch', run: 1, answers: [{ segment: 0, text: '[]' }] },
  unload: { kind: 'unload', run: 1, wakeAt: NOW + 9, listens: false },
  'return a result': { kind: 'settle', run: 1, outcome: { kind: 'result' }, by: 'body', retentionMs: 1 },
  'undo a step of a loser': { kind: 'undo', run: 1, intent: { ...onCancelRecord(NOW), id: 'x' } },
}

const FROM_OUTSIDE: Record<string, TaskEvent> = {
  start: { kind: 'start', run: 2, recovered: true },
  answer: { kind: 'answer', notes: [question('ok-1', {}, '1')], by: 'alice' },
  send: { kind: 'send', message: { name: 'go', order: 0, text: '1' }, by: 'alice' },
  'settle with an error': {
    kind: 'settle',
    outcome: { kind: 'error', error: { name: 'Error', message: 'no' } },
    by: 'engine',
    retentionMs: 1,
  },
  'settle as cancelled': { kind: 'settle', outcome: { kind: 'cancelled' }, by: 'admin', retentionMs: 1 },
  park: { kind: 'park', parked: { code: 'CODE_CHANGED', reason: 'renamed' } },
  'save a checkpoint': { kind: 'save-checkpoint', checkpointId: 'cp-9', stateText: '1', by: 'alice' },
  'ask for the next attempt': { kind: 'retry-now', by: 'alice' },
  'a late result': { kind: 'late-result', intent: { ...onCancelRecord(NOW), id: 'x' } },
}

const EVENTS = { ...OF_A_BODY, ...FROM_OUTSIDE }

type Becomes = Partial<Record<TaskStatus, TaskStatus>>
const BECOMES: Record<string, Becomes> = {
  start: { pending: 'running' },
  'ask a question': { running: 'input_required' },
  answer: { input_required: 'running' },
  'return a result': { running: 'completed', input_required: 'completed' },
  'settle with an error': { pending: 'failed', running: 'failed', input_required: 'failed' },
  'settle as cancelled': { pending: 'cancelled', running: 'cancelled', input_required: 'cancelled' },
}

const AUDITED = new Set([
  'start',
  'record a checkpoint',
  'park',
  'save a checkpoint',
  'retry',
  'ask for the next attempt',
  'answer',
  'send',
])

describe('every status meets every event', () => {
  // Only what is asked is answered.
  const table = TASK_STATUSES.flatMap((status) => Object.keys(EVENTS).map((name) => [status, name] as const)).filter(
    ([status, name]) => name !== 'answer' || (status !== 'pending' && status !== 'running'),
  )
  test.each(table)('%s, %s', (status, name) => {
    const before = headIn(status)
    const meet = () => transition(before, EVENTS[name] as TaskEvent, NOW + 1)
    const isSettled = OUTCOMES[status] !== undefined
    // A pending task has no run yet, and a settled one has none any more.
    if ((isSettled || status === 'pending') && name in OF_A_BODY) return expect(meet).toThrow(RunFenced)
    if (isSettled) {
      const refusal = { code: 'TASK_SETTLED', message: expect.stringContaining(`'${status}'`) }
      return expect(meet).toThrow(expect.objectContaining(refusal))
    }
    const { head, changes } = meet()
    expect(head.status).toBe(BECOMES[name]?.[status] ?? status)
    expect(head).toMatchObject({ seq: before.seq + 1, updatedAt: NOW + 1 })
    expect(changes[0]).toEqual({ kind: 'head', head })
    expect(changes.filter(({ kind }) => kind === 'head')).toHaveLength(1)
    const entries = changes.flatMap((change) => (change.kind === 'audit' ? change.entry : []))
    expect(entries.length > 0).toBe(head.status !== before.status || AUDITED.has(name))
    if (head.status === before.status) return
    expect(entries).toContainEqual(expect.objectContaining({ from: before.status, to: head.status, at: NOW + 1 }))
  })
})

describe('creating', () => {
  test('a task that begins at once is running, and has its timeout', () => {
    const { head } = createTask(newTask({ startNow: true, timeoutMs: 500, deadlineAt: NOW + 100 }), NOW)
    expect(head).toMatchObject({
      status: 'running',
      run: 1,
      startedAt: NOW,
      timeoutAt: NOW + 500,
      deadlineAt: NOW + 100,
    })
  })

  test('a task that waits its turn has no timeout yet', () => {
    const { head } = createTask(newTask({ startNow: false, timeoutMs: 500 }), NOW)
    expect(head).toMatchObject({ status: 'pending', run: 0, startedAt: undefined, timeoutAt: undefined })
  })

  test('input and idempotency key are written with it', () => {
    const idempotency = { key: 'sept', fingerprint: 'f' }
    const { changes } = createTask(newTask({ inputText: '1', owner: 'alice', idempotency, by: 'alice' }), NOW)
    expect(changes.map(({ kind }) => kind)).toEqual(['head', 'task', 'audit', 'idempotency'])
  })

  test('names that leave no room in the head are refused', () => {
    const long = {
      type: '"'.repeat(128),
      owner: '"'.repeat(256),
      idempotency: { key: '"'.repeat(256), fingerprint: '' },
    }
    expect(() => createTask(newTask(long), NOW)).toThrow(expect.objectContaining({ code: 'TOO_LARGE' }))
  })
})

describe('runs', () => {
  test.each(Object.keys(OF_A_BODY))('another run may not %s', (name) => {
    const overtaken = headIn('running', { run: 2 })
    expect(() => transition(overtaken, EVENTS[name] as TaskEvent, NOW)).toThrow(RunFenced)
  })

  test('another run may not park the task; from outside it is parked whatever its run', () => {
    const parked = { code: 'RECORD_DAMAGED', reason: 'a hole' } as const
    expect(() => transition(headIn('running', { run: 2 }), { kind: 'park', run: 1, parked }, NOW)).toThrow(RunFenced)
    expect(transition(headIn('running', { run: 2 }), { kind: 'park', parked }, NOW).head.parked).toMatchObject(parked)
  })

  test('the timeout is decided at the first start, and never again', () => {
    const first = transition(headIn('pending'), { kind: 'start', run: 1, timeoutMs: 100, recovered: false }, NOW).head
    expect(first).toMatchObject({ startedAt: NOW, timeoutAt: NOW + 100 })
    const later = transition(first, { kind: 'start', run: 2, timeoutMs: 900, recovered: true }, NOW + 50).head
    expect(later).toMatchObject({ startedAt: NOW, timeoutAt: NOW + 100, run: 2 })
  })

  test('a start takes a task out of its parking', () => {
    const { head: parked, changes } = transition(headIn('running'), EVENTS['park'] as TaskEvent, NOW)
    expect(parked.parked).toEqual({ code: 'CODE_CHANGED', reason: 'renamed', since: NOW })
    expect(changes[1]).toMatchObject({ entry: { action: 'parked', why: 'CODE_CHANGED: renamed' } })
    expect(transition(parked, EVENTS['start'] as TaskEvent, NOW).head.parked).toBeUndefined()
  })

  test('a start is audited as what it is: a first one by the engine, one after a crash by the recovery', () => {
    const entry = (recovered: boolean) =>
      transition(headIn('pending'), { kind: 'start', run: 1, recovered }, NOW).changes[1]
    expect(entry(false)).toMatchObject({ entry: { action: 'started', by: 'engine', to: 'running' } })
    expect(entry(true)).toMatchObject({ entry: { action: 'recovered', by: 'recovery', to: 'running' } })
  })
})

describe('a request for the next attempt', () => {
  const request: TaskEvent = { kind: 'retry-now', by: 'alice' }
  const unload: TaskEvent = { kind: 'unload', run: 1, wakeAt: NOW + 9_000, listens: false }

  test('makes the wake time of an unloaded task due, and the failures before it', () => {
    const asked = transition(headIn('running', { wakeAt: NOW + 9_000, seq: 6 }), request, NOW + 1)
    expect(asked.head).toMatchObject({ wakeAt: NOW + 1, attemptsBefore: 7, wantsAttempt: true, seq: 7 })
    expect(asked.changes[1]).toMatchObject({ entry: { action: 'retry-requested', by: 'alice' } })
    expect(transition(headIn('running'), request, NOW + 1).head.wakeAt).toBeUndefined()
  })

  test('is not lost if the run is unloaded before it saw the request', () => {
    const asked = transition(headIn('running'), request, NOW + 1).head
    const unloaded = transition(asked, unload, NOW + 2).head
    expect(unloaded).toMatchObject({ wakeAt: NOW + 2, wantsAttempt: undefined, attemptsBefore: asked.seq })
    expect(transition(headIn('running'), unload, NOW + 2).head.wakeAt).toBe(NOW + 9_000)
  })

  test('is over with the next start, which still skips the delays of the failures before it', () => {
    const asked = transition(headIn('running'), request, NOW + 1).head
    const started = transition(asked, { kind: 'start', run: 2, recovered: false }, NOW + 2).head
    expect(started).toMatchObject({ wantsAttempt: undefined, attemptsBefore: asked.seq })
  })

  test('leaves nothing in the head of a settled task', () => {
    const asked = transition(headIn('running'), request, NOW + 1).head
    const { head } = transition(asked, OF_A_BODY['return a result'] as TaskEvent, NOW + 2)
    expect(head).toMatchObject({ wantsAttempt: undefined, attemptsBefore: undefined })
  })
})

describe('recording', () => {
  const apply = (head: TaskHead, event: TaskEvent): TaskDecision => transition(head, event, NOW + 5)
  const kinds = (changes: readonly Change[]) => changes.map(({ kind }) => kind)

  test('a step counts in its segment, and as completed unless it failed', () => {
    const one = apply(headIn('running'), { kind: 'record', run: 1, record: step('load') })
    expect(one.head).toMatchObject({ nextRecord: 1, records: 1, completedSteps: 1, prefix: { count: 1 } })
    expect(one.record).toMatchObject({ seq: 0, at: NOW + 5 })
    const failed = failing('pay', { segment: 0 })
    const two = apply(one.head, { kind: 'record', run: 1, record: failed })
    expect(two.head).toMatchObject({ nextRecord: 2, records: 2, completedSteps: 1, open: { segment: 0, count: 1 } })
    const three = apply(two.head, { kind: 'record', run: 1, record: step('pay', { segment: 0 }) })
    expect(three.head.open).toMatchObject({ segment: 0, count: 2 })
  })

  test('what a body said of its progress is kept with the next record, and stays', () => {
    const said = apply(headIn('running'), { kind: 'record', run: 1, record: step('a'), progress: { done: 1 } }).head
    expect(said.progress).toEqual({ done: 1 })
    expect(apply(said, { kind: 'record', run: 1, record: step('b', { ask: 1 }) }).head.progress).toEqual({ done: 1 })
  })

  test('a checkpoint closes its segment with count and sum, and counts in the one it opens', () => {
    const one = apply(headIn('running'), { kind: 'record', run: 1, record: step('load') }).head
    const event = (record: ReturnType<typeof save>, prune: boolean): TaskEvent => ({
      kind: 'record',
      run: 1,
      record,
      checkpoint: { stateText: '{"row":1}', prune },
    })
    const saved = apply(one, event(save(1, { segment: PREFIX }), false))
    expect(saved.record).toMatchObject({ closes: one.prefix })
    expect(saved.head).toMatchObject({
      records: 2,
      checkpoints: { body: 1, client: 0 },
      open: { segment: 1, count: 1 },
    })
    expect(kinds(saved.changes)).toEqual(['head', 'audit', 'record', 'checkpoint'])
    const again = apply(saved.head, event(save(2), true))
    expect(again.record).toMatchObject({ closes: saved.head.open })
    expect(again.head).toMatchObject({ keptFrom: 2, records: 2, checkpoints: { body: 1, client: 0 } })
    // A segment that a restore opened and nothing was recorded in is closed as empty.
    const empty = apply(one, event(save(1), false))
    expect(empty.record).toMatchObject({ closes: { segment: 0, count: 0, sum: 0 } })
  })
})
