/** What a caller sees of a task. */
import { readIntents, readNotes } from '../store/reads.js'
import { deadlineOf } from '../task/expiry.js'
import { type Durability, isSettled, type Parked, type Progress, type TaskHead, type TaskStatus } from '../task/head.js'
import { type Intent, ON_CANCEL } from '../task/intent.js'
import { type AskedInput, isOutstanding } from '../task/note.js'
import type { Outcome } from '../task/outcome.js'
import type { Engine } from './engine.js'
import { readSteadyOutcome } from './read-steady.js'

/** A task as `get` and `list` show it. Instants are milliseconds since the epoch. */
export interface TaskView {
  readonly taskId: string
  readonly type: string
  /** `session` for a task without a body, driven from outside. */
  readonly kind: 'body' | 'session'
  readonly version: string | undefined
  readonly owner: string | undefined
  readonly status: TaskStatus
  /** `buffered` if any of it was written without waiting for the disk. */
  readonly durability: Durability
  readonly createdAt: number
  readonly updatedAt: number
  /** When its first run began. */
  readonly startedAt: number | undefined
  readonly settledAt: number | undefined
  /**
   * Milliseconds from creation, as asked for: unfinished by then it fails with `EXPIRED`, and settled it is swept.
   * `undefined` for a task without one.
   */
  readonly ttl: number | undefined
  /** When it fails with `TIMEOUT` if it is not settled by then. */
  readonly deadlineAt: number | undefined
  /** Which of its owner's waiting tasks runs first: from -100 to 100. */
  readonly priority: number
  readonly attempt: number
  /** How many of its steps are completed. */
  readonly completedSteps: number
  /** The task it is a fork of, and the number of the last of its records that it has; `undefined` if it is none. */
  readonly forkedFrom: { readonly taskId: string; readonly at: number } | undefined
  /** What its body said last. */
  readonly progress: Progress | undefined
  /** Why it can't continue, if it can't. */
  readonly parked: Parked | undefined
  /** Whose child it is. */
  readonly parentId: string | undefined
  /** How far the clean-up behind its end is: children, undos, `onCancel`. The outcome stands meanwhile. */
  readonly cleanUp: 'none' | 'pending' | 'done' | 'failed'
  /** Why its clean-up failed: `NOT_RUN` for a parked task that was cancelled with `force`. */
  readonly cleanUpReason: string | undefined
  /** Why it failed: name, message and code, without the stack. */
  readonly error: TaskHead['error']
  /** What it settled with; `get` only. */
  readonly outcome?: Outcome | undefined
  /** What it asks for, by key, while it is `input_required`; `get` only. */
  readonly inputRequests?: Readonly<Record<string, InputRequest>> | undefined
  /** Steps that were, or are to be, undone, the newest first; `get` only, and only where there are any. */
  readonly undone?: readonly UndoneStep[] | undefined
}

/** An input that a task asks for. */
export interface InputRequest extends Omit<AskedInput, 'key' | 'answer'> {}

/** A step that has an undo, of a task that did not complete. */
export interface UndoneStep {
  readonly step: string
  /** The how-manieth of its name in its segment. */
  readonly number: number
  /** `failed`: its undo is out of attempts, or the clean-up was given up before it. */
  readonly state: 'pending' | 'undone' | 'failed'
  /** How often its undo was tried and failed. */
  readonly failedAttempts: number
  /** What its undo failed with last; `NOT_RUN` where it never ran and never will. */
  readonly error?: string | undefined
}

/** Shows `head`, with what is known of the task in memory: what its body said since, and whether it is being tried again. */
export function viewOf(
  head: TaskHead,
  live: { readonly progress?: Progress | undefined; readonly awaitsRun: boolean } | undefined,
): TaskView {
  return {
    taskId: head.taskId,
    type: head.type,
    kind: head.kind,
    version: head.version,
    owner: head.owner,
    status: head.status,
    durability: head.durability,
    createdAt: head.createdAt,
    updatedAt: head.updatedAt,
    startedAt: head.startedAt,
    settledAt: head.settledAt,
    ttl: head.ttlMs,
    deadlineAt: deadlineOf(head),
    priority: head.priority ?? 0,
    attempt: head.attempt,
    completedSteps: head.completedSteps,
    forkedFrom: head.forkedFrom && { taskId: head.forkedFrom.taskId, at: head.forkedFrom.at },
    progress: live?.progress ?? head.progress,
    parked: live?.awaitsRun ? undefined : head.parked,
    parentId: head.parentId,
    cleanUp: head.cleanUp,
    cleanUpReason: head.cleanUpReason,
    error: head.error,
  }
}

/** The same, with what lies beside the head: its outcome, what it asks for, what was undone. */
export async function wholeViewOf(engine: Engine, head: TaskHead): Promise<TaskView> {
  const { store, tasks } = engine
  const view = viewOf(head, tasks.get(head.taskId))
  const { taskId, status } = head
  if (isSettled(status)) {
    const outcome = await readSteadyOutcome(engine, head)
    const undoes = head.intents !== undefined && status !== 'completed'
    const intents = undoes ? await store.read((level) => readIntents(level, taskId)) : []
    const undone = intents.filter(({ id }) => id !== ON_CANCEL).map((intent) => undoneStep(intent, head))
    return { ...view, outcome, ...(undone.length > 0 ? { undone } : {}) }
  }
  if (head.inputs === undefined) return view
  const notes = [...(await store.read((level) => readNotes(level, taskId))).values()].filter(isOutstanding)
  const asked = notes.map(({ input }) => input as AskedInput)
  asked.sort((one, other) => one.requestedAt - other.requestedAt)
  const inputRequests = Object.fromEntries(asked.map(({ key, answer: _, ...request }) => [key, request]))
  return { ...view, inputRequests }
}

function undoneStep({ name: step, number, undoing }: Intent, { cleanUp, cleanUpReason }: TaskHead): UndoneStep {
  const { doneAt, failedAt, failedAttempts = 0, error } = undoing ?? {}
  if (doneAt !== undefined) return { step, number, state: 'undone', failedAttempts, error }
  // A clean-up that was given up undoes nothing more.
  const isOver = failedAt !== undefined || cleanUp === 'failed'
  const why = failedAt === undefined && isOver ? (error ?? cleanUpReason) : error
  return { step, number, state: isOver ? 'failed' : 'pending', failedAttempts, error: why }
}
