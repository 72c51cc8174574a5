// Goal: a manual clock goes back only when `jump` sets it back.
import { expect, test } from 'vitest'
import { ManualClock } from '../../src/testing/index.js'

test('of two advances that overlap, the one that ends earlier does not set the time back', async () => {
  const clock = new ManualClock(0)
  const seen: number[] = []
  clock.setTimer(10, () => seen.push(clock.now()))
  // It waits for what its timer woke when the second one moves on.
  const first = clock.advance(15)
  const second = clock.advance(100)
  expect(clock.now()).toBe(110)
  await Promise.all([first, second])
  expect(clock.now()).toBe(110)
  expect(seen).toEqual([10])
})

test('a jump sets the clock back, and an advance goes on from there', async () => {
  const clock = new ManualClock(1_000)
  await clock.jump(-400)
  expect(clock.now()).toBe(600)
  await clock.advance(10)
  expect(clock.now()).toBe(610)
})
