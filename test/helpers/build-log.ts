/** Logs as real decisions make them, and the parts that they are made of. */
import { createTask, type NewTask } from '../../src/task/decisions/create.js'
import { transition } from '../../src/task/decisions/transition.js'
import type { TaskHead } from '../../src/task/head.js'
import type { ReadRecord } from '../../src/task/log/log-sums.js'
import type { PendingRecord } from '../../src/task/log/pending-record.js'
import { encodeRecord, type LogRecord } from '../../src/task/log/records.js'
import { emptySegment, PREFIX } from '../../src/task/log/segment.js'
import type { NewRecord, RetryPlan } from '../../src/task/task-event.js'

/** A retry that drops nothing, of a log that nothing is recorded in. */
export const NO_DROPS: RetryPlan = {
  dropped: undefined,
  ended: [],
  prefix: emptySegment(PREFIX),
  open: emptySegment(PREFIX),
  records: 0,
  steps: 0,
  saves: 0,
  messages: 0,
  bytes: { kept: 0, prunable: 0 },
}

/** What the least task is made of. */
export function newTask(more: Partial<NewTask> = {}): NewTask {
  return {
    taskId: 'task-1',
    seed: 'seed',
    type: 'import',
    kind: 'body',
    durability: 'synced',
    startNow: true,
    by: 'admin',
    ...more,
  }
}

/** Records them one after the other; checkpoints among them are saved with `prune` or without. */
export function build(records: readonly NewRecord[], { prune = false } = {}): { head: TaskHead; log: ReadRecord[] } {
  let { head } = createTask(newTask(), 0)
  let log: ReadRecord[] = []
  for (const record of records) {
    const checkpoint = record.kind === 'checkpoint' ? { stateText: '', prune } : undefined
    const decision = transition(head, { kind: 'record', run: 1, record, checkpoint }, 1)
    head = decision.head
    const made = decision.record as LogRecord
    log.push({ record: made, text: encodeRecord(made) })
    if (checkpoint?.prune) log = log.filter((read) => read.record.segment === PREFIX || read.record === made)
  }
  return { head, log }
}

/** Where something was asked for. */
export interface At {
  readonly ask?: number
  readonly after?: number
  readonly segment?: number
  readonly scope?: string
  readonly number?: number
}

/** An ask of that name: by default the first of the body itself, before anything was handed over. */
export function asked(name: string, { ask = 0, after = -1, segment = PREFIX, scope = '', number = 1 }: At = {}) {
  return { name, number, segment, scope, ask, after, startedAt: 0 }
}

export const step = (name: string, at?: At) => ({ kind: 'step', ...asked(name, at), attempts: 1, value: '1' }) as const

export const failing = (name: string, at?: At) =>
  ({ kind: 'step', ...asked(name, at), attempts: 1, failed: { name: 'Error', message: name } }) as const

/** A message that was received, by its order. */
export const receive = (name: string, message: number | undefined, at?: At, value: string | undefined = '"hi"') =>
  ({ kind: 'receive', ...asked(name, at), message, value }) as const

/** A call of branches that one of them decided. */
export const decision = (name: string, branch: string, lost: readonly string[], at?: At) =>
  ({ kind: 'decision', ...asked(name, at), branch, lost }) as const

/** A checkpoint that a body saved, in the segment before the one it opens. */
export const save = (opens: number, { ask = 1, after = 0, segment = opens - 1 }: At = {}) =>
  ({ kind: 'checkpoint', checkpointId: `cp-${opens}`, opens, segment, scope: '', ask, after }) as const

/** What is noted of something that has begun. */
export function note(
  id: string,
  { ask = 0, after = -1, segment = PREFIX, scope = '' }: At = {},
  more?: Partial<PendingRecord>,
) {
  return { id, segment, scope, ask, after, failedAttempts: 0, ...more } satisfies PendingRecord
}

/** The note of a question. */
export const question = (key: string, at?: At, answer?: string) =>
  note(`input ${key}`, at, { input: { key, name: key, request: undefined, requestedAt: 0, answer } })
