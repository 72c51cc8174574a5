// Goal: one timer of the clock wakes all sleeping tasks, each at its instant, in order, and none that was cancelled.
// Method: a manual clock that counts its timers.
import { expect, test } from 'vitest'
import { type WakeTimer, WakeTimers } from '../../../../src/engine/scheduling/wake-timers.js'
import { ManualClock } from '../../../../src/testing/index.js'

function wakeTimers() {
  const clock = new ManualClock(0)
  const woken: string[] = []
  const timers: WakeTimers<string> = new WakeTimers(clock, (task) => void woken.push(`${task} at ${clock.now()}`))
  return { clock, woken, timers }
}

test('a thousand sleeping tasks share one timer of the clock', async () => {
  const { clock, woken, timers } = wakeTimers()
  const set = Array.from({ length: 1_000 }, (_, n) => timers.set(`task ${n}`, 10_000 - (n % 7)))
  expect(clock.armed).toBe(1)
  expect(clock.nextDueAt).toBe(9_994)
  await clock.advance(20_000)
  expect(woken.length).toBe(1_000)
  expect(clock.armed).toBe(0)
  for (const timer of set) timer.cancel()
  expect(clock.armed).toBe(0)
})

test('tasks wake at their instants, and those of one instant in the order in which they fell asleep', async () => {
  const { clock, woken, timers } = wakeTimers()
  for (const [task, at] of [
    ['a', 30],
    ['b', 20],
    ['c', 20],
    ['d', 10],
    ['e', 20],
  ] as const)
    timers.set(task, at)
  await clock.advance(10)
  expect(woken).toEqual(['d at 10'])
  timers.set('f', 15)
  await clock.advance(90)
  expect(woken).toEqual(['d at 10', 'f at 15', 'b at 20', 'c at 20', 'e at 20', 'a at 30'])
})

test('a cancelled timer wakes no task, and the clock is set for the next one', async () => {
  const { clock, woken, timers } = wakeTimers()
  const first = timers.set('first', 10)
  timers.set('second', 20)
  first.cancel()
  expect([clock.armed, clock.nextDueAt]).toEqual([1, 20])
  await clock.advance(30)
  expect(woken).toEqual(['second at 20'])
})

test('a task that sleeps again while tasks wake is woken at its next instant', async () => {
  const clock = new ManualClock(0)
  const woken: number[] = []
  const timers: WakeTimers<string> = new WakeTimers(clock, (task) => {
    woken.push(clock.now())
    if (woken.length < 3) timers.set(task, clock.now() + 5)
  })
  const timer: WakeTimer<string> = timers.set('task', 5)
  await clock.advance(100)
  timer.cancel()
  expect(woken).toEqual([5, 10, 15])
  expect(clock.armed).toBe(0)
})

test('no task wakes early after the clock was set back', async () => {
  const { clock, woken, timers } = wakeTimers()
  timers.set('task', 100)
  await clock.jump(-50)
  await clock.advance(149)
  expect(woken).toEqual([])
  await clock.advance(1)
  expect(woken).toEqual(['task at 100'])
})
