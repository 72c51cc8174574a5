/** The goals that the speed of Holdfast was planned with, and how a run meets them. Pure. */
import {
  figureOf,
  type MeasuredEngine,
  type Ratios,
  type Result,
  rangeOf,
  ratiosBetween,
  ratiosToLimit,
  ratiosWithin,
  type Sample,
  samplesOf,
} from '../result.js'
import { samplesFor, sizesOf } from './plots.js'

/** A figure of a run that a goal is compared with: its median, or the reason for which there is none. */
type Found = { readonly value: number; readonly note?: string } | { readonly none: string }

/** A goal: a figure, and the least or the most that it should be. */
export interface Goal {
  readonly title: string
  readonly least?: number
  readonly most?: number
  /** What follows the figure, such as ` ms`. */
  readonly unit?: string
  readonly measure: (result: Result) => Found
}

/** A goal, as a run meets it. */
export interface MeasuredGoal {
  readonly name: GoalName
  readonly goal: Goal
  readonly found: Found
  /** Share by which it is missed: 0 if it is met, `undefined` if it was not measured. */
  readonly missedBy: number | undefined
}

const NOT_MEASURED = { none: 'not measured' } as const

/** Every goal by its name, in the order in which they are shown. */
export const GOALS = {
  'w1-limit-cold': {
    title: 'W1 ÷ raw limit, cold',
    least: 0.26,
    measure: (result) => medianOf(ratiosToLimit(samplesOf(result, 'w1', 'holdfast', 'cold'), 'stepsPerSecond')),
  },
  'w1-limit-warm': {
    title: 'W1 ÷ raw limit, warm',
    least: 0.4,
    measure: (result) => medianOf(ratiosToLimit(samplesOf(result, 'w1', 'holdfast', 'warm'), 'stepsPerSecond')),
  },
  'w1-probe': {
    title: 'W1 ÷ probe, warm',
    least: 0.75,
    measure: (result) => toEngine(result, 'w1', 'probe', 'stepsPerSecond', 'warm'),
  },
  'w2-probe': {
    title: 'W2 ÷ probe, warm',
    least: 0.45,
    measure: (result) => toEngine(result, 'w2', 'probe', 'tasksPerSecond', 'warm'),
  },
  'w1-deferred': {
    title: 'W1 with deferred steps ÷ raw limit, warm',
    least: 1.3,
    measure: (result) =>
      medianOf(ratiosToLimit(samplesOf(result, 'w1', 'holdfast-deferred', 'warm'), 'stepsPerSecond')),
  },
  'w1-deferred-cpu': {
    title: 'Processor time of a deferred step in W1, warm',
    most: 130,
    unit: ' µs',
    measure: (result) => medianFigure(samplesOf(result, 'w1', 'holdfast-deferred', 'warm'), 'cpuMicrosPerStep'),
  },
  'w2-peer-cold': {
    title: 'W2 ÷ best peer, cold',
    least: 5,
    measure: (result) => toBestPeer(result, 'w2', 'tasksPerSecond', 'cold', 'greatest'),
  },
  'w2-peer-warm': {
    title: 'W2 ÷ best peer, warm',
    least: 6,
    measure: (result) => toBestPeer(result, 'w2', 'tasksPerSecond', 'warm', 'greatest'),
  },
  'w2-p99': {
    title: 'W2: p99 of a task ÷ the time in which 100 tasks end',
    most: 1.4,
    measure: (result) => {
      const ratios = samplesOf(result, 'w2', 'holdfast').map(
        ({ figures: { p99Ms = Number.NaN, tasksPerSecond = Number.NaN } }) => p99Ms / ((100 / tasksPerSecond) * 1_000),
      )
      return median(ratios)
    },
  },
  'w3-next': {
    title: 'W3: time to all next steps ÷ best peer',
    most: 0.55,
    measure: (result) => toBestPeer(result, 'w3', 'allNextStepsMs', 'all', 'least'),
  },
  'w3-complete': {
    title: 'W3: time until all are complete ÷ best peer',
    most: 0.5,
    measure: (result) => toBestPeer(result, 'w3', 'allCompleteMs', 'all', 'least'),
  },
  'w4-counts': {
    title: 'W4: operations, batches and keys read by a task, in the largest store ÷ in the empty one',
    least: 1,
    most: 1,
    measure: countsInLargest,
  },
  'w4-page': {
    title: 'W4: slowest of 30 first pages of `list` in the largest store, of any filter',
    most: 30,
    unit: ' ms',
    measure: (result) => greatestOfLists(result, 'p99Ms'),
  },
  'w4-loop': {
    title: 'W4: longest block of the event loop by `list` in the largest store',
    most: 5,
    unit: ' ms',
    measure: (result) => greatestOfLists(result, 'loopDelayMaxMs'),
  },
  'w5-time': {
    title: 'W5: last tenth of the steps ÷ first tenth',
    most: 1.15,
    measure: (result) => medianOf(ratiosWithin(samplesOf(result, 'w5', 'holdfast'), 'lastPartMs', 'firstPartMs')),
  },
  'w5-bytes': {
    title: 'W5: bytes after a compaction ÷ payload',
    most: 1.3,
    measure: (result) =>
      median(
        samplesOf(result, 'w5', 'holdfast').map(
          ({ figures: { bytes = Number.NaN, payloadBytes = Number.NaN } }) => bytes / payloadBytes,
        ),
      ),
  },
  'w6-p50': {
    title: 'W6: p50 of a tool of one function, 1 client ÷ bare server, the slower revision',
    most: 4,
    measure: (result) => worstRevision(result, '1 client', ['functionP50Ms', 'bareP50Ms'], Math.max),
  },
  'w6-rate': {
    title: 'W6: calls/s of a tool of one function, 32 clients ÷ bare server, the slower revision',
    least: 0.4,
    measure: (result) =>
      worstRevision(result, '32 clients', ['functionCallsPerSecond', 'bareCallsPerSecond'], Math.min),
  },
  'w7-p99': {
    title: 'W7: p99 of `tools/list`, with the tasks ÷ idle',
    most: 3,
    measure: (result) => medianOf(ratiosWithin(samplesOf(result, 'w7', 'holdfast'), 'p99Ms', 'idleP99Ms')),
  },
  'w7-loop': {
    title: 'W7: p99 of the event-loop delay with the tasks',
    most: 10,
    unit: ' ms',
    measure: (result) => medianFigure(samplesOf(result, 'w7', 'holdfast'), 'loopDelayP99Ms'),
  },
  'w8-live': {
    title: 'W8: heap of a live task',
    most: 10_000,
    unit: ' bytes',
    measure: (result) => medianFigure(samplesFor(result, 'w8', 'live'), 'heapBytesPerTask'),
  },
  'w8-asleep': {
    title: 'W8: heap of a sleeping task',
    most: 2_000,
    unit: ' bytes',
    measure: (result) => medianFigure(samplesFor(result, 'w8', 'asleep'), 'heapBytesPerTask'),
  },
  'w8-rss': {
    title: 'W8: RSS at 100,000 sleeping tasks',
    most: 400,
    unit: ' MB',
    measure: (result) => medianFigure(samplesFor(result, 'w8', 'asleep'), 'rssMb'),
  },
} as const satisfies Record<string, Goal>

/** Name of a goal. */
export type GoalName = keyof typeof GOALS

/** The goals, as a run meets them. */
export function goalsOf(result: Result): MeasuredGoal[] {
  return (Object.entries(GOALS) as [GoalName, Goal][]).map(([name, goal]) => {
    const found = goal.measure(result)
    return { name, goal, found, missedBy: 'value' in found ? missedBy(found.value, goal) : undefined }
  })
}

/**
 * The peer that Holdfast is compared with in a figure: the best one of those that sync what they acknowledge. A peer whose
 * syncs were counted at far below one a step is left out.
 */
export function bestPeer(
  result: Result,
  workload: string,
  figure: string,
  state: 'cold' | 'warm' | 'all',
  best: 'least' | 'greatest',
): readonly [name: string, engine: MeasuredEngine] | undefined {
  const sign = best === 'greatest' ? -1 : 1
  return Object.entries(result.engines)
    .filter(([, engine]) => engine.package && isSynced(engine))
    .flatMap(([name, engine]) => {
      const range = figureOf(samplesOf(result, workload, name, state), figure)
      return range ? [{ name, engine, value: sign * range.median }] : []
    })
    .sort((one, other) => one.value - other.value)
    .map(({ name, engine }) => [name, engine] as const)[0]
}

function isSynced({ syncs }: MeasuredEngine): boolean {
  return syncs === undefined || !('perStep' in syncs) || syncs.perStep >= 0.5
}

function missedBy(value: number, { least = Number.NEGATIVE_INFINITY, most = Number.POSITIVE_INFINITY }: Goal): number {
  if (value < least) return 1 - value / least
  return value > most ? value / most - 1 : 0
}

function toEngine(result: Result, workload: string, engine: string, figure: string, state: 'cold' | 'warm' | 'all') {
  const [ours, theirs] = ['holdfast', engine].map((name) => samplesOf(result, workload, name, state))
  return medianOf(ratiosBetween(ours ?? [], theirs ?? [], figure))
}

function toBestPeer(
  result: Result,
  workload: string,
  figure: string,
  state: 'cold' | 'warm' | 'all',
  best: 'least' | 'greatest',
): Found {
  const peer = bestPeer(result, workload, figure, state, best)
  if (!peer) return NOT_MEASURED
  return { ...toEngine(result, workload, peer[0], figure, state), note: peer[1].title }
}

/** The ratio that differs most from 1. */
function countsInLargest(result: Result): Found {
  const [empty, ...larger] = sizesOf(result).map((size) => samplesFor(result, 'w4', 'task', size)[0]?.figures)
  const largest = larger.at(-1)
  if (!empty || !largest) return NOT_MEASURED
  const ratios = ['operations', 'batches', 'readKeys'].map((name) => {
    const [before, after] = [empty[name], largest[name]]
    return before === after ? 1 : Number(after) / Number(before)
  })
  return { value: ratios.reduce((one, other) => (Math.abs(one - 1) >= Math.abs(other - 1) ? one : other)) }
}

function greatestOfLists(result: Result, figure: string): Found {
  const size = sizesOf(result).at(-1)
  const found = samplesOf(result, 'w4', 'holdfast').filter(
    ({ call, settled }) => settled === size && call?.startsWith('list('),
  )
  const worst = found.sort((one, other) => (other.figures[figure] ?? 0) - (one.figures[figure] ?? 0))[0]
  return worst ? { value: worst.figures[figure] ?? Number.NaN, note: `\`${worst.call}\`` } : NOT_MEASURED
}

function worstRevision(
  result: Result,
  clients: string,
  [figure, to]: readonly [figure: string, to: string],
  worst: (...values: number[]) => number,
): Found {
  const found = ['2025-11-25', '2026-07-28'].map((revision) =>
    medianOf(ratiosWithin(samplesFor(result, 'w6', `${revision}, ${clients}`), figure, to)),
  )
  const values = found.flatMap((one) => ('value' in one ? one.value : []))
  return values.length === found.length ? { value: worst(...values) } : (found.find((one) => 'none' in one) as Found)
}

function medianOf({ range, measured }: Ratios): Found {
  if (measured === 0) return NOT_MEASURED
  return range ? { value: range.median } : { none: 'not printed: the raw limit moved' }
}

function medianFigure(samples: readonly Sample[], figure: string): Found {
  const range = figureOf(samples, figure)
  return range ? { value: range.median } : NOT_MEASURED
}

function median(values: readonly number[]): Found {
  const range = rangeOf(values)
  return range ? { value: range.median } : NOT_MEASURED
}
