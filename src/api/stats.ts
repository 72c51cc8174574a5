/**
 * Figures of `stats()`: unfinished tasks from counts in memory, settled tasks from counters on disk, bytes from the
 * database.
 */

import { instantOf } from '../base/duration.js'
import { checkOptionsOf, InvalidArgument, type Names } from '../base/expected.js'
import type { Engine } from '../engine/core/engine.js'
import type { LiveTask } from '../engine/core/live-task.js'
import type { ServiceLevels, WindowLevels } from '../engine/core/service-levels.js'
import { KINDS, timersDue } from '../store/disk/layout.js'
import type { Level } from '../store/disk/level.js'
import { readKeys } from '../store/reads.js'
import { isSettled, type TaskStatus } from '../task/head.js'
import { HOUR_MS, hourOf, oldestHourKept } from '../task/hour-counters.js'
import type { TaskFigure, Telemetry } from '../task/telemetry.js'

/** Result of `holdfast.stats()`. Instants are milliseconds since the epoch. */
export interface Stats {
  /**
   * Tasks that are kept, by status: unfinished ones as they are on disk; settled ones by counters that each settling and
   * each sweep moves, so no range is walked.
   */
  readonly tasks: Readonly<Record<TaskStatus, number>>
  /** Unfinished tasks that are parked. */
  readonly parked: number
  /** The unfinished task with the earliest creation. */
  readonly oldest: { readonly taskId: string; readonly type: string; readonly createdAt: number } | undefined
  readonly bytes: {
    /** Bytes that budgets count: the values of tasks as JSON, and a fixed sum for each task. */
    readonly counted: number
    /**
     * Bytes of the database's files by kind of key, compressed, and with what is deleted and not compacted
     * yet. The last writes, up to 4 MiB, are not counted.
     */
    readonly onDisk: Readonly<Record<keyof typeof KINDS, number>>
  }
  /** Timers that are due and that the next sweep acts on. 10,000 stands for that many or more. */
  readonly timersDue: number
  /** Runs in memory: bodies that have a slot, and those that wait and are not unloaded. See `limits.loadedRunsMax`. */
  readonly loadedRuns: number
  /** Functions of steps that still run although no task waits for them. */
  readonly leakedFunctions: number
  /** Faults of the anchor file since this instance was opened. Each is logged. */
  readonly anchor: {
    /** Writes that failed. */
    readonly failedWrites: number
    /** Slots that were damaged at the open, and were written again. */
    readonly damagedSlots: number
  }
  readonly levels: {
    /** Since this instance was opened. */
    readonly sinceOpen: ServiceLevels
    /** Since the store was created. */
    readonly overLife: ServiceLevels
  }
}

/** The options of `stats`: the window of service levels. Hours are those of UTC, and are kept for 30 days. */
export interface StatsOptions {
  /**
   * Beginning of the window: a `Date`, or milliseconds since the epoch. The window has the whole hour of this instant.
   * @default the oldest hour that is kept
   */
  readonly from?: Date | number | undefined
  /**
   * End of the window: a `Date`, or milliseconds since the epoch. The window has the whole hour of the last instant before it.
   * @default the end of the current hour
   */
  readonly to?: Date | number | undefined
}

/** A window of full hours (UTC), and its service levels. Instants are milliseconds since the epoch. */
export interface StatsWindow {
  /** Beginning of the first hour. Later than requested if older hours are not kept. */
  readonly from: number
  /** End of the last hour. */
  readonly to: number
  readonly levels: WindowLevels
}

/** Result of `holdfast.stats(options)`. */
export interface StatsOverWindow extends Stats {
  readonly window: StatsWindow
}

/** Names of the options. */
export const STATS_OPTIONS: Names<StatsOptions> = { from: true, to: true }

const TIMERS_COUNTED_MAX = 10_000

/** Reads the figures. */
export async function readStats(engine: Engine): Promise<Stats> {
  const { store, clock, leaks, loaded, usage, serviceLevels } = engine
  const { bytes, timers } = await store.read(async (level) => ({
    bytes: await bytesOnDisk(level),
    timers: (await readKeys(level, timersDue(clock.now()), TIMERS_COUNTED_MAX)).length,
  }))
  return {
    ...countTasks(engine),
    bytes: { counted: usage.total, onDisk: bytes },
    timersDue: timers,
    loadedRuns: loaded.count,
    leakedFunctions: leaks.running,
    anchor: store.anchorFaults,
    levels: { sinceOpen: serviceLevels.sinceOpen, overLife: serviceLevels.overLife },
  }
}

/** Reads the figures, with those of a window. @throws TypeError for a window without a kept hour */
export async function readStatsOver(engine: Engine, options: StatsOptions): Promise<StatsOverWindow> {
  const { from, to } = windowOf(options, engine.clock.now())
  const stats = await readStats(engine)
  return { ...stats, window: { from, to, levels: engine.serviceLevels.between(from, to) } }
}

/** The full hours of a window. */
function windowOf(options: StatsOptions, now: number): { from: number; to: number } {
  checkOptionsOf('stats', options, STATS_OPTIONS)
  const oldest = oldestHourKept(now)
  const from = options.from === undefined ? oldest : instantOf(options.from, 'from')
  const to = options.to === undefined ? hourOf(now) + HOUR_MS : instantOf(options.to, 'to')
  if (to <= oldest) {
    const first = new Date(oldest).toISOString()
    throw new InvalidArgument(`Expected \`to\` to be after ${first}: counters of older hours are not kept`)
  }
  if (from >= to) {
    const [early, late] = [new Date(to).toISOString(), new Date(from).toISOString()]
    throw new InvalidArgument(`Expected \`from\` to be before \`to\`, got ${late} and ${early}`)
  }
  return { from: Math.max(hourOf(from), oldest), to: hourOf(to - 1) + HOUR_MS }
}

function countTasks({ store, tasks }: Pick<Engine, 'store' | 'tasks'>): Pick<Stats, 'tasks' | 'parked' | 'oldest'> {
  const { completed, failed, cancelled, sweptCompleted, sweptFailed, sweptCancelled } = store.totals.current
  const { byStatus, parked } = tasks.counts
  const oldest = tasks.oldest?.committed
  return {
    tasks: {
      ...byStatus,
      completed: completed - sweptCompleted,
      failed: failed - sweptFailed,
      cancelled: cancelled - sweptCancelled,
    },
    parked,
    oldest: oldest && { taskId: oldest.taskId, type: oldest.type, createdAt: oldest.createdAt },
  }
}

async function bytesOnDisk(level: Level): Promise<Stats['bytes']['onDisk']> {
  const sizes: [string, number][] = []
  for (const [kind, prefixes] of Object.entries(KINDS)) {
    let bytes = 0
    for (const prefix of prefixes) bytes += await level.approximateSize(`${prefix}/`, `${prefix}0`)
    sizes.push([kind, bytes])
  }
  return Object.fromEntries(sizes) as Stats['bytes']['onDisk']
}

/** Hands the figures of an engine to a telemetry until the engine closes. */
export function observeEngine(engine: Engine, telemetry: Telemetry): void {
  const { store, tasks, closingBegan } = engine
  store.onBatch((commits, ms) => telemetry.record({ kind: 'batch', commits, ms }))
  const stop = telemetry.observe({
    tasks: () => taskFigures(tasks.values()),
    storeBytes: () => store.read(bytesOnDisk),
  })
  void closingBegan.then(stop)
}

/** Counts the unfinished tasks on disk. */
function taskFigures(tasks: Iterable<LiveTask>): TaskFigure[] {
  const figures = new Map<string, { status: TaskStatus; type: string | undefined; count: number; parked: number }>()
  for (const { counted, head } of tasks) {
    if (!counted || isSettled(counted.status)) continue
    const { status } = counted
    const type = head.kind === 'session' ? undefined : head.type
    const key = `${status} ${type ?? ''}`
    const figure = figures.get(key) ?? { status, type, count: 0, parked: 0 }
    figure.count++
    if (counted.isParked) figure.parked++
    figures.set(key, figure)
  }
  return [...figures.values()]
}
