// Goal: an event is counted in its hour, and a body that has no counters of an hour is refused.
import { describe, expect, test } from 'vitest'
import { readHourRecord } from '../../../src/store/totals.js'
import {
  changedHours,
  decodeHour,
  HOUR_MS,
  hourOf,
  oldestHourKept,
  sumOfHours,
} from '../../../src/task/hour-counters.js'

const TEN = Date.UTC(2026, 0, 5, 10)
const ELEVEN = TEN + HOUR_MS

test('an instant has the hour that begins at it or before it', () => {
  expect([TEN, TEN + 1, ELEVEN - 1, ELEVEN].map(hourOf)).toEqual([TEN, TEN, TEN, ELEVEN])
  expect(oldestHourKept(TEN + 5)).toBe(TEN - 30 * 24 * HOUR_MS)
})

describe('a batch', () => {
  test('changes one hour, and two if its commits were decided in two', () => {
    const hours = new Map([[TEN, { completed: 5, askedLater: 7 }]])
    const one = { at: TEN + 1, completed: 1, completionMs: 10, shortCompleted: 1, shortMs: 10, settledBytes: 9 }
    expect([...changedHours(hours, [one, { at: TEN + 2, failed: 1, timedOut: 1, expired: 0 }])]).toEqual([
      [TEN, { completed: 6, shortCompleted: 1, failed: 1, timedOut: 1, completionMs: 10, shortMs: 10, askedLater: 7 }],
    ])
    expect([...changedHours(hours, [{ at: ELEVEN, cancelled: 1 }, one]).keys()]).toEqual([ELEVEN, TEN])
    // The counters on disk stay as they are until the batch is on disk.
    expect(hours.get(TEN)).toEqual({ completed: 5, askedLater: 7 })
  })

  test('changes no hour for what has no instant, such as a sweep', () => {
    expect(changedHours(new Map(), [{ settledBytes: -70, sweptFailed: 1 }]).size).toBe(0)
  })

  test('counts in the first hour what was before the epoch', () => {
    expect([...changedHours(new Map(), [{ at: -5, failed: 1 }])]).toEqual([[0, { failed: 1 }]])
  })
})

test('a sum has the hours from its beginning up to its end, and zeros for the rest', () => {
  const hours = new Map([
    [TEN - HOUR_MS, { completed: 1 }],
    [TEN, { completed: 2, found: 3 }],
    [ELEVEN, { completed: 4 }],
  ])
  expect(sumOfHours(hours, TEN, ELEVEN)).toMatchObject({ completed: 2, found: 3, failed: 0, shortMs: 0 })
  expect(sumOfHours(hours, 0, ELEVEN + 1).completed).toBe(7)
})

test.each([
  ['{}', undefined],
  ['{"completed":2,"shortCompleted":2,"askedLater":"x"}', undefined],
  ['{"completionMs":0.5}', undefined],
  ['{', /JSON/],
  ['[]', /no object/],
  ['null', /no object/],
  ['7', /no object/],
  ['{"completed":"2"}', /'completed' is no count/],
  ['{"failed":-1}', /'failed' is no count/],
  ['{"failed":0.5}', /'failed' is no count/],
  ['{"shortMs":-1}', /'shortMs' is no count/],
  ['{"completed":1,"shortCompleted":2}', /do not fit/],
  ['{"failed":1,"timedOut":1,"expired":1}', /do not fit/],
  ['{"found":1,"takenUp":2}', /do not fit/],
])('the body %j is read, or refused with %s', (body, message) => {
  if (message) expect(() => decodeHour(body)).toThrow(message)
  else expect(decodeHour(body)).toEqual(JSON.parse(body))
})

test.each(['hour/0123456789ab', 'hour/zz', 'hour/', 'hour/019b8da6f700/1'])('the key %s is no full hour', (key) => {
  expect(() => readHourRecord(key, '{}')).toThrow('its key is no full hour')
})
