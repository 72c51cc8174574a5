/**
 * Metrics of an instance. Their number is bounded: statuses, kinds and actions are fixed sets, and at most `TYPES_MAX` types of
 * tasks have a label of their own. A figure that cannot be read, because the store is down or closed, is left out.
 */
import { setImmediate as turn } from 'node:timers/promises'
import { type Health, readHealth } from '../api/health.js'
import { readStats, type Stats } from '../api/stats.js'
import type { Engine } from '../engine/core/engine.js'
import type { RecoveredTask } from '../engine/core/recovery-report.js'
import { BATCH_SECONDS_BOUNDS, type BatchTimesHistogram } from '../store/disk/batch-times.js'
import { type MetricFamily, type MetricSample, prometheusText } from './prometheus.js'

export { METRICS_CONTENT_TYPE } from './prometheus.js'

/** Types of tasks with a label of their own. */
const TYPES_MAX = 100
/** Label of every other type. */
const OTHER = 'other'
/** Tasks that are counted in one turn of the event loop. */
const TASKS_PER_TURN = 5_000

const ACTIONS = Object.keys({
  resumed: true,
  parked: true,
  settled: true,
  waiting: true,
  'cleaning-up': true,
  kept: true,
  damaged: true,
} satisfies Record<RecoveredTask['action'], true>) as RecoveredTask['action'][]
const STORE_STATES: readonly Health['store']['state'][] = ['up', 'down', 'lost', 'closed']
const RECOVERY_STATES: readonly Health['recovery']['state'][] = ['held', 'waiting', 'running', 'done']

/** Chooses the types that have a label. A type that has one keeps it, so that no series moves to another. */
export class TypeLabels {
  readonly #types = new Set<string>()

  labelOf(type: string): string {
    if (this.#types.has(type)) return type
    if (this.#types.size >= TYPES_MAX) return OTHER
    this.#types.add(type)
    return type
  }
}

/** Reads the figures, and writes them. Rejects only for a fault. */
export async function metricsText(engine: Engine, labels: TypeLabels): Promise<string> {
  const health = await readHealth(engine)
  // `undefined` while the store is down or closed.
  const stats = await readStats(engine).catch(() => undefined)
  const byType = await countByType(engine, labels)
  const commits = commitFamily(engine.store.batchTimes)
  return prometheusText([...healthFamilies(health), ...taskFamilies(engine, byType), ...storeFamilies(stats), commits])
}

function healthFamilies({ live, ready, recovery, store, disk, damage }: Health): MetricFamily[] {
  return [
    gauge('holdfast_live', '1 if the instance is live, else 0.', [{ value: Number(live) }]),
    gauge('holdfast_ready', '1 if tasks are started and run, else 0.', [{ value: Number(ready) }]),
    gauge('holdfast_store_state', '1 for the state of the store, else 0.', oneOf(STORE_STATES, store.state)),
    gauge(
      'holdfast_recovery_state',
      '1 for the state of the recovery, else 0.',
      oneOf(RECOVERY_STATES, recovery.state),
    ),
    gauge('holdfast_recovery_left', 'Found tasks that the recovery has not continued yet.', [{ value: recovery.left }]),
    gauge(
      'holdfast_disk_free_bytes',
      'Free bytes of the file system of the store.',
      disk && [{ value: disk.freeBytes }],
    ),
    gauge('holdfast_disk_total_bytes', 'Bytes of the file system of the store.', disk && [{ value: disk.totalBytes }]),
    gauge('holdfast_damaged_tasks', 'Tasks whose head cannot be read.', [{ value: damage.tasks }]),
    gauge('holdfast_store_damaged', '1 if damage of the store was accepted at the open, else 0.', [
      { value: Number(damage.store !== undefined) },
    ]),
  ]
}

function taskFamilies({ report, scheduler }: Engine, byType: readonly MetricSample[]): MetricFamily[] {
  const outcomes = new Map<string, number>(ACTIONS.map((action) => [action, 0]))
  for (const { action } of report.tasks) outcomes.set(action, (outcomes.get(action) as number) + 1)
  const recovered = [...outcomes].map(([action, value]) => ({ labels: { action }, value }))
  return [
    gauge('holdfast_unfinished_tasks', 'Unfinished tasks by type and status.', byType),
    gauge('holdfast_queued_tasks', 'Tasks that wait for a slot.', [{ value: scheduler.waiting }]),
    gauge('holdfast_recovered_tasks', 'Tasks that the recovery of this opening found, by result.', recovered),
  ]
}

function storeFamilies(stats: Stats | undefined): MetricFamily[] {
  if (!stats) return []
  const labelled = (name: string, values: Readonly<Record<string, number>>) =>
    Object.entries(values).map(([key, value]) => ({ labels: { [name]: key }, value }))
  const { overLife } = stats.levels
  const { completed, failed, cancelled } = overLife
  return [
    gauge('holdfast_tasks', 'Tasks that are kept, by status.', labelled('status', stats.tasks)),
    gauge('holdfast_parked_tasks', 'Unfinished tasks that are parked.', [{ value: stats.parked }]),
    gauge('holdfast_store_bytes', 'Bytes of the database by kind of record.', labelled('kind', stats.bytes.onDisk)),
    gauge('holdfast_counted_bytes', 'Bytes that the budgets of limits count.', [{ value: stats.bytes.counted }]),
    gauge('holdfast_timers_due', 'Timers that are due, up to 10,000.', [{ value: stats.timersDue }]),
    gauge('holdfast_loaded_runs', 'Runs in memory.', [{ value: stats.loadedRuns }]),
    {
      name: 'holdfast_settled_tasks_total',
      type: 'counter',
      help: 'Tasks that have settled since the store was created, by status.',
      samples: labelled('status', { completed, failed, cancelled }),
    },
  ]
}

/** Times that commits waited for the disk. Commits that were written in one batch waited together, and count once. */
function commitFamily({ atMost, count, seconds }: BatchTimesHistogram): MetricFamily {
  const buckets = atMost.map((value, at) => ({
    suffix: '_bucket',
    labels: { le: String(BATCH_SECONDS_BOUNDS[at]) },
    value,
  }))
  return {
    name: 'holdfast_commit_seconds',
    type: 'histogram',
    help: 'Seconds from the write of a batch of commits to its acknowledgement.',
    samples: [
      ...buckets,
      { suffix: '_bucket', labels: { le: '+Inf' }, value: count },
      { suffix: '_sum', value: seconds },
      { suffix: '_count', value: count },
    ],
  }
}

/** Counts unfinished tasks a slice at a time. Tasks that change meanwhile are counted before or after the change. */
async function countByType({ tasks, registry }: Engine, labels: TypeLabels): Promise<MetricSample[]> {
  for (const name of registry.names) labels.labelOf(name)
  const counts = new Map<string, { labels: { type: string; status: string }; value: number }>()
  let looked = 0
  for (const { head, counted } of tasks.values()) {
    if (++looked % TASKS_PER_TURN === 0) await turn()
    // A task is counted from its first commit on. A settled one only has its clean-up left.
    if (!counted || !UNFINISHED.has(counted.status)) continue
    const type = labels.labelOf(head.type)
    const { status } = counted
    const key = `${status} ${type}`
    const count = counts.get(key)
    if (count) count.value++
    else counts.set(key, { labels: { type, status }, value: 1 })
  }
  return [...counts.values()]
}

const UNFINISHED: ReadonlySet<string> = new Set(['pending', 'running', 'input_required'])

function gauge(name: string, help: string, samples: readonly MetricSample[] | undefined): MetricFamily {
  return { name, type: 'gauge', help, samples: samples ?? [] }
}

function oneOf(states: readonly string[], current: string): MetricSample[] {
  return states.map((state) => ({ labels: { state }, value: Number(state === current) }))
}
