// Goal: no question of a task gets a key that an earlier one had, and the first of a name gets the name.
// Method: the candidates of heads from both times, in words.
import { expect, test } from 'vitest'
import { inputKeys, isOlderKey, withInputs } from '../../../../src/task/decisions/input-keys.js'

const first = (count: number, keys: Iterator<string>) => Array.from({ length: count }, () => keys.next().value)

test('the first candidate is the name, and the others count on from the questions of the task', () => {
  expect(first(2, inputKeys('ok', {}))).toEqual(['ok', 'ok-1'])
  expect(first(3, inputKeys('ok', { inputsAsked: 4 }))).toEqual(['ok', 'ok-5', 'ok-6'])
})

test('a head whose keys are all kept gives no key away', () => {
  expect(isOlderKey('ok-1', { inputsAsked: 1, hasInputKeys: true })).toBe(false)
})

test('a head from before keys were kept gives every number away that it has counted', () => {
  const older = { inputsAsked: 2 }
  expect(['ok-1', 'no-2'].map((key) => isOlderKey(key, older))).toEqual([true, true])
  expect(['ok-0', 'ok-3', 'ok', 'ok-x'].map((key) => isOlderKey(key, older))).toEqual([false, false, false, false])
  expect(isOlderKey('ok-1', {})).toBe(false)
})

test('keys count as kept from the first question of a task on, or not at all', () => {
  expect(withInputs({}, 0)).toEqual({ inputsAsked: undefined, hasInputKeys: undefined })
  expect(withInputs({}, 2)).toEqual({ inputsAsked: 2, hasInputKeys: true })
  expect(withInputs({ inputsAsked: 2, hasInputKeys: true }, 1)).toEqual({ inputsAsked: 3, hasInputKeys: true })
  expect(withInputs({ inputsAsked: 2 }, 1)).toEqual({ inputsAsked: 3, hasInputKeys: undefined })
  expect(withInputs({ inputsAsked: 2 }, 0)).toEqual({ inputsAsked: 2, hasInputKeys: undefined })
})
