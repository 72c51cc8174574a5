/**
 * Goal: all heads have the same fields in the same order, so that the engine of JavaScript keeps them in one shape.
 * Method: the names of the fields after each decision, and after a head is read again. A head with fields of its own made
 * every later decision on it, and every later read, several times slower.
 */
import { expect, test } from 'vitest'
import { createTask, type NewTask } from '../../../../src/task/decisions/create.js'
import { transition } from '../../../../src/task/decisions/transition.js'
import { draftOf, type TaskHead } from '../../../../src/task/head.js'
import { decodeMovingPart, encodeFixedPart, encodeMovingPart, joinParts } from '../../../../src/task/head-codec.js'
import { PREFIX } from '../../../../src/task/log/segment.js'
import type { TaskEvent } from '../../../../src/task/task-event.js'

const about: NewTask = {
  taskId: 'task-1',
  seed: 's',
  type: 'work',
  kind: 'body',
  title: 'Lamp',
  attributes: { customer: 'a' },
  durability: 'synced',
  startNow: false,
  by: 'admin',
}
const place = { segment: PREFIX, scope: '', ask: 0, after: -1, name: 'load', number: 1 }
const step = { kind: 'step', ...place, startedAt: 2, attempts: 1, value: '1', failed: undefined } as const

const set = { kind: 'set', ...place, ask: 1, name: 'attributes', startedAt: 2 } as const

const EVENTS: readonly TaskEvent[] = [
  { kind: 'start', run: 1, recovered: false, life: 1 },
  { kind: 'record', run: 1, record: step, progress: { done: 1 } },
  { kind: 'set-attributes', attributes: { customer: 'a-17' }, by: 'admin' },
  { kind: 'record', run: 1, record: set, beside: { attributes: { customer: null, phase: 2 } } },
  { kind: 'unload', run: 1, wakeAt: 9, listens: true },
  { kind: 'park', parked: { code: 'CODE_CHANGED', reason: 'x' } },
  { kind: 'resume', by: 'admin' },
  { kind: 'settle', outcome: { kind: 'result', result: 1 }, by: 'body', retentionMs: 1 },
]

test('a new head, the head after each decision, and a head that is read again have the same fields', () => {
  let head: TaskHead = createTask(about, 1).head
  const fields = Object.keys(draftOf(head))
  expect(Object.keys(head)).toEqual(fields)
  for (const event of EVENTS) {
    head = transition(head, event, 2).head
    expect([event.kind, ...Object.keys(head)]).toEqual([event.kind, ...fields])
    const read = joinParts(decodeMovingPart('task-1', head.seq, encodeMovingPart(head)) as never, encodeFixedPart(head))
    expect([event.kind, ...Object.keys(read)]).toEqual([event.kind, ...fields])
    expect(read).toEqual(head)
  }
})
