// Goal: a record that is missing, or is another one, is noticed in every place of a log.
// Method: a log is built by real decisions; then each record in turn is taken out or changed.
import { expect, test } from 'vitest'
import { createTask } from '../../src/task/create.js'
import { dueAt, PREFIX, type TaskHead } from '../../src/task/head.js'
import { findHole, type ReadRecord } from '../../src/task/integrity.js'
import { encodeRecord, type LogRecord } from '../../src/task/log.js'
import type { NewRecord } from '../../src/task/task-event.js'
import { transition } from '../../src/task/transition.js'

function build(prune: boolean): { head: TaskHead; log: ReadRecord[] } {
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
  let log: ReadRecord[] = []
  const add = (record: NewRecord, checkpoint?: { stateText: string; prune: boolean }) => {
    const decision = transition(head, { kind: 'record', run: 1, record, checkpoint }, 1)
    head = decision.head
    const made = decision.record as LogRecord
    log.push({ record: made, text: encodeRecord(made) })
    if (checkpoint?.prune) log = log.filter(({ record }) => record.segment === PREFIX || record === made)
  }
  const step = (segment: number, ask: number): NewRecord => ({
    kind: 'step',
    name: 'load',
    number: ask + 1,
    segment,
    scope: '',
    ask,
    after: -1,
    startedAt: 0,
    attempts: 1,
    value: `${ask}`,
  })
  add(step(PREFIX, 0))
  add(step(0, 0))
  add(step(0, 1))
  for (const opens of [1, 2]) {
    const segment = opens - 1
    add(
      { kind: 'checkpoint', checkpointId: `cp-${opens}`, opens, segment, scope: '', ask: 2, after: 0 },
      { stateText: '', prune },
    )
    add(step(opens, 0))
    add(step(opens, 1))
  }
  return { head, log }
}

test.each([false, true])('a whole log has no hole (pruned: %s)', (prune) => {
  const { head, log } = build(prune)
  expect(findHole(head, log)).toBeUndefined()
})

test.each([false, true])('any record that is missing is noticed (pruned: %s)', (prune) => {
  const { head, log } = build(prune)
  for (const gone of log)
    expect(
      findHole(
        head,
        log.filter((read) => read !== gone),
      ),
    ).toMatch(/of the log has \d+ records/)
})

test('any record that is another one is noticed', () => {
  const { head, log } = build(false)
  for (const changed of log) {
    const other = log.map((read) => (read === changed ? { ...read, text: `${read.text} ` } : read))
    expect(findHole(head, other)).toBeDefined()
  }
})

test('a log that nothing was written to yet has no hole', () => {
  const { head } = build(false)
  const none = { count: 0, sum: 0 }
  const empty = { ...head, prefix: { segment: PREFIX, ...none }, open: { segment: PREFIX, ...none } }
  expect(findHole(empty, [])).toBeUndefined()
})

test('a record too many is noticed, also in a segment that nobody knows of', () => {
  const { head, log } = build(false)
  const last = log.at(-1) as ReadRecord
  const stray = { ...last, record: { ...last.record, segment: 7 } as LogRecord }
  expect(findHole(head, [...log, stray])).toMatch(/segment 7 of the log has 1 records where 0 were written/)
})

test('the earlier of timeout and deadline is when a task is due', () => {
  const { head } = build(false)
  expect(dueAt(head)).toBeUndefined()
  expect(dueAt({ ...head, timeoutAt: 5 })).toBe(5)
  expect(dueAt({ ...head, deadlineAt: 7 })).toBe(7)
  expect(dueAt({ ...head, timeoutAt: 5, deadlineAt: 3 })).toBe(3)
})
