/**
 * The answer of `explain`: why a task does not run now, or what it runs. It has no inputs, results or messages of errors.
 *
 * - The pending records are read first, and then the state in memory is looked at in one turn. So the two may differ by
 *     what happened during the read, but the answer agrees with `get`.
 */
import type { Engine } from '../engine/core/engine.js'
import type { LiveTask } from '../engine/core/live-task.js'
import {
  CALLS_MAX,
  callsInMemory,
  instant,
  type NextAttempt,
  type RunningCall,
  sentenceOf,
  type Wait,
  waitOf,
} from '../engine/state/task-waits.js'
import { readNewestAudit } from '../store/audit.js'
import { readFirstPendingRecords } from '../store/reads.js'
import { isSuspect } from '../task/decisions/crash-count.js'
import { isBetweenAttempts } from '../task/decisions/retry.js'
import { isSettled, NEVER, type Parked, type TaskHead, type TaskStatus } from '../task/head.js'
import type { PendingRecord } from '../task/log/pending-record.js'

/**
 * Explanation of the state of a task: why it does not run now, or what it runs. Each `state` has fields of its own.
 * Instants are milliseconds since the epoch.
 */
export type Explanation =
  | RunningExplanation
  | QueuedExplanation
  | WaitingExplanation
  | NextAttemptExplanation
  | SuspectExplanation
  | ParkedExplanation
  | NotRecoveredExplanation
  | StoreDownExplanation
  | SettledExplanation

/** Fields of every explanation. */
interface Explained {
  readonly taskId: string
  readonly type: string
  readonly status: TaskStatus
  /** A sentence for people. Its words may change. */
  readonly summary: string
}

/** Functions of the task run now, or its body does. */
export interface RunningExplanation extends Explained {
  readonly state: 'running'
  /** Start of the first run of the task. */
  readonly startedAt: number | undefined
  /** Number of the attempt of the body. */
  readonly attempt: number
  /** Up to 50 calls that have begun and do not wait. None while only the body itself runs, or its log is replayed. */
  readonly calls: readonly RunningCall[]
  /** Calls of other branches that wait. */
  readonly waits: readonly Wait[]
}

/** The task waits for a slot. */
export interface QueuedExplanation extends Explained {
  readonly state: 'queued'
  /** Start of the waiting time. */
  readonly since: number
  /** Queued tasks of the same owner that get a slot before it. Owners take turns, so tasks of others do not count. */
  readonly ahead: number
  /** All queued tasks, this one included. */
  readonly queued: number
  /** The limits that are reached and keep it waiting. None if it gets a slot in this turn. */
  readonly limits: readonly ReachedLimit[]
}

/** A limit of the scheduler that is reached. */
export interface ReachedLimit {
  /** The option that sets the limit: of `open`, or `concurrency` of the definition for `type`. */
  readonly limit: 'concurrency' | 'type' | 'owner'
  readonly max: number
  readonly running: number
}

/** The task waits for something outside. */
export interface WaitingExplanation extends Explained {
  readonly state: 'waiting'
  /** Up to 50 waits. The first that ends continues the task. */
  readonly waits: readonly Wait[]
}

/** The body threw, and its next attempt is due later. */
export interface NextAttemptExplanation extends Explained, NextAttempt {
  readonly state: 'next-attempt'
}

/** Processes crashed while they ran the task. It runs again after the tasks before it, alone among such tasks. */
export interface SuspectExplanation extends Explained {
  readonly state: 'suspect'
  /** Number of processes in a row that crashed while the task ran. */
  readonly deaths: number
}

/** The task is parked. */
export interface ParkedExplanation extends Explained {
  readonly state: 'parked'
  readonly code: Parked['code']
  readonly reason: string
  readonly since: number
  /** The action to take. */
  readonly advice: string
}

/** The task was found at the open and is not resumed yet. */
export interface NotRecoveredExplanation extends Explained {
  readonly state: 'not-recovered'
  /**
   * `held`: every start of the store crashed · `manual`: the instance was opened with `recover: 'manual'` · `no-server`:
   * the store is open for a command, and no process runs its tasks.
   */
  readonly cause: 'held' | 'manual' | 'no-server'
  readonly advice: string
}

/** The disk refuses writes. The task continues by itself when the store is up again. */
export interface StoreDownExplanation extends Explained {
  readonly state: 'store-down'
}

/** The task is settled. */
export interface SettledExplanation extends Explained {
  readonly state: 'settled'
  readonly settledAt: number
  readonly cleanUp: CleanUpExplanation
}

/** State of the clean-up of a settled task. */
export type CleanUpExplanation =
  | { readonly state: 'none' | 'done' }
  /** Undos or `onCancel` failed, or never ran. */
  | { readonly state: 'failed'; readonly reason: string | undefined }
  /** It runs, or waits for its turn, for the next attempt of an undo or for children. */
  | { readonly state: 'pending' }
  | { readonly state: 'parked'; readonly code: Parked['code']; readonly reason: string; readonly advice: string }
  | { readonly state: 'not-recovered'; readonly cause: NotRecoveredExplanation['cause']; readonly advice: string }

/** Explains the task that `find` finds. Finds the task again if it changed meanwhile. @throws HoldfastError as `find` */
export async function explainFound(engine: Engine, find: () => Promise<TaskHead>): Promise<Explanation> {
  for (;;) {
    const explanation = await explainTask(engine, await find())
    if (explanation) return explanation
  }
}

/**
 * Explains the state of a task.
 * @param found its head on disk
 * @returns `undefined` if the task ended and left memory during the reads. Then call again with its new head
 */
async function explainTask(engine: Engine, found: TaskHead): Promise<Explanation | undefined> {
  const { store, tasks } = engine
  const { taskId } = found
  const isLiveNow = tasks.has(taskId)
  if (!isLiveNow) return isSettled(found.status) ? settledOf(engine, found, undefined) : undefined
  const { isUp } = store.connection
  const reads = isUp && !isSettled(found.status)
  const notes =
    reads && found.hasStepStates ? await store.read((level) => readFirstPendingRecords(level, taskId, CALLS_MAX)) : []
  const newest = reads && found.attempt > 1 ? await store.read((level) => readNewestAudit(level, taskId)) : undefined
  const task = tasks.get(taskId)
  const head = task?.committed
  if (!task || !head) return undefined
  if (isSettled(head.status)) return settledOf(engine, head, task)
  return unfinishedOf(engine, task, head, { notes, newest })
}

/** Records of a task that were read. */
interface Read {
  readonly notes: readonly PendingRecord[]
  /** The newest audit entry of the task. */
  readonly newest: { readonly at: number; readonly action: string; readonly why?: string | undefined } | undefined
}

function unfinishedOf(engine: Engine, task: LiveTask, head: TaskHead, { notes, newest }: Read): Explanation {
  const { scheduler, store, clock } = engine
  const { taskId, type, status, parked, attempt } = head
  const about = { taskId, type, status }
  if (parked && !task.recovery.isRetrying) {
    const { code, reason, since } = parked
    const summary = `It is parked: ${reason.replace(/\.$/, '')}.`
    return { ...about, state: 'parked', code, reason, since, advice: ADVICE[code], summary }
  }
  if (head.kind === 'session') {
    const waits = [{ for: 'client', since: head.createdAt, until: undefined }] as const
    return { ...about, state: 'waiting', waits, summary: 'It is a session task, which its client completes.' }
  }
  if (task.recovery.isAwaited) {
    const { cause, advice } = notRecovered(engine)
    return { ...about, state: 'not-recovered', cause, advice, summary: `It was not resumed after the open. ${advice}` }
  }
  if (!store.connection.isUp) {
    const summary = 'The disk refuses writes. The task continues by itself when they work again.'
    return { ...about, state: 'store-down', summary }
  }
  const place = scheduler.placeOf(taskId)
  if (place) {
    const { since, ahead, limits } = place
    const by = limits.map(({ limit, running, max }) => `${LIMITS[limit]} (${running} of ${max})`).join(', ')
    const summary = `It waits for a slot behind ${ahead} tasks of its owner${by === '' ? '' : `; reached: ${by}`}.`
    return { ...about, state: 'queued', since, ahead, queued: scheduler.waiting, limits, summary }
  }
  const { calls, waits } =
    task.slot.run && !task.slot.run.isOver ? callsInMemory(task.slot.run, notes, head) : NOT_IN_MEMORY
  if (task.slot.isScheduled && (calls.length > 0 || waits.length === 0)) {
    const named = calls.map(({ kind, name }) => `${kind} '${name}'`).join(', ')
    const summary = named === '' ? 'Its body runs.' : `It runs ${named}.`
    return { ...about, state: 'running', startedAt: head.startedAt, attempt, calls, waits, summary }
  }
  if (waits.length > 0) return { ...about, state: 'waiting', waits, summary: sentenceOf(waits) }
  if (head.wakeAt !== undefined && head.wakeAt > clock.now()) return unloadedOf(head, { notes, newest })
  if (isSuspect(head)) {
    const { deaths = 0 } = head
    const summary = `The last ${deaths} processes crashed while they ran it. Such tasks run one at a time, after all others.`
    return { ...about, state: 'suspect', deaths, summary }
  }
  const summary = 'It gets a slot at once.'
  return {
    ...about,
    state: 'queued',
    since: head.updatedAt,
    ahead: 0,
    queued: scheduler.waiting,
    limits: [],
    summary,
  }
}

const NOT_IN_MEMORY = { calls: [], waits: [] } as const

/** A task that is not in memory until its wake time, or until news. */
function unloadedOf(head: TaskHead, { notes, newest }: Read): Explanation {
  const { taskId, type, status, attempt, wakeAt = NEVER } = head
  const waits = notes.flatMap((note) => waitOf(note) ?? [])
  if (waits.length > 0 && !isBetweenAttempts(head, notes)) {
    return { taskId, type, status, state: 'waiting', waits, summary: sentenceOf(waits) }
  }
  const failure = newest?.action === 'retried' ? newest : undefined
  const lastError = failure?.why?.split(':')[0]
  const next = { attempt, until: wakeAt, since: failure?.at, lastError }
  const summary = `Its body failed (${lastError ?? 'unknown error'}). Attempt ${attempt} begins at ${instant(wakeAt)}.`
  return { taskId, type, status, state: 'next-attempt', ...next, summary }
}

function settledOf(engine: Engine, head: TaskHead, task: LiveTask | undefined): SettledExplanation {
  const { taskId, type, status, settledAt = head.updatedAt } = head
  const cleanUp = cleanUpOf(engine, head, task)
  const still = cleanUp.state === 'none' || cleanUp.state === 'done' ? '' : ` Its clean-up is ${cleanUp.state}.`
  return { taskId, type, status, state: 'settled', settledAt, cleanUp, summary: `It is ${status}.${still}` }
}

function cleanUpOf(engine: Engine, head: TaskHead, task: LiveTask | undefined): CleanUpExplanation {
  const { cleanUp, cleanUpReason: reason, parked } = head
  if (cleanUp === 'failed') return { state: 'failed', reason }
  if (cleanUp !== 'pending') return { state: cleanUp }
  if (parked && !task?.recovery.isRetrying) {
    return { state: 'parked', code: parked.code, reason: parked.reason, advice: ADVICE[parked.code] }
  }
  const waits = task && !task.settlement.cleaning && (task.recovery.isAwaited || engine.options.purpose === 'operate')
  return waits ? { state: 'not-recovered', ...notRecovered(engine) } : { state: 'pending' }
}

function notRecovered({ options, report }: Engine): Pick<NotRecoveredExplanation, 'cause' | 'advice'> {
  if (options.purpose === 'operate') return { cause: 'no-server', advice: 'Start the server.' }
  if (report.heldReason !== undefined) {
    return {
      cause: 'held',
      advice: `Call \`recover()\`, or run \`holdfast recovery --begin\`, once the cause is gone: ${report.heldReason}.`,
    }
  }
  return { cause: 'manual', advice: "Call `recover()`: the instance was opened with `recover: 'manual'`." }
}

const LIMITS = {
  concurrency: 'the option `concurrency`',
  type: 'the `concurrency` of its definition',
  owner: 'the option `concurrencyPerOwner`',
} as const

const ADVICE: Readonly<Record<Parked['code'], string>> = {
  TASK_TYPE_UNKNOWN: 'Register the definition of its type. The task then continues by itself.',
  CODE_CHANGED:
    'Deploy code that fits its log: the old code, or the change behind `task.patched`. Then open again, or call `resume`.',
  RECORD_DAMAGED: 'Restore a copy of the store, or cancel the task.',
  POISONED: 'Fix what crashes the process in the call that the reason names. Then call `resume` or `cancel`.',
  EXPORTED: 'Call `resume` in the one store that is to run the task, once no other store runs it.',
}
