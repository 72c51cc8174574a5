/** Runs of bodies with branches: by hand, and with a crash at every write. */
import { expect } from 'vitest'
import { defineTask, type Holdfast, type TaskContext } from '../../src/index.js'
import { ManualClock, openInMemory } from '../../src/testing/index.js'
import { everyCrash, type Played } from './every-crash.js'

export interface Effects {
  readonly log: string[]
  readonly keys: Set<string>
  /** What was said to a body under one name; more than one value shows a replay that saw something else. */
  readonly said: Map<string, Set<string>>
}
export const noEffects = (): Effects => ({ log: [], keys: new Set(), said: new Map() })

export const start = (name: string) => async (holdfast: Holdfast) =>
  (await holdfast.start(name, null, { idempotencyKey: 'the one' })).taskId

/** Moves time on from timer to timer until `promise` has settled. */
export async function untilSettled<T>(clock: ManualClock, promise: Promise<T>): Promise<T> {
  let settled = false
  const over = () => {
    settled = true
  }
  promise.then(over, over)
  for (let moves = 0; !settled && moves < 500; moves++) {
    await clock.advance(0)
    const { nextDueAt } = clock
    if (!settled && nextDueAt !== undefined) await clock.advanceTo(nextDueAt)
  }
  if (!settled) throw new Error('Nothing more happens')
  return promise
}

/** Starts a task of this body and waits for its end. */
export async function run(
  body: (task: TaskContext, clock: ManualClock) => unknown,
  options: object = {},
): Promise<unknown> {
  const clock = new ManualClock()
  const task = defineTask({ name: 'main', ...options }, (context) => body(context, clock))
  const holdfast = await openInMemory({ tasks: [task], clock })
  const { taskId } = await holdfast.start(task, null)
  return untilSettled(clock, holdfast.result(taskId))
}

/** Plays it with every crash, and expects the outcome of the play without one. */
export async function expectSame(
  make: (effects: Effects, clock: ManualClock) => ReturnType<typeof defineTask>[],
  law: (effects: Effects, where: string) => void = () => {},
  more: Partial<Parameters<typeof everyCrash<Effects>>[0]> = {},
): Promise<Played<Effects>> {
  const { calm, crashed } = await everyCrash({
    effects: noEffects,
    tasks: make as (effects: Effects, clock: ManualClock) => ReturnType<typeof defineTask>[],
    drive: start('main'),
    ...more,
  })
  law(calm.effects, calm.where)
  for (const { where, outcome, effects } of crashed) {
    expect(orderless(outcome), where).toEqual(orderless(calm.outcome))
    law(effects, where)
    for (const [what, values] of effects.said) expect([...values], `${where}: ${what}`).toHaveLength(1)
  }
  return calm
}

/** Branches that run side by side may be recorded in another order after a crash; who lost may have come further by then. */
export function orderless(outcome: unknown): unknown {
  const { log: _, completedSteps: __, ...rest } = outcome as Record<string, unknown>
  return rest
}

export const noted = (log: string[], what: string, value: string) => {
  log.push(what)
  return value
}
export const times = (log: readonly string[], what: string) => log.filter((entry) => entry === what).length
/** Nothing of `what` comes after `first`. */
export const noneAfter = (log: readonly string[], first: string, what: RegExp) => {
  const from = log.indexOf(first)
  return from < 0 ? [] : log.slice(from).filter((entry) => what.test(entry))
}
