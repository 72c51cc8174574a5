/** The log of a task for people: by segment, with states and times, without results. */

import { readConsistent } from '../engine/core/consistent-read.js'
import type { Engine } from '../engine/core/engine.js'
import { readLog } from '../store/read-log.js'
import type { TaskHead } from '../task/head.js'
import { type AttemptInfo, attemptsOf } from '../task/log/attempts.js'
import { countedIn, type LogRecord, type NamedKind } from '../task/log/records.js'
import { PREFIX } from '../task/log/segment.js'

/** One entry of the log. Instants are milliseconds since the epoch. */
export interface StepInfo {
  readonly kind: NamedKind | 'checkpoint'
  /** Name of the call, or ID of the checkpoint. */
  readonly name: string
  /** Number of the call among those of its name in its segment, from 1. A checkpoint has number 1. */
  readonly number: number
  /** Branch of the call, such as `race#1.timeout`; `undefined` in the body itself. */
  readonly branch?: string | undefined
  readonly state: 'running' | 'completed' | 'failed'
  /** Start of the call; a checkpoint has none. */
  readonly startedAt: number | undefined
  /** Instant of the record; `undefined` while the call runs. */
  readonly recordedAt: number | undefined
  readonly attempts: number
  /**
   * The last attempts of a finished step, at most ten. An attempt that a crash or a close interrupted is not counted.
   * `undefined` for other entries, and for a step of several attempts that an older version recorded.
   */
  readonly lastAttempts?: readonly AttemptInfo[] | undefined
  /** Error of a failed step: name and message. */
  readonly error?: { readonly name: string; readonly message: string } | undefined
  /** Text about a finished step for people, from its option `summary`. */
  readonly summary?: string | undefined
  /** Label of a checkpoint. */
  readonly label?: string | undefined
}

/** Entries of one segment, in the order of their records. Running calls come last. */
export interface SegmentInfo {
  /** Name of the segment: `'prefix'` before the first restore or save, then 0, 1, … */
  readonly segment: 'prefix' | number
  readonly steps: readonly StepInfo[]
}

/**
 * Reads the log of a task, with its running calls.
 * @param valuesOf further fields of the entry of a record, such as its result
 */
export async function readSteps(
  engine: Pick<Engine, 'store' | 'tasks'>,
  found: TaskHead,
  valuesOf: (record: LogRecord) => object = () => ({}),
): Promise<SegmentInfo[]> {
  const { head, value: log } = await readConsistent(engine, found, readLog)
  const segments = new Map<number, StepInfo[]>()
  const add = (segment: number, info: StepInfo) => {
    const there = segments.get(segment)
    if (there) there.push(info)
    else segments.set(segment, [info])
  }
  for (const { record } of log) add(countedIn(record), { ...infoOf(record), ...valuesOf(record) })
  const recorded = new Set(log.map(({ record }) => `${record.segment}/${record.scope}/${record.ask}`))
  for (const { ask, startedAt } of engine.tasks.get(head.taskId)?.slot.run?.begun ?? []) {
    const { name } = ask
    if (name.kind === 'checkpoint' || recorded.has(`${ask.segment}/${ask.scope}/${ask.ask}`)) continue
    const running = { state: 'running', startedAt, recordedAt: undefined, attempts: 1 } as const
    const branch = ask.scope === '' ? undefined : ask.scope
    add(ask.segment, { ...running, kind: name.kind, name: name.name, number: name.number, branch })
  }
  return [...segments]
    .sort(([one], [other]) => one - other)
    .map(([segment, steps]) => ({ segment: segment === PREFIX ? 'prefix' : segment, steps }))
}

function infoOf(record: LogRecord): StepInfo {
  const { kind, at: recordedAt } = record
  if (record.kind === 'checkpoint') {
    const { checkpointId: name, label } = record
    return { kind, name, number: 1, state: 'completed', startedAt: undefined, recordedAt, attempts: 1, label }
  }
  const { name, number, startedAt, scope } = record
  const failed = 'failed' in record ? record.failed : undefined
  const isStep = record.kind === 'step'
  const attempts = isStep ? record.attempts : 1
  const lastAttempts = isStep ? attemptsOf(record) : undefined
  const summary = isStep ? record.summary : undefined
  const error = failed && { name: failed.name, message: failed.message }
  const branch = scope === '' ? undefined : scope
  const state = failed ? 'failed' : 'completed'
  return { kind, name, number, branch, state, startedAt, recordedAt, attempts, lastAttempts, error, summary }
}
