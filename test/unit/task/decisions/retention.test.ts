// Goal: when a task's time is over, what it takes up, and which counters it moves: decided from its head alone.
import { describe, expect, test } from 'vitest'
import {
  byteCountOf,
  bytesOf,
  grownCount,
  prunedCount,
  shrunkCount,
  stateUsage,
  TASK_BYTES,
} from '../../../../src/task/byte-count.js'
import { added, cleanUpTally, settledTally, sweptTally } from '../../../../src/task/counters.js'
import { createSettled, createTask, type NewTask } from '../../../../src/task/decisions/create.js'
import {
  deadlineOf,
  endOfTime,
  expiresAt,
  forgetAt,
  isOutOfTime,
  sweepAt,
  timeLimit,
} from '../../../../src/task/decisions/expiry.js'
import { transition } from '../../../../src/task/decisions/transition.js'
import { defineTask } from '../../../../src/task/definition/definition.js'
import type { TaskHead } from '../../../../src/task/head.js'
import { History } from '../../../../src/task/log/history.js'
import type { ReadRecord } from '../../../../src/task/log/log-sums.js'
import type { Outcome } from '../../../../src/task/log/outcome.js'
import { PREFIX } from '../../../../src/task/log/segment.js'
import type { TaskEvent } from '../../../../src/task/task-event.js'
import { planned } from '../../../helpers/planned.js'

const newTask: NewTask = {
  taskId: 'task-1',
  seed: 'seed',
  type: 'import',
  kind: 'body',
  durability: 'synced',
  startNow: true,
  by: 'admin',
  inputText: '{"é":1}',
}
const { head: born } = createTask(newTask, 1_000)
const head = (more: Partial<TaskHead> = {}): TaskHead => ({ ...born, ...more })

describe('time', () => {
  test.each([
    [{}, undefined, undefined],
    [{ ttlMs: 50 }, { at: 1_050, which: 'ttl' }, undefined],
    [{ ttlMs: 50, timeoutAt: 1_050 }, { at: 1_050, which: 'timeout' }, 1_050],
    [{ ttlMs: 50, deadlineAt: 1_050, timeoutAt: 1_060 }, { at: 1_050, which: 'deadline' }, 1_050],
    [{ ttlMs: 49, deadlineAt: 1_050 }, { at: 1_049, which: 'ttl' }, 1_050],
    [{ timeoutAt: 1_010, deadlineAt: 1_050 }, { at: 1_010, which: 'timeout' }, 1_010],
  ] as const)('of %j strikes first: %j', (limits, first, deadline) => {
    expect(timeLimit(head(limits))).toEqual(first)
    expect(deadlineOf(head(limits))).toBe(deadline)
    expect(isOutOfTime(head(limits), first?.at ?? Number.POSITIVE_INFINITY)).toBe(first !== undefined)
    expect(isOutOfTime(head(limits), (first?.at ?? 0) - 1)).toBe(false)
    const end = endOfTime(head(limits))
    expect(end?.stoppedBy).toBe(first?.which === 'ttl' ? 'expiry' : first?.which)
    const code = first?.which === 'ttl' ? 'EXPIRED' : 'TIMEOUT'
    expect(end?.outcome).toEqual(first && { kind: 'error', error: expect.objectContaining({ code }) })
  })

  test('that is over before a task is created makes it a settled one, with one head and both audit entries', () => {
    const created = createTask({ ...newTask, startNow: false, deadlineAt: 900, inputText: '1' }, 1_000)
    const { outcome, stoppedBy } = endOfTime(created.head) ?? {}
    const settle = { kind: 'settle', outcome: outcome as Outcome, stoppedBy, by: 'engine', retentionMs: 7 } as const
    const { head, changes, tally } = createSettled(created, settle, 1_000)
    expect(head).toMatchObject({
      status: 'failed',
      settledAt: 1_000,
      error: { code: 'TIMEOUT' },
      cleanUp: 'none',
      seq: 2,
    })
    expect(changes.map(({ kind }) => kind)).toEqual(['task', 'audit', 'head', 'audit', 'outcome'])
    expect(changes.flatMap((change) => (change.kind === 'audit' ? [change.entry.action] : []))).toEqual([
      'created',
      'failed',
    ])
    expect(tally).toMatchObject({ failed: 1 })
  })

  test('of a settled task is over with its ttl, or at once if it settled later, or by the retention', () => {
    expect(expiresAt(head())).toBeUndefined()
    expect(sweepAt(head({ ttlMs: 50 }), 7)).toBeUndefined()
    expect(sweepAt(head({ ttlMs: 50, settledAt: 1_010 }), 7)).toBe(1_050)
    expect(sweepAt(head({ ttlMs: 50, settledAt: 2_000 }), 7)).toBe(2_000)
    expect(sweepAt(head({ settledAt: 2_000 }), 7)).toBe(2_007)
    expect(sweepAt(head({ settledAt: 2_000 }), undefined)).toBeUndefined()
    expect(sweepAt(head({ settledAt: 2_000, ttlMs: 50, cleanUp: 'pending' }), 7)).toBeUndefined()
    expect(forgetAt(head({ settledAt: 2_000 }), 7)).toBe(2_007)
    expect(forgetAt(head(), 7)).toBeUndefined()
  })
})

describe('bytes', () => {
  test('count what is written, what is dropped, and what a prune drops', () => {
    expect(byteCountOf(born)).toEqual({ kept: TASK_BYTES + bytesOf('{"é":1}'), prunable: 0 })
    expect(byteCountOf(head({ bytes: undefined }))).toEqual({ kept: TASK_BYTES, prunable: 0 })
    expect(grownCount(head({ bytes: { kept: 10, prunable: 5 } }), 3)).toEqual({ kept: 13, prunable: 5 })
    expect(grownCount(head({ bytes: { kept: 10, prunable: 5 } }), 3, 2)).toEqual({ kept: 13, prunable: 8 })
    expect(grownCount(head({ bytes: { kept: 10, prunable: 5 } }), -30, 2)).toEqual({ kept: 0, prunable: 0 })
    expect(prunedCount(head({ bytes: { kept: 10, prunable: 6 } }), 3)).toEqual({ kept: 7, prunable: 3 })
  })

  test('go down by what a retry drops, with the states that were there, and never below zero', () => {
    const read = (seq: number, segment: number, more: object): ReadRecord => ({
      record: { seq, scope: '', ask: seq, after: seq - 1, segment, closes: {}, ...more } as never,
      text: 'text',
    })
    const log = [
      read(0, PREFIX, { kind: 'step', failed: { name: 'Error', message: '' } }),
      read(1, 0, { kind: 'step' }),
      read(2, 0, { kind: 'checkpoint', opens: 1, stateBytes: 40 }),
      read(3, 1, { kind: 'checkpoint', opens: 2 }),
    ]
    const error = { name: 'Error', message: '', record: 0 } as never
    const bytes = (body: number) =>
      planned(log, error, { keptFrom: 0, checkpoints: { body, client: 0 } }).dropping.bytes
    const records = 4 * bytesOf('text')
    expect(bytes(0)).toEqual({ kept: records, prunable: (records * 3) / 4 })
    expect(bytes(1).kept).toBe(records + stateUsage(0))
    expect(bytes(9).kept).toBe(records + stateUsage(0) + stateUsage(40))
    expect(shrunkCount(head({ bytes: { kept: 10, prunable: 5 } }), { kept: 3, prunable: 2 })).toEqual({
      kept: 7,
      prunable: 3,
    })
    expect(shrunkCount(head({ bytes: { kept: 10, prunable: 5 } }), bytes(9))).toEqual({ kept: 0, prunable: 0 })
  })

  test('of a checkpoint, and of the states it makes room with, are counted by the decision', () => {
    const save = (drops?: { checkpointId: string; stateBytes: number }[]): TaskEvent => ({
      kind: 'save-checkpoint',
      checkpointId: 'cp-9',
      stateText: '12345',
      by: 'alice',
      drops,
    })
    const one = transition(head({ checkpoints: { body: 0, client: 3 } }), save(), 2_000)
    expect(one.head.checkpoints.client).toBe(4)
    expect(byteCountOf(one.head).kept).toBe(byteCountOf(born).kept + stateUsage(5))
    const other = transition(one.head, save([{ checkpointId: 'cp-1', stateBytes: 5 }]), 2_000)
    expect(other.head.checkpoints.client).toBe(4)
    expect(byteCountOf(other.head)).toEqual(byteCountOf(one.head))
    expect(other.changes).toContainEqual({ kind: 'drop-checkpoint', checkpointId: 'cp-1' })
    const body = transition(
      head({ checkpoints: { body: 2, client: 0 } }),
      {
        kind: 'record',
        run: 1,
        record: { kind: 'checkpoint', checkpointId: 'cp-3', opens: 1, segment: 0, scope: '', ask: 0, after: -1 },
        checkpoint: { stateText: '1', prune: false, drops: [{ checkpointId: 'cp-1', stateBytes: 1 }] },
      },
      2_000,
    )
    expect(body.head.checkpoints.body).toBe(2)
    expect(body.changes).toContainEqual({ kind: 'drop-state', checkpointId: 'cp-1' })
  })
})

describe('counters', () => {
  const at = (status: TaskHead['status'], more: Partial<TaskHead> = {}) =>
    head({ status, updatedAt: 1_400, bytes: { kept: 70, prunable: 0 }, ...more })
  const error = (code: 'TIMEOUT' | 'EXPIRED' | 'TASK_FAILED') => ({ error: { name: 'Error', message: '', code } })

  test('move with what settles, is cleaned up, and is swept', () => {
    const short = { shortCompleted: 1, shortMs: 400 }
    expect(settledTally(at('completed'))).toEqual({
      at: 1_400,
      settledBytes: 70,
      completed: 1,
      completionMs: 400,
      ...short,
    })
    const minute = settledTally(at('completed', { updatedAt: 61_000 }))
    expect(minute).toMatchObject({ completionMs: 60_000, shortCompleted: 1, shortMs: 60_000 })
    const longer = settledTally(at('completed', { updatedAt: 61_001 }))
    expect(longer).toEqual({ at: 61_001, settledBytes: 70, completed: 1, completionMs: 60_001 })
    expect(settledTally(at('cancelled'))).toEqual({ at: 1_400, settledBytes: 70, cancelled: 1 })
    expect(settledTally(at('failed', error('TIMEOUT')))).toMatchObject({ failed: 1, timedOut: 1, expired: 0 })
    expect(settledTally(at('failed', error('EXPIRED')))).toMatchObject({ failed: 1, timedOut: 0, expired: 1 })
    expect(settledTally(at('failed', error('TASK_FAILED')))).toMatchObject({ failed: 1, timedOut: 0, expired: 0 })
    // Its bytes move when its clean-up has ended, and not twice.
    expect(settledTally(at('cancelled', { cleanUp: 'pending' }))).toEqual({ at: 1_400, settledBytes: 0, cancelled: 1 })
    expect(cleanUpTally(at('cancelled', { cleanUp: 'done' }))).toEqual({ at: 1_400, settledBytes: 70, cleanedUp: 1 })
    expect(cleanUpTally(at('cancelled', { cleanUp: 'failed' }))).toEqual({
      at: 1_400,
      settledBytes: 70,
      notCleanedUp: 1,
    })
    // No hour counts a sweep.
    expect(sweptTally(at('failed'))).toEqual({ settledBytes: -70, sweptFailed: 1 })
  })

  test('add up, and one that is new begins at zero', () => {
    const totals = added({ completed: 2 }, [{ completed: 1, failed: 1 }, { completed: 1 }])
    expect(totals).toMatchObject({ completed: 4, failed: 1, cancelled: 0, settledBytes: 0 })
  })
})

describe('checkpoints that are kept', () => {
  const save = (opens: number, seq = opens) =>
    ({
      kind: 'checkpoint',
      scope: '',
      checkpointId: `cp-${opens}`,
      opens,
      segment: opens - 1,
      seq,
      ask: 0,
      after: seq - 1,
    }) as never

  test('are the newest; older ones are let go of, and are not restored', () => {
    const history = new History([save(1), save(2), save(3)])
    expect(history.checkpoint(undefined, 2)?.checkpointId).toBe('cp-3')
    expect(history.checkpoint('cp-2', 2)?.checkpointId).toBe('cp-2')
    expect(history.checkpoint('cp-1', 2)).toBeUndefined()
    expect(history.checkpoint(undefined, 0)).toBeUndefined()
    const ids = (kept: number) => history.saves(kept).map(({ checkpointId }) => checkpointId)
    expect(ids(9)).toEqual(['cp-1', 'cp-2', 'cp-3'])
    expect(ids(2)).toEqual(['cp-2', 'cp-3'])
    history.add(save(4))
    expect(ids(9)).toEqual(['cp-2', 'cp-3', 'cp-4'])
    expect(ids(0)).toEqual([])
  })

  test('are not dropped for a retry where the log before them is pruned and nothing would be left to go on from', () => {
    const failed = {
      kind: 'step',
      segment: 4,
      scope: '',
      seq: 8,
      ask: 0,
      after: 7,
      failed: { name: 'Error', message: '' },
    }
    const log = [failed, save(5, 9)].map((record) => ({ record: record as never, text: '' }))
    const error = { name: 'StepFailedError', message: '', step: 'a', record: 8 } as never
    const dropped = (keptFrom: number, body: number) =>
      planned(log, error, { keptFrom, checkpoints: { body, client: 0 } }).dropped.length
    expect(dropped(4, 1)).toBe(0)
    expect(dropped(4, 2)).toBe(2)
    expect(dropped(0, 1)).toBe(2)
  })

  test('of a type are as many as its definition says', () => {
    expect(defineTask({ name: 'job', keepCheckpoints: 3 }, () => 1).keepCheckpoints).toBe(3)
    for (const keepCheckpoints of [0, 1.5, 'two']) {
      expect(() => defineTask({ name: 'job', keepCheckpoints } as never, () => 1)).toThrow(/`keepCheckpoints`/)
    }
  })
})
