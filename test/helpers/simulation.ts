/**
 * What the simulated crash tests share: a seeded random, a clock that is moved for as long as something is awaited, and
 * a notebook of which function was called when.
 */

import { type Logger, silentLogger } from 'holdfast'
import type { ManualClock } from 'holdfast/testing'
import { turns } from './turns.js'

/** Numbers from 0 up to and without 1, the same for the same seed. */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** The seed of a test: the one in `variable`, or a new one. It is printed, with how to use it again. */
export function seedFor(variable: string): number {
  const given = process.env[variable]
  const seed = given === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(given)
  console.info(`seed ${seed}; the same again: ${variable}=${seed} npx vitest run …`)
  return seed
}

/** Whether the process that lives by this clock is dead. */
export function isDead(clock: ManualClock): boolean {
  return ended.has(clock)
}

/** Thrown when nothing more happens although somebody waits. */
export class Stuck extends Error {}

const ended = new WeakSet<ManualClock>()

/** The process that lives by this clock is dead: nobody waits in it any more. */
export function endOfTime(clock: ManualClock): void {
  ended.add(clock)
}

/** Waits for `promise` while the clock goes on; simulated minutes without an end are a task that is stuck. */
export async function within<T>(clock: ManualClock, what: string, promise: Promise<T>): Promise<T> {
  let over = false
  const settled = () => {
    over = true
  }
  promise.then(settled, settled)
  for (let round = 0; round < 300 && !over; round++) {
    await turns(5)
    if (isDead(clock)) return new Promise<never>(() => {})
    if (!over && round > 3) await clock.advance(100)
  }
  if (!over) throw new Stuck(`Nothing more happens, and this is still awaited: ${what}`)
  return promise
}

/** Waits until `seen` holds. */
export async function until(clock: ManualClock, what: string, seen: () => boolean): Promise<void> {
  const wait = async () => {
    for (let turn = 0; turn < 10_000 && !seen(); turn++) await turns(1)
  }
  await within(clock, what, wait())
}

/** Which function of which step ran when, and which answers a body has been given. */
export class Notebook {
  /** How often each function was called. */
  readonly calls = new Map<string, number>()
  /** Laws that were broken, as sentences. */
  readonly broken: string[] = []
  /** Whether the store is down, as the engine's own log says. */
  isDown = false
  /** Told when it goes down. */
  onDown: () => void = () => {}
  readonly #answered = new Set<string>()

  readonly logger: Logger = {
    ...silentLogger,
    debug: (message) => {
      if (message === 'An outage ends') this.isDown = false
      if (message !== 'An outage begins') return
      this.isDown = true
      this.onDown()
    },
  }

  /** A step's function begins. */
  called(step: string): void {
    this.calls.set(step, (this.calls.get(step) ?? 0) + 1)
    if (this.#answered.has(step)) this.broken.push(`${step} was answered, and its function is called again`)
    if (this.isDown) this.broken.push(`${step} begins while the store is down`)
  }

  /** A body got the step's answer, so it is recorded. */
  answered(step: string): void {
    this.#answered.add(step)
  }

  countOf(step: string): number {
    return this.calls.get(step) ?? 0
  }

  /** The functions that were called more often than once. */
  get repeated(): string[] {
    return [...this.calls].filter(([, count]) => count > 1).map(([step]) => step)
  }
}
