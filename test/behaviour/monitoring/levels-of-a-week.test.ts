// Goal: the service levels of a window are those that the script of a week gives, computed by hand from the script.
// Method: a manual clock, a disk in memory, and 5,000 tasks that complete, fail, time out, expire and are cancelled. The process crashes
// on the way. What is expected follows from the script alone: each task has its instants in it.
import { expect, test } from 'vitest'
import { defineTask, type Holdfast, type WindowLevels } from '../../../src/index.js'
import { type InMemoryOptions, ManualClock, MemoryDisk, openInMemory, untilIdle } from '../../../src/testing/index.js'
import { brokenFormatLaws } from '../../helpers/format-laws.js'

const [SECOND, MINUTE, HOUR, DAY] = [1_000, 60_000, 3_600_000, 86_400_000]
const BEGIN = Date.UTC(2026, 0, 5)
const END = BEGIN + 7 * DAY
const TASKS = 5_000

const sleep = (name: string) => defineTask({ name }, (task, ms: number) => task.sleep('nap', ms))
const gone = sleep('gone')
const late = defineTask({ name: 'late', timeout: '10m' }, (task, ms: number) => task.sleep('nap', ms))
const broken = defineTask({ name: 'broken' }, () => {
  throw new Error('no')
})
const stopped = defineTask({ name: 'stopped', onCancel: () => {} }, (task, ms: number) => task.sleep('nap', ms))
const stuck = defineTask(
  {
    name: 'stuck',
    cleanUp: { retry: { maximumAttempts: 1 } },
    onCancel: () => {
      throw new Error('no')
    },
  },
  (task, ms: number) => task.sleep('nap', ms),
)
const tasks = [...['short', 'long', 'expires', 'plain'].map(sleep), late, broken, stopped, stuck]

type Kind = 'short' | 'long' | 'late' | 'expires' | 'broken' | 'stopped' | 'stuck' | 'plain' | 'gone'

/** A task of the script: when it starts, and when it ends. */
interface Planned {
  readonly kind: Kind
  readonly at: number
  readonly end: number
}

/** Of a hundred tasks, so many of each kind. The time to the end in seconds, from the first to the second number. */
const SHARES: readonly (readonly [Kind, share: number, secondsMin: number, secondsMax: number])[] = [
  ['short', 58, 1, 60],
  ['long', 22, 61, 18_000],
  ['late', 4, 600, 600],
  ['expires', 2, 1_200, 1_200],
  ['broken', 3, 0, 0],
  ['stopped', 8, 1, 7_200],
  ['stuck', 1, 1, 7_200],
  ['plain', 2, 1, 7_200],
]

const KINDS = SHARES.flatMap((each) => Array.from({ length: each[1] }, () => each))

/** The script: the same for each run. No two events of it are at the instant of a crash. */
function scripted(): { planned: Planned[]; crashes: number[] } {
  let state = 20_260_105
  const below = (count: number) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff
    return Math.floor((state / 0x80000000) * count)
  }
  const planned: Planned[] = []
  for (let n = 0; n < TASKS - 3; n++) {
    const [kind, , min, max] = KINDS[below(KINDS.length)] as (typeof SHARES)[number]
    const at = BEGIN + below((7 * DAY) / SECOND) * SECOND
    planned.push({ kind, at, end: at + (min + below(max - min + 1)) * SECOND })
  }
  // The definition of these is not registered after the first crash, so that each recovery parks them.
  for (let n = 0; n < 3; n++) planned.push({ kind: 'gone', at: BEGIN + n * SECOND, end: Number.POSITIVE_INFINITY })
  const crashes = Array.from(
    { length: 12 },
    (_, n) => BEGIN + (14 * n + below(14)) * HOUR + below(3_600) * SECOND + 500,
  )
  return { planned, crashes }
}

/** The service levels of a window, by hand. */
function byHand({ planned, crashes }: ReturnType<typeof scripted>, from: number, to: number): WindowLevels {
  const isIn = (at: number) => at >= from && at < to
  const ended = planned.filter(({ end }) => isIn(end))
  const of = (...kinds: Kind[]) => ended.filter(({ kind }) => kinds.includes(kind))
  const mean = (some: readonly Planned[]) =>
    some.length === 0 ? undefined : some.reduce((sum, { at, end }) => sum + end - at, 0) / some.length
  const share = (part: number, whole: number) => (whole === 0 ? undefined : part / whole)
  const isShort = ({ at, end }: Planned) => end - at <= MINUTE
  const completed = of('short', 'long')
  // A recovery finds the tasks that are unfinished at the crash. Those of the lost definition are parked.
  const found = crashes.filter(isIn).flatMap((crash) => planned.filter(({ at, end }) => at < crash && end > crash))
  const levels = {
    meanShortCompletionMs: mean(completed.filter(isShort)),
    meanLongCompletionMs: mean(completed.filter((each) => !isShort(each))),
    timeoutRate: share(of('late', 'expires').length, ended.length),
    recoverySuccessRate: share(found.filter(({ kind }) => kind !== 'gone').length, found.length),
    cleanUpRate: share(of('stopped').length, of('stopped', 'stuck').length),
  }
  const below = (bound: number, level: number | undefined) => ({
    below: bound,
    holds: level === undefined ? undefined : level < bound,
  })
  const above = (bound: number, level: number | undefined) => ({
    above: bound,
    holds: level === undefined ? undefined : level > bound,
  })
  return {
    completed: completed.length,
    failed: of('late', 'expires', 'broken').length,
    cancelled: of('stopped', 'stuck', 'plain').length,
    timedOut: of('late').length,
    expired: of('expires').length,
    meanCompletionMs: mean(completed),
    shortCompleted: completed.filter(isShort).length,
    longCompleted: completed.filter((each) => !isShort(each)).length,
    ...levels,
    targets: {
      meanShortCompletionMs: below(30 * SECOND, levels.meanShortCompletionMs),
      meanLongCompletionMs: below(30 * MINUTE, levels.meanLongCompletionMs),
      timeoutRate: below(0.05, levels.timeoutRate),
      recoverySuccessRate: above(0.95, levels.recoverySuccessRate),
      cleanUpRate: above(0.99, levels.cleanUpRate),
    },
  }
}

test('the levels of a scripted week of 5,000 tasks, with crashes, are those computed by hand, for every window', async () => {
  const script = scripted()
  const clock = new ManualClock(BEGIN)
  const disk = new MemoryDisk()
  const options: InMemoryOptions = { disk, clock, limits: { loadedRunsMax: 20 }, retention: '1h', auditRetention: '1h' }
  let holdfast: Holdfast = await openInMemory({ ...options, tasks: [...tasks, gone] })
  const taskIds = new Map<Planned, string>()
  const start = async (each: Planned) => {
    const ms = each.kind === 'short' || each.kind === 'long' ? each.end - each.at : 30 * DAY
    const ttl = each.kind === 'expires' ? { ttl: each.end - each.at } : {}
    taskIds.set(each, (await holdfast.start(each.kind, ms as never, ttl)).taskId)
  }
  const crash = async () => {
    await untilIdle(holdfast)
    disk.crash()
    holdfast = await openInMemory({ ...options, tasks })
    await holdfast.recovery.done
    await untilIdle(holdfast)
  }
  const events = [
    ...script.planned.map((each) => ({ at: each.at, act: () => start(each) })),
    ...script.planned
      .filter(({ kind, end }) => ['stopped', 'stuck', 'plain'].includes(kind) && end < END)
      .map((each) => ({ at: each.end, act: () => holdfast.cancel(taskIds.get(each) as string) })),
    ...script.crashes.map((at) => ({ at, act: crash })),
  ].sort((one, other) => one.at - other.at)
  for (const { at, act } of events) {
    await clock.advanceTo(at)
    await act()
  }
  await clock.advanceTo(END)
  await untilIdle(holdfast)

  const windows: [number, number][] = [[BEGIN, END]]
  for (let day = 0; day < 7; day++) windows.push([BEGIN + day * DAY, BEGIN + (day + 1) * DAY])
  for (let hour = 0; hour < 168; hour++) windows.push([BEGIN + hour * HOUR, BEGIN + (hour + 1) * HOUR])
  for (const [from, to] of windows) {
    const { window } = await holdfast.stats({ from, to })
    expect(window).toEqual({ from, to, levels: byHand(script, from, to) })
  }
  const week = (await holdfast.stats({ from: BEGIN, to: END })).window.levels
  expect(week.completed + week.failed + week.cancelled).toBeGreaterThan(0.99 * TASKS)
  // A crash keeps all of it: another process reads the same.
  disk.crash()
  const last = await openInMemory({ ...options, tasks, recover: 'manual' })
  expect((await last.stats({ from: BEGIN, to: END })).window.levels).toEqual(week)
  expect(brokenFormatLaws(disk.content)).toEqual([])
  console.info('a scripted week:', JSON.stringify(week))
}, 180_000)
