// Goal: a record that is missing, or is another one, is noticed in every place of a log.
// Method: a log is built by real decisions; then each record in turn is taken out or changed.
import { expect, test } from 'vitest'
import { dueAt } from '../../../../src/task/decisions/expiry.js'
import { findHole, type ReadRecord } from '../../../../src/task/log/log-sums.js'
import type { LogRecord } from '../../../../src/task/log/records.js'
import { PREFIX } from '../../../../src/task/log/segment.js'
import { build, save, step } from '../../../helpers/build-log.js'

const loads = (segment: number, ...asks: number[]) => asks.map((ask) => step('load', { segment, ask, number: ask + 1 }))
const RECORDS = [
  ...loads(PREFIX, 0),
  ...loads(0, 0, 1),
  save(1, { ask: 2 }),
  ...loads(1, 0, 1),
  save(2, { ask: 2 }),
  ...loads(2, 0, 1),
]

test.each([false, true])('a whole log has no hole (pruned: %s)', (prune) => {
  const { head, log } = build(RECORDS, { prune })
  expect(log).toHaveLength(prune ? 4 : RECORDS.length)
  expect(findHole(head, log)).toBeUndefined()
})

test.each([false, true])('any record that is missing is noticed (pruned: %s)', (prune) => {
  const { head, log } = build(RECORDS, { prune })
  for (const gone of log) {
    const rest = log.filter((read) => read !== gone)
    expect(findHole(head, rest)).toMatch(/of the log has \d+ records/)
  }
})

test('any record that is another one is noticed', () => {
  const { head, log } = build(RECORDS)
  for (const changed of log) {
    const other = log.map((read) => (read === changed ? { ...read, text: `${read.text} ` } : read))
    expect(findHole(head, other)).toBeDefined()
  }
})

test('a log that nothing was written to yet has no hole', () => {
  const { head } = build([])
  expect(findHole(head, [])).toBeUndefined()
})

test('a record too many is noticed, also in a segment that nobody knows of', () => {
  const { head, log } = build(RECORDS)
  const last = log.at(-1) as ReadRecord
  const stray = { ...last, record: { ...last.record, segment: 7 } as LogRecord }
  expect(findHole(head, [...log, stray])).toMatch(/segment 7 of the log has 1 records where 0 were written/)
})

test('the earlier of timeout and deadline is when a task is due', () => {
  const { head } = build([])
  expect(dueAt(head)).toBeUndefined()
  expect(dueAt({ ...head, timeoutAt: 5 })).toBe(5)
  expect(dueAt({ ...head, deadlineAt: 7 })).toBe(7)
  expect(dueAt({ ...head, timeoutAt: 5, deadlineAt: 3 })).toBe(3)
})
