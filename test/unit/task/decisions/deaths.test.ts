// Goal: what the death of a process counts for, event by event and count by count.
// Method: heads and events made by hand.
import { describe, expect, test } from 'vitest'
import {
  type CrashMarks,
  countCrash,
  countsAgainst,
  isPoisoned,
  isSuspect,
  marksAfter,
  mustNoteBegun,
  poisoned,
} from '../../../../src/task/decisions/crash-count.js'
import { createTask } from '../../../../src/task/decisions/create.js'
import { transition } from '../../../../src/task/decisions/transition.js'
import { HEAD_BYTES_MAX, PARKED_REASON_BYTES_MAX, type TaskHead } from '../../../../src/task/head.js'
import { encodeMovingPart } from '../../../../src/task/head-codec.js'
import type { TaskEvent } from '../../../../src/task/task-event.js'
import { NO_DROPS } from '../../../helpers/build-log.js'

const newTask = { taskId: 'task-1', seed: 's', type: 'job', kind: 'body', durability: 'synced', by: 'admin' } as const
const born = (startNow: boolean, marks: CrashMarks = {}): TaskHead => ({
  ...createTask({ ...newTask, startNow, life: 7 }, 1_000).head,
  ...marks,
})

describe('the mark of a life', () => {
  test('is there from birth if the body begins at once, from its start otherwise', () => {
    expect(born(true).life).toBe(7)
    expect(born(false).life).toBeUndefined()
    const started = transition(born(false), { kind: 'start', run: 1, recovered: false, life: 9 }, 2_000)
    expect(started.head).toMatchObject({ life: 9 })
  })

  const marked: CrashMarks = { life: 7, deaths: 3, begun: "step 'load'" }
  const progress = { id: 'x', segment: 0, scope: '', ask: 0, after: -1, failedAttempts: 1 }
  const noted = (more: object) => ({ kind: 'note', run: 1, beside: { changed: [{ ...progress, ...more }] } }) as const
  const counts = { deaths: 3, begun: "step 'load'" }
  const cases: [string, TaskEvent, CrashMarks][] = [
    ['a park', { kind: 'park', parked: { code: 'CODE_CHANGED', reason: '' } }, {}],
    ['a resume', { kind: 'resume', by: 'admin' }, {}],
    ['a settling', { kind: 'settle', outcome: { kind: 'cancelled' }, by: 'a', retentionMs: 1 }, {}],
    ['a retry', { kind: 'retry', run: 1, wakeAt: 1, why: '', plan: NO_DROPS }, {}],
    ['a new state of a step', { ...noted({}), isNew: true }, {}],
    ['an excuse', { kind: 'excuse', run: 1 }, counts],
    ['an unload', { kind: 'unload', run: 1, wakeAt: 1, listens: false }, counts],
    ['a wait for an attempt', noted({ retryAt: 9 }), counts],
    ['a sleep', noted({ wait: { startedAt: 1, dueAt: 9 } }), counts],
    ['a note that a step begins', noted({ begunAt: 9 }), marked],
    ['a begin', { kind: 'begin', run: 1, what: "step 'other'" }, { ...marked, begun: "step 'other'" }],
    ['a client’s checkpoint', { kind: 'save-checkpoint', checkpointId: 'cp', stateText: '', by: 'a' }, marked],
  ]
  test.each(cases)('after %s', (_, event, left) => {
    const { head } = transition(born(true, marked), event, 2_000)
    const { life, deaths, begun } = head
    expect({ life, deaths, begun }).toEqual({
      life: left.life,
      deaths: left.deaths,
      begun: left.begun,
    })
    expect(marksAfter(head, event)).not.toHaveProperty('status')
  })
})

describe('a death', () => {
  test('counts against who bears its number', () => {
    expect(countsAgainst(born(true), 7)).toBe(true)
    expect(countsAgainst(born(true), 8)).toBe(false)
    expect(countsAgainst(born(false), 7)).toBe(false)
  })

  test('is counted once: the mark goes with it', () => {
    const { head, changes } = countCrash(born(true, { deaths: 2, begun: 'x' }), 5_000)
    expect(head).toMatchObject({ deaths: 3, life: undefined, begun: 'x', seq: 2, updatedAt: 5_000 })
    expect(changes).toEqual([{ kind: 'head', head }])
    expect(countsAgainst(head, 7)).toBe(false)
    expect(countCrash(born(true), 1).head.deaths).toBe(1)
  })

  test('makes a suspect with the second, and a poisoned task with the last', () => {
    expect([{}, { deaths: 1 }, { deaths: 2 }].map(isSuspect)).toEqual([false, false, true])
    expect([{}, { deaths: 4 }, { deaths: 5 }].map((marks) => isPoisoned(marks, 5))).toEqual([false, false, true])
  })

  test('is foreseen: what is begun is noted where the next one may be the last, and of suspects', () => {
    const noted = (maximum: number) => [0, 1, 2, 3].map((deaths) => mustNoteBegun({ deaths }, maximum))
    expect(noted(5)).toEqual([false, false, true, true])
    expect(noted(2)).toEqual([false, true, true, true])
    expect(noted(1)).toEqual([false, true, true, true])
    expect(mustNoteBegun({}, 1)).toBe(false)
  })
})

describe('the reason of the parking', () => {
  test('names the step, or says that none is known', () => {
    expect(poisoned(born(true, { deaths: 5, begun: "step 'load'" }))).toEqual({
      code: 'POISONED',
      reason: "5 processes in a row crashed running it and recorded nothing, the last in step 'load'",
    })
    expect(poisoned(born(true, { deaths: 1 })).reason).toContain('1 process crashed')
    expect(poisoned(born(true)).reason).toContain('before a step began that is known (0 completed)')
  })

  test('has room for the name, however long that is, and the head for both', () => {
    const { head } = transition(
      born(true, { deaths: 12_345 }),
      { kind: 'begin', run: 1, what: `step '${'"'.repeat(200)}'` },
      2_000,
    )
    const { reason } = poisoned(head)
    expect(reason).toContain(head.begun)
    expect(Buffer.byteLength(JSON.stringify(reason))).toBeLessThanOrEqual(PARKED_REASON_BYTES_MAX + 2)
    expect(Buffer.byteLength(encodeMovingPart(head))).toBeLessThan(HEAD_BYTES_MAX)
  })
})
