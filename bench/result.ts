/** The result of a run of the bench: what is stored as JSON in data/bench, and what is computed from it. Pure. */

/** Figures of one repetition, by name. */
export type Figures = Readonly<Record<string, number>>

/** One repetition of a workload. */
export interface Sample {
  readonly workload: string
  /** Name of the engine, as in engines.ts. */
  readonly engine: string
  /** Number of the round, from 0. */
  readonly round: number
  /** Number of the repetition in its process, from 0. The first one is the cold one. */
  readonly rep: number
  /** The call or the part that the figures are of; for W4, W6 and W8. */
  readonly call?: string | undefined
  /** Settled tasks that the store was filled with; for W4. */
  readonly settled?: number | undefined
  /** Appends per second of the raw limit, just before and just after. */
  readonly limits?: readonly [before: number, after: number] | undefined
  readonly figures: Figures
}

/** A sample, but for the turn that it belongs to. */
export type Measured = Omit<Sample, 'workload' | 'engine' | 'round'>

/** A workload of an engine in a round. */
export interface PlannedTurn {
  /** Number of the round, from 0. */
  readonly round: number
  /** Name of the workload, or `syncs` for the count of syncs. */
  readonly workload: string
  readonly engine: string
}

/** A turn that has ended. */
export interface MeasuredTurn extends PlannedTurn {
  readonly seconds: number
  /** Load average of the machine over one minute, just before the turn. */
  readonly load: number
}

/** A turn that has ended, with what it gave. */
export type Turn = MeasuredTurn &
  ({ readonly samples: readonly Measured[]; readonly syncs?: Syncs } | { readonly error: string })

/** Number of syncs of the disk that a step takes, counted by strace; or the reason for which they were not counted. */
export type Syncs = { readonly perStep: number } | { readonly notCounted: string }

/** An engine of a run. */
export interface MeasuredEngine {
  readonly title: string
  readonly note: string
  readonly isDistributed: boolean
  readonly package?: { readonly name: string; readonly version: string | undefined } | undefined
  readonly node: string
  /** The reason for which it was not measured. */
  readonly skipped?: string | undefined
  readonly syncs?: Syncs | undefined
}

/** A run of the bench. */
export interface Result {
  readonly schema: 3
  readonly date: string
  readonly version: string
  readonly commit: string
  readonly node: string
  readonly machine: {
    readonly platform: string
    readonly processors: number
    readonly model: string
    /** Load averages of the machine over 1, 5 and 15 minutes. */
    readonly loadBefore: readonly number[]
    readonly loadAfter: readonly number[]
  }
  readonly rounds: number
  readonly reps: number
  /** Share of the full size; 1 in a run that is worth reading. */
  readonly scale: number
  readonly engines: Readonly<Record<string, MeasuredEngine>>
  /** Workloads that ended with an error. Their engine has fewer samples of them. */
  readonly failures: readonly { readonly workload: string; readonly engine: string; readonly error: string }[]
  readonly turns: readonly MeasuredTurn[]
  readonly samples: readonly Sample[]
}

/** A median with the least and the greatest value. */
export interface Range {
  readonly median: number
  readonly least: number
  readonly greatest: number
}

/** The range of `values`; `undefined` of none. */
export function rangeOf(values: readonly number[]): Range | undefined {
  if (values.length === 0) return undefined
  const sorted = [...values].sort((one, other) => one - other)
  const middle = sorted.slice(Math.ceil(sorted.length / 2) - 1, Math.floor(sorted.length / 2) + 1)
  return {
    median: middle.reduce((sum, value) => sum + value, 0) / middle.length,
    least: sorted[0] as number,
    greatest: sorted.at(-1) as number,
  }
}

/** A ratio between measurements whose raw limits differ by more than this factor is not printed. */
export const LIMIT_SPREAD_MAX = 1.5

/** Ratios that may be printed, of all that were measured. */
export interface Ratios {
  /** `undefined` if the raw limit moved too much during all of them. */
  readonly range: Range | undefined
  readonly printed: number
  readonly measured: number
}

/** Samples of a workload of an engine; only cold ones, or only warm ones: those of the last repetition. */
export function samplesOf(
  { samples, reps }: Pick<Result, 'samples' | 'reps'>,
  workload: string,
  engine: string,
  state: 'cold' | 'warm' | 'all' = 'all',
): Sample[] {
  const rep = state === 'cold' ? 0 : reps - 1
  return samples.filter(
    (sample) => sample.workload === workload && sample.engine === engine && (state === 'all' || sample.rep === rep),
  )
}

/** The range of a figure. */
export function figureOf(samples: readonly Sample[], name: string): Range | undefined {
  return rangeOf(samples.flatMap(({ figures }) => figures[name] ?? []))
}

/** Ratios of a figure to the raw limit that was measured with it. */
export function ratiosToLimit(samples: readonly Sample[], name: string): Ratios {
  return ratiosOf(
    samples.flatMap(({ limits, figures }) => {
      const figure = figures[name]
      if (!limits || figure === undefined) return []
      return { ratio: figure / ((limits[0] + limits[1]) / 2), limits }
    }),
  )
}

/** Ratios of two figures of each sample. */
export function ratiosWithin(samples: readonly Sample[], name: string, to: string): Ratios {
  return ratiosOf(
    samples.flatMap(({ limits = [], figures }) => {
      const [figure, other] = [figures[name], figures[to]]
      return figure === undefined || other === undefined ? [] : { ratio: figure / other, limits }
    }),
  )
}

/** Ratios of a figure of one engine to that of another, in the same round and the same repetition. */
export function ratiosBetween(ours: readonly Sample[], theirs: readonly Sample[], name: string): Ratios {
  return ratiosOf(
    ours.flatMap(({ round, rep, limits = [], figures }) => {
      const other = theirs.find((sample) => sample.round === round && sample.rep === rep)
      const [figure, otherFigure] = [figures[name], other?.figures[name]]
      if (figure === undefined || otherFigure === undefined) return []
      return { ratio: figure / otherFigure, limits: [...limits, ...(other?.limits ?? [])] }
    }),
  )
}

function ratiosOf(found: readonly { ratio: number; limits: readonly number[] }[]): Ratios {
  const printed = found.filter(({ limits }) => spreadOf(limits) <= LIMIT_SPREAD_MAX).map(({ ratio }) => ratio)
  return { range: rangeOf(printed), printed: printed.length, measured: found.length }
}

/** The greatest limit as a multiple of the least one. */
export function spreadOf(limits: readonly number[]): number {
  return limits.length === 0 ? 1 : Math.max(...limits) / Math.min(...limits)
}

/** Every measurement of the raw limit of a run. */
export function limitsOf({ samples }: Pick<Result, 'samples'>): number[] {
  return samples.flatMap(({ limits }) => limits ?? [])
}

/** The medians of figures by name, and under `range` the least and the greatest: the line that `--json` prints. */
export function summarise(samples: readonly Sample[]): Record<string, unknown> {
  const names = Object.keys(samples[0]?.figures ?? {})
  const ranges = names.flatMap((name) => {
    const range = figureOf(samples, name)
    return range ? [[name, range] as const] : []
  })
  const limit = rangeOf(samples.flatMap(({ limits }) => (limits ? [(limits[0] + limits[1]) / 2] : [])))
  const all = limit ? [...ranges, ['limitPerSecond', limit] as const] : ranges
  return {
    ...Object.fromEntries(all.map(([name, { median }]) => [name, rounded(median)])),
    range: Object.fromEntries(all.map(([name, range]) => [name, [rounded(range.least), rounded(range.greatest)]])),
  }
}

/** Three digits: more than repetitions agree on. */
export function rounded(value: number): number {
  return Math.abs(value) >= 100 ? Math.round(value) : Number(value.toPrecision(3))
}
