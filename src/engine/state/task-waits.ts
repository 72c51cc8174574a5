/** The pending calls of a task for people: those that run, and those that wait. Without inputs and results. */

import { NEVER, type TaskHead } from '../../task/head.js'
import type { Ask } from '../../task/log/history.js'
import { isOutstanding, type PendingRecord } from '../../task/log/pending-record.js'
import { type NamedKind, nameIn } from '../../task/log/records.js'
import type { ActiveRun } from './slot-state.js'

/** A call that runs. */
export interface RunningCall {
  readonly kind: NamedKind
  readonly name: string
  /** Number of the call among those of its name in its segment, from 1. */
  readonly number: number
  /** Branch of the call; `undefined` in the body itself. */
  readonly branch: string | undefined
  /** Instant at which the call began in this process. */
  readonly since: number
  /** Number of the attempt, from 1. */
  readonly attempt: number
}

/** One wait of a task. `until` is the instant at which it ends by itself; `undefined` for a wait without an end. */
export type Wait =
  | {
      readonly for: 'sleep' | 'message'
      /** Name of the call. A message is sent under this name. */
      readonly name: string
      readonly since: number
      readonly until: number | undefined
    }
  | {
      readonly for: 'answer'
      readonly name: string
      /** Key for `respond`. */
      readonly key: string
      readonly since: number
      readonly until: number | undefined
    }
  | {
      readonly for: 'child'
      readonly name: string
      readonly taskId: string
      readonly since: number
      readonly until: undefined
    }
  | ({ readonly for: 'attempt'; readonly name: string } & NextAttempt)
  /** A session task waits for its client. */
  | { readonly for: 'client'; readonly since: number; readonly until: undefined }

/** An attempt that is due later. `retry` makes it due at once. */
export interface NextAttempt {
  /** Number of the attempt, from 2. */
  readonly attempt: number
  /** Instant at which the attempt is due. */
  readonly until: number
  /** Instant of the last failure; `undefined` if the version that wrote it did not record it. */
  readonly since: number | undefined
  /** Code of the last error, or its name if it has no code. */
  readonly lastError: string | undefined
}

/** Most calls of one explanation. */
export const CALLS_MAX = 50

/** The calls of a run in memory: those that run, and those that wait. */
export function callsInMemory(
  run: ActiveRun,
  notes: readonly PendingRecord[],
  head: TaskHead,
): { calls: RunningCall[]; waits: Wait[] } {
  const noteOf = new Map(notes.map((note) => [note.id, note]))
  const paused = new Map([...run.waits.paused].map(({ asked, endsAt }) => [asked.ask.id, endsAt]))
  const calls: RunningCall[] = []
  const waits: Wait[] = []
  for (const { ask, startedAt = head.updatedAt } of run.begun) {
    if (calls.length + waits.length === CALLS_MAX) break
    const note = noteOf.get(ask.id)
    const endsAt = paused.get(ask.id)
    if (endsAt !== undefined) waits.push((note && waitOf(note)) ?? plainWait(ask, startedAt, endsAt))
    else if (ask.name.kind !== 'checkpoint') {
      const { kind, name, number } = ask.name
      const branch = ask.scope === '' ? undefined : ask.scope
      calls.push({ kind, name, number, branch, since: startedAt, attempt: (note?.failedAttempts ?? 0) + 1 })
    }
  }
  return { calls, waits }
}

/** The wait of a pending call according to its record; `undefined` if it does not wait. */
export function waitOf(note: PendingRecord): Wait | undefined {
  const { id, input, child, wait, retryAt, failedAttempts, failedAt, failedWith } = note
  const called = nameIn(id)
  const name = called.kind === 'checkpoint' ? '' : called.name
  if (input && isOutstanding(note)) {
    return { for: 'answer', name, key: input.key, since: input.requestedAt, until: input.dueAt }
  }
  if (child) return { for: 'child', name, taskId: child.taskId, since: child.startedAt, until: undefined }
  if (wait) {
    const until = wait.dueAt === NEVER ? undefined : wait.dueAt
    return { for: called.kind === 'receive' ? 'message' : 'sleep', name, since: wait.startedAt, until }
  }
  if (retryAt === undefined) return undefined
  return { for: 'attempt', name, attempt: failedAttempts + 1, until: retryAt, since: failedAt, lastError: failedWith }
}

/** A wait whose record was not read: it was written during the read, or is behind the records that are read. */
function plainWait({ name: called }: Ask, since: number, endsAt: number): Wait {
  const name = called.kind === 'checkpoint' ? '' : called.name
  const until = endsAt === NEVER ? undefined : endsAt
  return { for: called.kind === 'receive' ? 'message' : 'sleep', name, since, until }
}

/** A sentence about waits, for people. */
export function sentenceOf(waits: readonly Wait[]): string {
  const [first, ...others] = waits
  const more = others.length === 0 ? '' : `, and for ${others.length} more`
  return `It waits for ${first ? described(first) : 'news'}${more}.`
}

function described(wait: Wait): string {
  const until = wait.until === undefined ? '' : ` until ${instant(wait.until)}`
  switch (wait.for) {
    case 'sleep':
      return `the end of the sleep '${wait.name}'${until}`
    case 'message':
      return `a message '${wait.name}'${until}`
    case 'answer':
      return `the answer to '${wait.key}'${until}`
    case 'child':
      return `its child ${wait.taskId}`
    case 'attempt':
      return `attempt ${wait.attempt} of step '${wait.name}'${until}, after ${wait.lastError ?? 'an error'}`
    case 'client':
      return 'its client'
  }
}

/** An instant as text. */
export function instant(at: number): string {
  return new Date(at).toISOString()
}
