/** Medians, ranges, and how they are shown to a person. */
import type { Figures, WorkloadName } from './workloads.js'

/** The medians by name, and under `range` the least and the greatest. */
export type Summary = Readonly<Record<string, number | Readonly<Record<string, readonly [number, number]>>>>

/** Sums up the repetitions of a workload. */
export function summarise(repetitions: readonly Figures[]): Summary {
  const medians: Record<string, number> = {}
  const range: Record<string, readonly [number, number]> = {}
  for (const name of Object.keys(repetitions[0] ?? {})) {
    const sorted = repetitions.map((figures) => figures[name] ?? Number.NaN).sort((one, other) => one - other)
    medians[name] = round(median(sorted))
    range[name] = [round(sorted.at(0) ?? 0), round(sorted.at(-1) ?? 0)]
  }
  return { ...medians, range }
}

function median(sorted: readonly number[]): number {
  const middle = sorted.slice(Math.ceil(sorted.length / 2) - 1, Math.floor(sorted.length / 2) + 1)
  return middle.reduce((sum, value) => sum + value, 0) / middle.length
}

// Three digits are more than repetitions agree on.
function round(value: number): number {
  return Math.abs(value) >= 100 ? Math.round(value) : Number(value.toPrecision(3))
}

// What is shown, the ratios first.
const OF_STEPS = [
  ['ratioToLimit', 'steps per raw write'],
  ['stepsPerSecond', 'steps/s'],
  ['limitPerSecond', 'raw limit, writes/s'],
  ['cpuMicrosPerStep', 'processor µs per step'],
] as const
const SHOWN: Readonly<Record<WorkloadName, readonly (readonly [figure: string, label: string])[]>> = {
  w1: OF_STEPS,
  w1d: OF_STEPS,
  w2: [
    ['ratioToLimit', 'steps per raw write'],
    ['tasksRatioToLimit', 'tasks per raw write'],
    ['tasksPerSecond', 'tasks/s'],
    ['stepsPerSecond', 'steps/s'],
    ['limitPerSecond', 'raw limit, writes/s'],
    ['p50Ms', 'ms from start to result, median'],
    ['p99Ms', 'ms from start to result, 99 %'],
    ['cpuMicrosPerTask', 'processor µs per task'],
  ],
  w3: [
    ['firstNextStepMs', 'ms to the first next step'],
    ['allNextStepsMs', 'ms to all next steps'],
    ['allCompleteMs', 'ms to all complete'],
    ['openMs', 'ms until the store was open'],
    ['rerunSteps', 'completed steps run again'],
    ['limitPerSecond', 'raw limit, writes/s'],
  ],
}

const TITLES: Readonly<Record<WorkloadName, string>> = {
  w1: 'W1  one task, 1,000 steps, each durable before the next',
  w1d: 'W1d one task, 1,000 deferred steps',
  w2: 'W2  1,000 tasks of 5 steps, 100 in flight',
  w3: 'W3  1,000 tasks with 10 of 20 steps done, SIGKILL, start again (from the start of the process)',
}

/** A workload's figures as lines of text. */
export function describe(name: WorkloadName, summary: Summary): string {
  const range = summary['range'] as Readonly<Record<string, readonly [number, number]>>
  const lines = SHOWN[name].map(([figure, label]) => {
    const [least, greatest] = range[figure] ?? []
    return `  ${String(summary[figure]).padStart(8)}  ${label} (${least}–${greatest})`
  })
  return [TITLES[name], ...lines, ...warning(range['limitPerSecond']), ''].join('\n')
}

// An idle disk answers alike from one second to the next. Where it did not, something else was using it.
const LIMIT_SPREAD_MAX = 1.5

function warning([least, greatest]: readonly [number, number] = [1, 1]): string[] {
  if (greatest / least <= LIMIT_SPREAD_MAX) return []
  return [
    '  The raw limit itself varied too much for these ratios to mean anything: the machine was busy. Measure again.',
  ]
}
