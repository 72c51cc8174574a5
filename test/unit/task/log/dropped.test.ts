// Goal: the list of dropped records says of every number whether it was dropped, also when retries have added to it.
// Method: lists made by hand, and random ones against sets of numbers.
import { expect, test } from 'vitest'
import {
  cleared,
  type Dropped,
  decodeDropped,
  encodeDropped,
  includes,
  isUncleared,
  joinDropped,
  RangesBuilder,
} from '../../../../src/task/log/dropped-records.js'

const at = (seq: number, segment = 0) => ({ segment, seq })
const dropped = (numbers: readonly number[], more: Partial<Dropped> = {}): Dropped => ({
  from: at(numbers[0] as number),
  to: at(numbers.at(-1) as number),
  numbers,
  ...more,
})

test('ranges hold the numbers between their ends, and no others', () => {
  const ranges = [2, 4, 7, 7, 9, 12]
  const held = Array.from({ length: 15 }, (_, number) => number).filter((number) => includes(ranges, number))
  expect(held).toEqual([2, 3, 4, 7, 9, 10, 11, 12])
  expect(includes([], 3)).toBe(false)
})

test('ranges are built of numbers in order; a range ends where one does not continue it', () => {
  const builder = new RangesBuilder()
  builder.add(3, true)
  builder.add(5, true)
  builder.add(6, true)
  builder.add(9, false)
  expect(builder.ranges).toEqual([3, 6, 9, 9])
})

test('a list comes back from text as it was', () => {
  const list = dropped([1, 5], { returned: [2, 2], opens: 3 })
  expect(decodeDropped(encodeDropped(list))).toEqual(list)
})

test('a list without messages and segments is cleared', () => {
  expect(isUncleared(dropped([1, 5]))).toBe(false)
  expect(isUncleared(dropped([1, 5], { returned: [2, 2] }))).toBe(true)
  expect(isUncleared(dropped([1, 5], { opens: 0 }))).toBe(true)
  expect(cleared(dropped([1, 5], { returned: [2, 2], opens: 3 }))).toEqual(dropped([1, 5]))
})

test('a later retry adds to the list; what either has to clear stays to be cleared', () => {
  const earlier = dropped([4, 6, 9, 9])
  const later = dropped([1, 2, 7, 8, 20, 20], { returned: [1, 1], opens: 5 })
  const joined = { ...dropped([1, 2, 4, 9, 20, 20]), returned: [1, 1], opens: 5 }
  expect(joinDropped(earlier, later)).toEqual(joined)
  expect(joinDropped(later, earlier)).toEqual(joined)
  expect(joinDropped(undefined, later)).toBe(later)
  expect(joinDropped(earlier, dropped([10, 11])).opens).toBeUndefined()
  expect(joinDropped(dropped([1, 1], { opens: 2 }), dropped([3, 3], { opens: 4 })).opens).toBe(2)
})

test('joined ranges hold what one of the two holds, of 500 random pairs', () => {
  for (let pair = 0; pair < 500; pair++) {
    const ranges = () => {
      const builder = new RangesBuilder()
      for (let number = 0; number < 30; number++) {
        if (Math.random() < 0.4) builder.add(number, builder.ranges.at(-1) === number - 1)
      }
      return builder.ranges
    }
    const [one, other] = [ranges(), ranges()]
    if (one.length === 0 || other.length === 0) continue
    const { numbers } = joinDropped(dropped(one), dropped(other))
    for (let number = 0; number < 30; number++) {
      const expected = includes(one, number) || includes(other, number)
      expect(includes(numbers, number), JSON.stringify({ one, other, number })).toBe(expected)
    }
    expect(numbers.every((number, at) => at === 0 || number >= (numbers[at - 1] as number))).toBe(true)
  }
})
