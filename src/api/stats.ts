/**
 * Figures of `stats()`: unfinished tasks from counts in memory, settled tasks from counters on disk, bytes from the
 * database.
 */

import type { Engine } from '../engine/core/engine.js'
import type { LiveTask } from '../engine/core/live-task.js'
import type { ServiceLevels } from '../engine/core/service-levels.js'
import { KINDS, timersDue } from '../store/disk/layout.js'
import type { Level } from '../store/disk/level.js'
import { readKeys } from '../store/reads.js'
import { isSettled, type TaskStatus } from '../task/head.js'
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
