import { describe, expect, test } from 'vitest'
import { Dependents } from '../../../../src/task/log/dependents.js'
import {
  decodePendingRecord,
  encodePendingRecord,
  isOutstanding,
  type PendingRecord,
} from '../../../../src/task/log/pending-record.js'
import type { LogRecord } from '../../../../src/task/log/records.js'
import { branchScope, isWithin } from '../../../../src/task/log/scope.js'
import {
  decodeUndoRecord,
  encodeUndoRecord,
  isUndoingOver,
  onCancelRecord,
  type UndoRecord,
} from '../../../../src/task/log/undo-record.js'
import { note, question } from '../../../helpers/build-log.js'

const charge: UndoRecord = { ...onCancelRecord(5), id: 'x', name: 'charge', order: 3 }

describe('comes back from text as it was:', () => {
  const notes: PendingRecord[] = [
    note('a'),
    note('a', {}, { failedAttempts: 2, retryAt: 9, begunAt: 7 }),
    note('a', {}, { failedAttempts: 1, stateText: '{"a":"b\\nc"}' }),
    note('a', {}, { stateText: '' }),
    question('go-1', { scope: 'race#1.a' }, ''),
  ]
  test.each(notes)('the note %j', (noted) => expect(decodePendingRecord(encodePendingRecord(noted))).toEqual(noted))

  const intents: UndoRecord[] = [
    charge,
    { ...charge, value: '{"id":"line\\nbreak"}', record: 4 },
    { ...charge, undoing: { failedAttempts: 1, retryAt: 9, steps: { 'refund#1': '' } }, failed: true },
  ]
  test.each(intents)('the intent %j', (intent) => expect(decodeUndoRecord(encodeUndoRecord(intent))).toEqual(intent))
})

test('a question is outstanding until it is answered, also with nothing', () => {
  expect(isOutstanding(note('a'))).toBe(false)
  expect(isOutstanding(question('go-1'))).toBe(true)
  expect(isOutstanding(question('go-1', {}, ''))).toBe(false)
})

test('an undoing is over once it succeeded or is out of attempts', () => {
  expect(isUndoingOver(charge)).toBe(false)
  expect(isUndoingOver({ ...charge, undoing: { failedAttempts: 2, retryAt: 9 } })).toBe(false)
  expect(isUndoingOver({ ...charge, undoing: { failedAttempts: 0, doneAt: 0 } })).toBe(true)
  expect(isUndoingOver({ ...charge, undoing: { failedAttempts: 5, failedAt: 0 } })).toBe(true)
})

test('the call of onCancel comes after every undo', () => {
  expect(onCancelRecord(5)).toMatchObject({ id: 'onCancel', begunAt: 5 })
  expect(onCancelRecord(5).order).toBeLessThan(0)
})

describe('the scope of a branch', () => {
  const a = branchScope('', 'race', 1, 'a')

  test('is its path, in which no name can pass for two', () => {
    expect(a).toBe('race#1.a')
    expect(branchScope(a, 'all', 2, 'b/c.d e')).toBe('race#1.a/all#2.b%2Fc.d%20e')
  })

  test('lies in the body, in itself and in those around it, and in none that only begins like it', () => {
    const inner = branchScope(a, 'all', 1, 'b')
    expect([isWithin(inner, ''), isWithin(inner, inner), isWithin(inner, a)]).toEqual([true, true, true])
    expect(isWithin(a, inner)).toBe(false)
    expect(isWithin(branchScope('', 'race', 1, 'ab'), a)).toBe(false)
  })

  test.each([
    ['race#1.a', 'race#1.b', true],
    ['race#1.a/all#1.x', 'race#1.b/all#1.x', true],
    ['race#1.a/all#1.x', 'race#1.a/all#1.y', true],
    ['race#1.a.b', 'race#1.a.c', true],
    ['race#1.a', 'race#1.a', false],
    ['race#1.a', 'race#1.a/all#1.x', false],
    ['race#1.a/all#1.x', 'race#1.a', false],
    ['race#1.a', 'race#2.b', false],
    ['race#1.a', 'race#11.b', false],
    ['race#1.a', 'all#1.b', false],
    ['', 'race#1.a', false],
    ['race#1.a', '', false],
    ['', '', false],
  ])('%j and %j are siblings: %s', (one, other, are) => {
    const reach = new Dependents()
    reach.add({ segment: 0, scope: one, seq: 7 } as LogRecord)
    const isBehind = (segment: number, after: number) => reach.isBehind({ segment, scope: other, after })
    expect([isBehind(0, 6), isBehind(0, 7)]).toEqual([false, !are])
    expect([isBehind(1, 6), isBehind(1, 7)]).toEqual([false, true])
  })
})
