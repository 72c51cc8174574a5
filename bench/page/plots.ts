/** The plots of the page, as bars in groups. bench/peers/draw.mjs draws them. Pure. */
import { createHash } from 'node:crypto'
import { figureOf, type Range, type Result, rounded, type Sample, samplesOf } from '../result.js'

/** A bar: the median, with the least and the greatest; `null` where nothing was measured. */
type Bar = readonly [median: number, least: number, greatest: number] | null

/** A plot of bars, in groups. */
export interface Plot {
  /** Name of its file, without `.svg`. */
  readonly name: string
  readonly title: string
  readonly unit: string
  /** Names of the groups, from top to bottom. */
  readonly groups: readonly string[]
  /** Each series has a bar in every group. */
  readonly series: readonly { readonly name: string; readonly bars: readonly Bar[] }[]
  readonly isLogarithmic: boolean
}

/** The plots of a run. Those without a bar are left out. */
export function plotsOf(result: Result): Plot[] {
  const engines = Object.entries(result.engines).filter(([name, { skipped }]) => name !== 'limit' && !skipped)
  const titles = engines.map(([, { title }]) => title)
  const coldAndWarm = (workload: string, figure: string) =>
    (['cold', 'warm'] as const).map((state) => ({
      name: state,
      bars: engines.map(([name]) => bar(samplesOf(result, workload, name, state), figure)),
    }))
  const resumed = engines.filter(([name]) => samplesOf(result, 'w3', name).length > 0)
  const phases = {
    'first next step': 'firstNextStepMs',
    'all next steps': 'allNextStepsMs',
    'all complete': 'allCompleteMs',
  }
  const sizes = sizesOf(result)
  const calls = callsOf(result, 'w4').filter((call) => call.includes('('))
  const clients = callsOf(result, 'w6')
  const kinds = {
    'bare SDK server': 'bareCallsPerSecond',
    'durable, one function': 'functionCallsPerSecond',
    'durable, one step': 'callsPerSecond',
  }
  const plots: Plot[] = [
    {
      name: 'w1',
      title: 'W1: one task of 1,000 steps',
      unit: 'steps per second',
      groups: titles,
      series: coldAndWarm('w1', 'stepsPerSecond'),
      isLogarithmic: false,
    },
    {
      name: 'w2',
      title: 'W2: 1,000 tasks of 5 steps, 100 in flight',
      unit: 'tasks per second',
      groups: titles,
      series: coldAndWarm('w2', 'tasksPerSecond'),
      isLogarithmic: false,
    },
    {
      name: 'w3',
      title: 'W3: 1,000 tasks after a SIGKILL',
      unit: 'milliseconds from the start of the process, logarithmic',
      groups: resumed.map(([, { title }]) => title),
      series: Object.entries(phases).map(([name, figure]) => ({
        name,
        bars: resumed.map(([engine]) => bar(samplesOf(result, 'w3', engine), figure)),
      })),
      isLogarithmic: true,
    },
    {
      name: 'w4',
      title: 'W4: slowest of 30 calls, by the number of settled tasks',
      unit: 'milliseconds, logarithmic',
      groups: calls,
      series: sizes.map((settled) => ({
        name: settled.toLocaleString('en'),
        bars: calls.map((call) => bar(samplesFor(result, 'w4', call, settled), 'p99Ms')),
      })),
      isLogarithmic: true,
    },
    {
      name: 'w6',
      title: 'W6: tools/call over HTTP',
      unit: 'calls per second',
      groups: clients,
      series: Object.entries(kinds).map(([name, figure]) => ({
        name,
        bars: clients.map((call) => bar(samplesFor(result, 'w6', call), figure)),
      })),
      isLogarithmic: false,
    },
  ]
  return plots.filter(({ series }) => series.some(({ bars }) => bars.some((one) => one !== null)))
}

/** The sizes of W4's stores, in settled tasks. */
export function sizesOf(result: Result): number[] {
  return [...new Set(samplesOf(result, 'w4', 'holdfast').map(({ settled = 0 }) => settled))].sort(
    (one, other) => one - other,
  )
}

/** The calls or parts of a workload, in the order in which they were measured. */
export function callsOf(result: Result, workload: string): string[] {
  return [...new Set(samplesOf(result, workload, 'holdfast').flatMap(({ call }) => call ?? []))]
}

/** The samples of a call or part. */
export function samplesFor(result: Result, workload: string, call: string, settled?: number): Sample[] {
  return samplesOf(result, workload, 'holdfast').filter(
    (sample) => sample.call === call && (settled === undefined || sample.settled === settled),
  )
}

/** A comment that a drawing carries: the hash of its plot. */
export function markOf(plot: Plot): string {
  return `drawn from ${createHash('sha256').update(JSON.stringify(plot)).digest('hex')}`
}

function bar(samples: readonly Sample[], figure: string): Bar {
  const range: Range | undefined = figureOf(samples, figure)
  return range ? [rounded(range.median), rounded(range.least), rounded(range.greatest)] : null
}
