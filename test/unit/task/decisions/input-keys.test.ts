// Goal: no question of a task gets a key that an earlier one had, and the first of a name gets the name.
// Method: the candidates of heads, in words.
import { expect, test } from 'vitest'
import { inputKeys } from '../../../../src/task/decisions/input-keys.js'

const first = (count: number, keys: Iterator<string>) => Array.from({ length: count }, () => keys.next().value)

test('the first candidate is the name, and the others count on from the questions of the task', () => {
  expect(first(2, inputKeys('ok', {}))).toEqual(['ok', 'ok-1'])
  expect(first(3, inputKeys('ok', { inputsAsked: 4 }))).toEqual(['ok', 'ok-5', 'ok-6'])
})
