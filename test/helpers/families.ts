/** What the tests of children share: the parts of a family, and plays that end as the one without a crash. */
import { setImmediate as turn } from 'node:timers/promises'
import { expect } from 'vitest'
import type { AnyTaskDefinition, Holdfast } from '../../src/index.js'
import { type ManualClock, untilIdle } from '../../src/testing/index.js'
import { everyCrash, type Played } from './every-crash.js'

export type Log = string[]
export type Task = AnyTaskDefinition

export const startMain = async (holdfast: Holdfast) =>
  (await holdfast.start('main', null, { idempotencyKey: 'the one' })).taskId

/** Starts the parent, and does something to it from outside once `isTime`. Played again after a crash. */
export const whenever = (isTime: (holdfast: Holdfast, taskId: string) => Promise<boolean>, act: typeof isTime) => {
  return async (holdfast: Holdfast) => {
    const taskId = await startMain(holdfast)
    const loop = async () => {
      for (let looks = 0; looks < 500; looks++) {
        if ((await holdfast.get(taskId)).settledAt !== undefined) return
        if (await isTime(holdfast, taskId)) return void (await act(holdfast, taskId))
        await turn()
      }
    }
    // The process may die meanwhile.
    loop().catch(() => {})
    return taskId
  }
}
export const hasChild = async (holdfast: Holdfast, taskId: string) =>
  (await holdfast.list()).tasks.some(({ parentId, startedAt }) => parentId === taskId && startedAt !== undefined)

/** Which children outlived their parents, and what else there is at the end: states by type, no IDs. */
export async function family(holdfast: Holdfast) {
  await untilIdle(holdfast)
  const { tasks } = await holdfast.list()
  const audit = await holdfast.audit({ limit: 10_000 })
  const when = (taskId: string, actions: readonly string[]) =>
    audit.filter((entry) => entry.taskId === taskId && actions.includes(entry.action)).map(({ at }) => at)
  const ended = ['completed', 'failed', 'cancelled']
  const cleaned = ['cleaned-up', 'clean-up-failed']
  const outlived: string[] = []
  for (const { taskId, parentId, type, cleanUp } of tasks) {
    if (when(taskId, ended).length !== 1) outlived.push(`${type} settled ${when(taskId, ended).length} times`)
    if (when(taskId, cleaned).length > 1) outlived.push(`${type} was cleaned up twice`)
    if (cleanUp === 'pending') outlived.push(`${type} is not cleaned up`)
    if (parentId === undefined) continue
    const overAt = Math.max(...when(taskId, [...ended, ...cleaned]))
    const parentOverAt = Math.max(...when(parentId, [...ended, ...cleaned]))
    if (overAt > parentOverAt) outlived.push(`${type} outlived its parent by ${overAt - parentOverAt} ms`)
  }
  const states = tasks.map(({ type, status, cleanUp, owner }) => [type, status, cleanUp, owner ?? '-'].join(' ')).sort()
  return { outlived, states }
}

/** Children that run side by side may be recorded in another order after a crash. */
export function orderless(outcome: unknown): unknown {
  const { log, ...rest } = outcome as { log: string[] }
  return { ...rest, log: [...log].sort() }
}

export async function expectSame(
  make: (log: Log, clock: ManualClock) => readonly Task[],
  law: (log: Log, where: string) => void = () => {},
  drive: (holdfast: Holdfast) => Promise<string> = startMain,
  compared: (outcome: unknown) => unknown = orderless,
): Promise<Played<Log> & { outcome: Record<string, unknown> }> {
  const { calm, crashed } = await everyCrash<Log>({ effects: () => [], tasks: make, drive, look: family })
  expect(calm.outcome).toMatchObject({ seen: { outlived: [] } })
  law(calm.effects, calm.where)
  for (const { where, outcome, effects } of crashed) {
    expect(compared(outcome), where).toEqual(compared(calm.outcome))
    law(effects, where)
  }
  return calm as Played<Log> & { outcome: Record<string, unknown> }
}

export const times = (log: Log, what: string) => log.filter((entry) => entry === what).length
