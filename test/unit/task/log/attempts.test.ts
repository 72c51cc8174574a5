// Goal: the lists of attempts that older and later versions left are read, and a list that cannot be read harms nothing.
import { expect, test } from 'vitest'
import { attemptsForRecord, attemptsOf, noteAfterFailure } from '../../../../src/task/log/attempts.js'
import type { StepRecord } from '../../../../src/task/log/records.js'
import { note } from '../../../helpers/build-log.js'

const failure = { startedAt: 5, failedAt: 8, failedSeq: 2, failedWith: 'EBUSY', retryAt: 9 }
const place = { segment: -1, scope: '', ask: 0, after: -1, seq: 0 }
const record = {
  kind: 'step',
  name: 'pay',
  number: 1,
  ...place,
  at: 90,
  startedAt: 50,
  attempts: 1,
} satisfies StepRecord

test('a failed attempt is added to the pending record, without the begin and the question of the attempt', () => {
  const after = noteAfterFailure(note('pay', {}, { begunAt: 5, stateText: '1' }), failure)
  expect(after).toMatchObject({ failedAttempts: 1, failedAt: 8, failedSeq: 2, failedWith: 'EBUSY', retryAt: 9 })
  expect(after).toMatchObject({ lastAttempts: [[1, 5, 8, 'EBUSY']], begunAt: undefined, stateText: '1' })
})

test('a step that an older version tried before has its later attempts under their numbers', () => {
  const older = note('pay', {}, { failedAttempts: 2, retryAt: 4 })
  expect(attemptsForRecord(older, 7)).toEqual([[3, 7]])
  const after = noteAfterFailure(older, failure)
  const lastAttempts = attemptsForRecord(after, 20)
  expect(attemptsOf({ ...record, attempts: 4, lastAttempts })).toEqual([
    { attempt: 3, startedAt: 5, endedAt: 8, errorCode: 'EBUSY' },
    { attempt: 4, startedAt: 20, endedAt: 90, errorCode: undefined },
  ])
})

test('a record of several attempts without a list has no known attempts', () => {
  expect(attemptsOf({ ...record, attempts: 3 })).toBeUndefined()
})

test('the error of the record is that of the last attempt', () => {
  const failed = { name: 'Error', message: 'no', code: 42 }
  expect(attemptsOf({ ...record, failed })).toEqual([{ attempt: 1, startedAt: 50, endedAt: 90, errorCode: '42' }])
})

test('a list with more entries and elements, of a later version, is read', () => {
  const lastAttempts = Array.from({ length: 12 }, (_, at) => [at + 1, at, at, 'E', 'more']) as never
  expect(attemptsOf({ ...record, attempts: 12, lastAttempts })).toHaveLength(12)
})

test.each([['x'], [['x']], [[[1]]], [[[1, 5, '8']]], [[[1, 5, 8, 4]]], [{}]])('the list %j counts as none', (list) => {
  const lastAttempts = list as never
  expect(attemptsOf({ ...record, attempts: 2, lastAttempts })).toBeUndefined()
  const after = noteAfterFailure(note('pay', {}, { failedAttempts: 1, lastAttempts }), failure)
  expect(after.lastAttempts).toEqual([[2, 5, 8, 'EBUSY']])
})
