/** The log of a task as people read it: by segment, with states and times, and without results. */
import { readLog } from '../store/reads.js'
import { PREFIX, type TaskHead } from '../task/head.js'
import { countedIn, type LogRecord } from '../task/log.js'
import type { Engine } from './engine.js'
import { readSteady } from './read-steady.js'

/** One entry of the log. Instants are milliseconds since the epoch. */
export interface StepInfo {
  readonly kind: 'step' | 'sleep' | 'checkpoint'
  /** The step's or the sleep's name, or the checkpoint's ID. */
  readonly name: string
  /** The how-manieth of its name in its segment; a checkpoint is always the first. */
  readonly number: number
  readonly state: 'running' | 'completed' | 'failed'
  /** When it began; a checkpoint has none. */
  readonly startedAt: number | undefined
  /** When it was recorded; `undefined` while it runs. */
  readonly recordedAt: number | undefined
  readonly attempts: number
  /** A failed step's error: name and message. */
  readonly error?: { readonly name: string; readonly message: string } | undefined
  /** A checkpoint's label. */
  readonly label?: string | undefined
}

/** The entries of one segment, in the order they were recorded; what is running comes last. */
export interface SegmentInfo {
  /** `'prefix'` before the first restore or save, then 0, 1, … */
  readonly segment: 'prefix' | number
  readonly steps: readonly StepInfo[]
}

/** Reads the log of a task. */
export async function readSteps(engine: Engine, found: TaskHead): Promise<SegmentInfo[]> {
  const { head, value: log } = await readSteady(engine, found, readLog)
  const segments = new Map<number, StepInfo[]>()
  const add = (segment: number, info: StepInfo) => {
    const there = segments.get(segment)
    if (there) there.push(info)
    else segments.set(segment, [info])
  }
  for (const { record } of log) add(countedIn(record), infoOf(record))
  const recorded = new Set(log.map(({ record }) => `${record.segment}/${record.ask}`))
  for (const { ask, startedAt } of engine.tasks.get(head.taskId)?.run?.begun ?? []) {
    const { name } = ask
    if (name.kind === 'checkpoint' || recorded.has(`${ask.segment}/${ask.ask}`)) continue
    const running = { state: 'running', startedAt, recordedAt: undefined, attempts: 1 } as const
    add(ask.segment, { ...running, kind: name.kind, name: name.name, number: name.number })
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
  const { name, number, startedAt } = record
  if (record.kind === 'sleep') return { kind, name, number, state: 'completed', startedAt, recordedAt, attempts: 1 }
  const { attempts, failed } = record
  const error = failed && { name: failed.name, message: failed.message }
  return { kind, name, number, state: failed ? 'failed' : 'completed', startedAt, recordedAt, attempts, error }
}
