// Goal: every status meets every event, and each meeting is either the change that is written down here or refused.
// Method: one table of status × event; the events are the real ones, on heads that earlier decisions made.
import { describe, expect, test } from 'vitest'
import type { Change, Decision } from '../../src/task/changes.js'
import { createTask, type NewTask } from '../../src/task/create.js'
import { HEAD_BYTES_MAX, PREFIX, TASK_STATUSES, type TaskHead, type TaskStatus } from '../../src/task/head.js'
import type { TaskEvent } from '../../src/task/task-event.js'
import { RunFenced, transition } from '../../src/task/transition.js'

const NOW = 1_000_000

function newTask(more: Partial<NewTask> = {}): NewTask {
  return {
    taskId: 'task-1',
    seed: 'seed',
    type: 'import',
    kind: 'body',
    durability: 'synced',
    startNow: false,
    by: 'admin',
    ...more,
  }
}

function headIn(status: TaskStatus): TaskHead {
  const { head } = createTask(newTask({ startNow: status !== 'pending' }), NOW)
  return { ...head, status, run: 1 }
}

const step = (name = 'load', segment = PREFIX) =>
  ({ kind: 'step', name, number: 1, segment, scope: '', ask: 0, after: -1, startedAt: NOW, attempts: 1 }) as const
const checkpoint = (opens = 1, segment = PREFIX) =>
  ({ kind: 'checkpoint', checkpointId: `cp-${opens}`, opens, segment, scope: '', ask: 1, after: 0 }) as const

const EVENTS: Record<string, TaskEvent> = {
  start: { kind: 'start', run: 2, recovered: true },
  'record a step': { kind: 'record', run: 1, record: step() },
  'record a checkpoint': {
    kind: 'record',
    run: 1,
    record: checkpoint(),
    checkpoint: { stateText: '{}', prune: false },
  },
  'step progress': { kind: 'step-progress', run: 1, segment: PREFIX, ask: 0, step: { id: 'a', failedAttempts: 1 } },
  retry: { kind: 'retry', run: 1, wakeAt: NOW + 9, why: 'Error: no', kept: [], dropped: [] },
  'record a sleep': {
    kind: 'record',
    run: 1,
    record: {
      kind: 'sleep',
      name: 'nap',
      number: 1,
      segment: PREFIX,
      scope: '',
      ask: 0,
      after: -1,
      startedAt: NOW,
      dueAt: NOW + 5,
    },
  },
  patch: { kind: 'patch', run: 1, answers: [{ segment: 0, text: '[]' }] },
  unload: { kind: 'unload', run: 1, wakeAt: NOW + 9 },
  'settle with a result': { kind: 'settle', outcome: { kind: 'result', result: 1 }, by: 'body', retentionMs: 1 },
  'settle with an error': {
    kind: 'settle',
    outcome: { kind: 'error', error: { name: 'Error', message: 'no' } },
    by: 'body',
    retentionMs: 1,
  },
  'settle as cancelled': { kind: 'settle', outcome: { kind: 'cancelled' }, by: 'admin', retentionMs: 1 },
  park: { kind: 'park', parked: { code: 'CODE_CHANGED', reason: 'renamed' } },
  'save a checkpoint': { kind: 'save-checkpoint', checkpointId: 'cp-9', stateText: '1', by: 'alice' },
}

const SETTLED = { completed: true, failed: true, cancelled: true } as Partial<Record<TaskStatus, true>>
const BECOMES: Record<string, Partial<Record<TaskStatus, TaskStatus>>> = {
  start: { pending: 'running' },
  'settle with a result': { pending: 'completed', running: 'completed', input_required: 'completed' },
  'settle with an error': { pending: 'failed', running: 'failed', input_required: 'failed' },
  'settle as cancelled': { pending: 'cancelled', running: 'cancelled', input_required: 'cancelled' },
}

describe('every status meets every event', () => {
  const table = TASK_STATUSES.flatMap((status) => Object.keys(EVENTS).map((name) => [status, name] as const))
  test.each(table)('%s, %s', (status, name) => {
    const event = EVENTS[name] as TaskEvent
    if (SETTLED[status]) {
      expect(() => transition(headIn(status), event, NOW + 1)).toThrow(
        expect.objectContaining({ code: 'TASK_SETTLED', message: expect.stringContaining(`'${status}'`) }),
      )
      return
    }
    const before = headIn(status)
    const { head, changes } = transition(before, event, NOW + 1)
    expect(head.status).toBe(BECOMES[name]?.[status] ?? status)
    expect(head).toMatchObject({ seq: before.seq + 1, updatedAt: NOW + 1 })
    expect(changes[0]).toEqual({ kind: 'head', head })
    const changed = head.status !== before.status
    const audited = changes.some(({ kind }) => kind === 'audit')
    expect(audited).toBe(
      changed || ['start', 'record a checkpoint', 'park', 'save a checkpoint', 'retry'].includes(name),
    )
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
    const { head } = createTask(newTask({ timeoutMs: 500 }), NOW)
    expect(head).toMatchObject({ status: 'pending', run: 0, startedAt: undefined, timeoutAt: undefined })
  })

  test('input, owner and idempotency key are written with it', () => {
    const idempotency = { key: 'sept', fingerprint: 'f' }
    const { changes } = createTask(newTask({ inputText: '1', owner: 'alice', idempotency, by: 'alice' }), NOW)
    expect(changes.map(({ kind }) => kind)).toEqual(['head', 'audit', 'input', 'owner', 'idempotency'])
  })

  test('names that leave no room in the head are refused', () => {
    const long = {
      type: '"'.repeat(128),
      owner: '"'.repeat(256),
      idempotency: { key: '"'.repeat(256), fingerprint: '' },
    }
    expect(() => createTask(newTask(long), NOW)).toThrow(expect.objectContaining({ code: 'TOO_LARGE' }))
  })

  test('a head that is as long as it may be at birth stays under 2 KiB, whatever comes', () => {
    const birth = (more: Partial<NewTask>) =>
      createTask(newTask({ deadlineAt: 8.64e15, ttlMs: 1e13, ...more }), NOW).head
    let owner = ''
    let head = birth({})
    // As long as it is let in: every byte that the names may take is taken.
    try {
      for (;;) {
        head = birth({ type: 't'.repeat(128), version: 'v'.repeat(64), owner })
        owner += '"'
      }
    } catch (error) {
      expect(error).toMatchObject({ code: 'TOO_LARGE' })
    }
    const sum = { segment: 2 ** 23, count: 999_999, sum: 2 ** 32 - 1 }
    const later: TaskHead = {
      ...head,
      status: 'input_required',
      createdAt: 8.64e15,
      updatedAt: 8.64e15,
      startedAt: 8.64e15,
      timeoutAt: 8.64e15,
      wakeAt: 8.64e15,
      run: 999_999_999,
      attempt: 999_999,
      seq: 1e12,
      nextRecord: 1e12,
      prefix: sum,
      open: sum,
      keptFrom: 2 ** 23,
      records: 999_999,
      completedSteps: 1e12,
      checkpoints: { body: 99_999, client: 99_999 },
      hasStepStates: true,
      hasPatches: true,
      bytes: { kept: 1e12, prunable: 1e12 },
      progress: { done: -Number.MAX_VALUE, total: -Number.MAX_VALUE, message: 'é'.repeat(60) },
    }
    const parked = { code: 'TASK_TYPE_UNKNOWN', reason: '語"'.repeat(500) } as const
    const { head: worst } = transition(later, { kind: 'park', parked }, 8.64e15)
    expect(Buffer.byteLength(JSON.stringify(worst))).toBeLessThanOrEqual(HEAD_BYTES_MAX)
  })
})

describe('runs', () => {
  test.each(['record a step', 'record a checkpoint', 'step progress', 'retry'])('another run may not %s', (name) => {
    expect(() => transition({ ...headIn('running'), run: 2 }, EVENTS[name] as TaskEvent, NOW)).toThrow(RunFenced)
  })

  test('another run may not settle the task, even when it is settled already', () => {
    const settle = { ...(EVENTS['settle with a result'] as TaskEvent), run: 1 } as TaskEvent
    expect(() => transition({ ...headIn('completed'), run: 2 }, settle, NOW)).toThrow(RunFenced)
  })

  test('the timeout is decided at the first start, and never again', () => {
    const first = transition(headIn('pending'), { kind: 'start', run: 1, timeoutMs: 100, recovered: false }, NOW).head
    expect(first).toMatchObject({ startedAt: NOW, timeoutAt: NOW + 100 })
    const later = transition(first, { kind: 'start', run: 2, timeoutMs: 900, recovered: true }, NOW + 50).head
    expect(later).toMatchObject({ startedAt: NOW, timeoutAt: NOW + 100, run: 2 })
  })

  test('a start takes a task out of its parking', () => {
    const parked = transition(headIn('running'), EVENTS['park'] as TaskEvent, NOW).head
    expect(parked.parked).toEqual({ code: 'CODE_CHANGED', reason: 'renamed', since: NOW })
    expect(transition(parked, EVENTS['start'] as TaskEvent, NOW).head.parked).toBeUndefined()
  })
})

describe('recording', () => {
  const apply = (head: TaskHead, event: TaskEvent): Decision => transition(head, event, NOW + 5)
  const kinds = (changes: readonly Change[]) => changes.map(({ kind }) => kind)

  test('a step counts in its segment, and as completed unless it failed', () => {
    const one = apply(headIn('running'), { kind: 'record', run: 1, record: { ...step(), value: '1' } })
    expect(one.head).toMatchObject({ nextRecord: 1, records: 1, completedSteps: 1, prefix: { count: 1 } })
    expect(one.record).toMatchObject({ seq: 0, at: NOW + 5 })
    const failed = { ...step('pay', 0), failed: { name: 'Error', message: 'no' } }
    const two = apply(one.head, { kind: 'record', run: 1, record: failed })
    expect(two.head).toMatchObject({ nextRecord: 2, records: 2, completedSteps: 1, open: { segment: 0, count: 1 } })
    const three = apply(two.head, { kind: 'record', run: 1, record: step('pay', 0) })
    expect(three.head.open).toMatchObject({ segment: 0, count: 2 })
  })

  test('what a step saved for its next attempt goes with its record', () => {
    const event: TaskEvent = { kind: 'record', run: 1, record: step(), dropStepState: true, progress: { done: 1 } }
    const { changes, head } = apply(headIn('running'), event)
    expect(changes.at(-1)).toEqual({ kind: 'step-state', segment: PREFIX, ask: 0, text: undefined })
    expect(head.progress).toEqual({ done: 1 })
  })

  test('a checkpoint closes its segment with count and sum, and counts in the one it opens', () => {
    const one = apply(headIn('running'), { kind: 'record', run: 1, record: step() }).head
    const event = (record: ReturnType<typeof checkpoint>, prune: boolean): TaskEvent => ({
      kind: 'record',
      run: 1,
      record,
      checkpoint: { stateText: '{"row":1}', prune },
    })
    const saved = apply(one, event(checkpoint(), false))
    expect(saved.record).toMatchObject({ closes: one.prefix })
    expect(saved.head).toMatchObject({
      records: 2,
      checkpoints: { body: 1, client: 0 },
      open: { segment: 1, count: 1 },
    })
    expect(kinds(saved.changes)).toEqual(['head', 'audit', 'record', 'checkpoint'])
    const again = apply(saved.head, event(checkpoint(2, 1), true))
    expect(again.record).toMatchObject({ closes: saved.head.open })
    expect(again.head).toMatchObject({ keptFrom: 2, records: 2, checkpoints: { body: 1, client: 0 } })
    // A segment that a restore opened and nothing was recorded in is closed as empty.
    const empty = apply(one, event(checkpoint(1, 0), false))
    expect(empty.record).toMatchObject({ closes: { segment: 0, count: 0, sum: 0 } })
  })
})

describe('settling', () => {
  const settle = (head: TaskHead, outcome: Extract<TaskEvent, { kind: 'settle' }>['outcome']) =>
    transition(head, { kind: 'settle', outcome, by: 'body', retentionMs: 70, progress: { done: 2 } }, NOW)

  test('a failure shows its name, message and code on the head, and its code in the audit', () => {
    const error = { name: 'TaskFailedError', message: 'late\nvery', code: 'TIMEOUT', ours: true } as const
    const { head, changes } = settle(headIn('running'), { kind: 'error', error })
    expect(head.error).toEqual({ name: 'TaskFailedError', message: 'late very', code: 'TIMEOUT' })
    expect(head).toMatchObject({ settledAt: NOW, progress: { done: 2 } })
    expect(changes[1]).toMatchObject({ entry: { action: 'failed', why: 'TIMEOUT', from: 'running', to: 'failed' } })
  })

  test('the reason of a cancel is in the audit', () => {
    const { changes } = settle(headIn('pending'), { kind: 'cancelled', reason: 'no more' })
    expect(changes[1]).toMatchObject({ entry: { action: 'cancelled', why: 'no more' } })
  })

  test('an idempotency key is to be forgotten once its task is, and the retention is over', () => {
    const keyed = { ...headIn('running'), idempotencyKey: 'k', owner: 'alice' }
    const result = { kind: 'result', result: 1 } as const
    const forget = (head: TaskHead) => settle(head, result).changes.find(({ kind }) => kind === 'forget-key')
    expect(forget(keyed)).toMatchObject({ at: NOW + 70, scope: { owner: 'alice', type: 'import', key: 'k' } })
    expect(forget({ ...keyed, ttlMs: 500 })).toMatchObject({ at: NOW + 570 })
    expect(forget({ ...keyed, ttlMs: 500, createdAt: 0 })).toMatchObject({ at: NOW + 70 })
    expect(forget(headIn('running'))).toBeUndefined()
  })
})
