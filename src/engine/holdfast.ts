/**
 * The public face: checks arguments, finds the task and its owner, and hands on. What happens then is in the file of
 * its name: start-task, wait-for-result, client-checkpoints, steps, engine.
 */

import { type Duration, durationMs } from '../duration.js'
import { HoldfastError } from '../errors.js'
import type { EventName, HoldfastEvents } from '../events.js'
import type { RecoveryReport } from '../recovery/report.js'
import { listHeads } from '../store/list.js'
import { openStore } from '../store/open.js'
import { readAudit, readCheckpoints, readOutcome } from '../store/reads.js'
import type { AuditEntry } from '../task/changes.js'
import type { CheckpointInfo, SavedBy } from '../task/checkpoint.js'
import type { AnyTaskDefinition, RestoredCheckpoint, TaskDefinition } from '../task/definition.js'
import { dueAt, isSettled, type TaskHead, type TaskStatus } from '../task/head.js'
import { checkName, NAME_BYTES_MAX } from '../task/names.js'
import type { Outcome } from '../task/outcome.js'
import { settledAlready } from '../task/transition.js'
import {
  auditIdAt,
  checkLimit,
  checkOutcome,
  checkReason,
  checkStatuses,
  decodeCursor,
  encodeCursor,
} from './arguments.js'
import { Binding } from './binding.js'
import { restoreClientCheckpoint, saveClientCheckpoint } from './client-checkpoints.js'
import { Engine } from './engine.js'
import { findTask } from './find-task.js'
import type { LiveTask } from './live-task.js'
import { checkOptions, type OpenOptions } from './options.js'
import { OwnerScope } from './owner-scope.js'
import { createSessionTask, type Started, type StartOptions, startTask } from './start-task.js'
import { readSteps, type SegmentInfo } from './steps.js'
import { startSweeping } from './sweeper.js'
import { type TaskView, viewOf } from './view.js'
import { parkedError, type ResultOptions, waitForResult } from './wait-for-result.js'

/** The ID of a task whose output is an `Output`. It is a string, and may be stored and sent as one. */
export type TaskId<Output = unknown> = string & { readonly [outputOf]?: Output }
declare const outputOf: unique symbol

/** Limits a call to the tasks of one owner; without it the call is administrative. */
export interface OwnerOption {
  readonly owner?: string | undefined
}

/** What `list` shows. */
export interface ListOptions extends OwnerOption {
  /** One status, or several. Default: every one. */
  readonly status?: TaskStatus | readonly TaskStatus[] | undefined
  readonly type?: string | undefined
  /** How many at the most, 1 to 1,000. Default 100. */
  readonly limit?: number | undefined
  /** `cursor` of the page before. */
  readonly cursor?: string | undefined
}

/** A page of tasks, in the order of their creation. */
export interface TaskPage {
  readonly tasks: readonly TaskView[]
  /** Names the next page; `undefined` on the last one. */
  readonly cursor: string | undefined
}

const LIST_LIMIT_MAX = 1_000
const AUDIT_LIMIT_MAX = 10_000
const CLOSE_GRACE = '5s'

/** Durable tasks in one directory. Made by `Holdfast.open`. */
export class Holdfast {
  readonly #engine: Engine
  readonly #stopSweeping: () => void
  #closing: Promise<void> | undefined

  /** @internal Use `Holdfast.open`. */
  private constructor(engine: Engine) {
    this.#engine = engine
    this.#stopSweeping = startSweeping(engine)
  }

  /**
   * Opens the store in `dir`, or makes one there, and takes up every unfinished task behind the caller's back.
   * @throws HoldfastError `STORE_LOCKED`, `STORE_UNUSABLE`, `STORE_TOO_NEW`, `STORE_DAMAGED`; the directory is unchanged
   * @throws TypeError for an option of the wrong type
   */
  static async open(options: OpenOptions): Promise<Holdfast> {
    const checked = checkOptions(options)
    return Holdfast.over(new Engine(await openStore(checked), checked), checked.recover)
  }

  /** @internal Over an engine on a store of any kind: the one in a directory, or the simulation's. */
  static async over(engine: Engine, recover: 'auto' | 'manual'): Promise<Holdfast> {
    try {
      await engine.load()
    } catch (error) {
      await engine.close(0)
      throw error
    }
    if (recover === 'auto') engine.recover()
    return new Holdfast(engine)
  }

  /** @internal What a protocol binding needs beyond the public calls. */
  get binding(): Binding {
    return new Binding(this.#engine)
  }

  /** The report of this instance's recovery; it fills as tasks are taken up. `recovery.done` resolves when all are. */
  get recovery(): RecoveryReport {
    return this.#engine.report
  }

  /** Takes up the unfinished tasks of an instance opened with `recover: 'manual'`. Done before, it changes nothing. */
  async recover(): Promise<RecoveryReport> {
    this.#engine.assertOpen()
    return this.#engine.recover()
  }

  /**
   * Adds a task definition. Tasks of that type that were parked because nobody knew it go on.
   * @throws TypeError when another definition has the name
   */
  register(definition: AnyTaskDefinition): void {
    this.#engine.assertOpen()
    const { registry, logger } = this.#engine
    if (!registry.add(definition)) return
    registry.warn(logger, [definition])
    this.#engine.resumeType(definition.name)
  }

  /**
   * Starts a task; resolves once it is durable.
   * @param definition a definition (registered now if it is not yet), or the name of a registered one
   * @throws HoldfastError `INVALID_INPUT`, `NOT_SERIALIZABLE`, `TOO_LARGE`, `TASK_TYPE_UNKNOWN`,
   *   `IDEMPOTENCY_CONFLICT`, `LIMIT_EXCEEDED`, `STORE_UNAVAILABLE`: there is no task; `START_UNKNOWN`: there may be
   */
  start<Input, Output>(
    definition: TaskDefinition<Input, Output>,
    input: Input,
    options?: StartOptions,
  ): Promise<{ taskId: TaskId<Output>; created: boolean }>
  start(definition: string, input?: unknown, options?: StartOptions): Promise<Started>
  async start(definition: string | AnyTaskDefinition, input?: unknown, options: StartOptions = {}): Promise<Started> {
    this.#engine.assertOpen()
    if (typeof definition !== 'string') this.register(definition)
    const name = typeof definition === 'string' ? definition : definition.name
    return startTask(this.#engine, this.#engine.registry.require(name), input, options)
  }

  /**
   * A task as it is now; with its outcome, once it has settled.
   * @throws HoldfastError `TASK_NOT_FOUND` for an unknown task and for another owner's alike; `RECORD_DAMAGED`
   */
  async get(taskId: string, { owner }: OwnerOption = {}): Promise<TaskView> {
    const head = await this.#find(taskId, owner)
    if (!isSettled(head.status)) return this.#view(head)
    return this.#view(head, await this.#engine.store.read((level) => readOutcome(level, head.taskId)))
  }

  /**
   * Tasks in the order of their creation, a page at a time.
   * @throws HoldfastError `INVALID_CURSOR`
   */
  async list({ owner, status, type, limit = 100, cursor }: ListOptions = {}): Promise<TaskPage> {
    const { store, logger } = this.#engine
    if (owner !== undefined) checkName(owner, 'owner', NAME_BYTES_MAX.owner)
    const after = cursor === undefined ? undefined : decodeCursor(cursor)
    const statuses = status === undefined ? undefined : checkStatuses([status].flat() as TaskStatus[])
    checkLimit(limit, LIST_LIMIT_MAX)
    const query = { owner, statuses, type, after, limit }
    const { heads, more } = await store.read((level) =>
      listHeads(level, query, (taskId, error) =>
        logger.warn('A task is left out of a list: its head is damaged', { taskId, error: String(error) }),
      ),
    )
    const last = heads.at(-1)
    return {
      tasks: heads.map((head) => this.#view(head)),
      cursor: more && last ? encodeCursor(last.taskId) : undefined,
    }
  }

  /**
   * Waits for a task's end, without polling.
   * @returns its output
   * @throws TaskFailedError, TaskCancelledError
   * @throws HoldfastError `TASK_NOT_FOUND`, `TASK_PARKED`, `WAIT_TIMEOUT`, `CLOSED`
   */
  result<Output>(taskId: TaskId<Output>, options?: ResultOptions): Promise<Output>
  async result(taskId: string, options: ResultOptions = {}): Promise<unknown> {
    return waitForResult(this.#engine, taskId, () => this.#find(taskId, options.owner), options)
  }

  /**
   * Cancels a task. From the commit that records it the task is `cancelled`, whatever its body does afterwards.
   * @param options.reason shown to whoever waits for the result
   * @param options.force cancels a parked task too
   * @throws HoldfastError `TASK_NOT_FOUND`, `TASK_SETTLED`, `TASK_PARKED`, `STORE_UNAVAILABLE`
   */
  async cancel(
    taskId: string,
    { owner, reason, force = false }: OwnerOption & { reason?: string | undefined; force?: boolean | undefined } = {},
  ): Promise<TaskView> {
    if (reason !== undefined) checkReason(reason)
    const task = await this.#findUnfinished(taskId, owner)
    if (task.head.parked && !task.awaitsRun && !force) throw parkedError(task.head)
    await this.#engine.settle(task, { kind: 'cancelled', reason }, { by: owner ?? 'admin', patient: false })
    return this.#view(task.head)
  }

  /**
   * Keeps a client's state beside an unfinished task. It never moves the task's body.
   * @throws HoldfastError `TASK_NOT_FOUND`, `TASK_SETTLED`, `NOT_SERIALIZABLE`, `TOO_LARGE`, `LIMIT_EXCEEDED`
   */
  async saveCheckpoint(
    taskId: string,
    state: unknown,
    { label, owner }: OwnerOption & { label?: string | undefined } = {},
  ): Promise<{ checkpointId: string }> {
    const task = await this.#findUnfinished(taskId, owner)
    return saveClientCheckpoint(this.#engine, task, state, { label, by: owner ?? 'admin' })
  }

  /**
   * Reads a checkpoint of a task, a client's or its body's: the one of that ID, or the latest.
   * @param options.savedBy only those of `'client'` or of the `'body'`
   * @throws HoldfastError `TASK_NOT_FOUND`, `CHECKPOINT_NOT_FOUND`, `CHECKPOINT_PRUNED`
   */
  async restoreCheckpoint<State = unknown>(
    taskId: string,
    options: OwnerOption & { checkpointId?: string | undefined; savedBy?: SavedBy | undefined } = {},
  ): Promise<RestoredCheckpoint<State>> {
    const { owner, checkpointId, savedBy } = options
    this.#engine.assertOpen()
    const head = await this.#find(taskId, owner)
    const by = owner ?? 'admin'
    const restored = await restoreClientCheckpoint(this.#engine, head, { checkpointId, savedBy, by })
    return restored as RestoredCheckpoint<State>
  }

  /** The checkpoints of a task, oldest first, without their states. @throws HoldfastError `TASK_NOT_FOUND` */
  async listCheckpoints(taskId: string, { owner }: OwnerOption = {}): Promise<readonly CheckpointInfo[]> {
    const head = await this.#find(taskId, owner)
    return this.#engine.store.read((level) => readCheckpoints(level, head))
  }

  /** The log of a task by segment, with states and times. @throws HoldfastError `TASK_NOT_FOUND`, `RECORD_DAMAGED` */
  async steps(taskId: string, { owner }: OwnerOption = {}): Promise<readonly SegmentInfo[]> {
    return readSteps(this.#engine, await this.#find(taskId, owner))
  }

  /**
   * Creates a task without a body: it is driven from outside, through checkpoints, and settled by
   * `completeSessionTask` or `cancel`.
   */
  async createSessionTask(options: { type: string; owner?: string; ttl?: Duration }): Promise<{ taskId: TaskId }> {
    this.#engine.assertOpen()
    const { taskId } = await createSessionTask(this.#engine, options)
    return { taskId }
  }

  /**
   * Settles a session task.
   * @param outcome `{ kind: 'result', result }`, `{ kind: 'error', error: { name, message } }` or `{ kind: 'cancelled', reason? }`
   * @throws HoldfastError `TASK_NOT_FOUND`, `TASK_SETTLED`, `NOT_A_SESSION_TASK`, `NOT_SERIALIZABLE`, `TOO_LARGE`
   */
  async completeSessionTask(taskId: string, outcome: Outcome, { owner }: OwnerOption = {}): Promise<TaskView> {
    const task = await this.#findUnfinished(taskId, owner)
    if (task.head.kind !== 'session') {
      throw new HoldfastError(
        'NOT_A_SESSION_TASK',
        `Task ${taskId} has a body, which alone completes it. Only a task made by \`createSessionTask\` is completed from outside; \`cancel\` works on both.`,
        { details: { taskId } },
      )
    }
    const checked = checkOutcome(outcome, this.#engine.limits.outputBytesMax)
    await this.#engine.settle(task, checked, { by: owner ?? 'admin', patient: false })
    return this.#view(task.head)
  }

  /** The same calls, limited to the tasks of one owner. */
  forOwner(owner: string): OwnerScope {
    return new OwnerScope(this, owner)
  }

  /**
   * What happened, oldest first: every change of status, every checkpoint saved or restored, every recovery.
   * @param options.taskId only this task's
   * @param options.since a `Date`, or milliseconds since the epoch
   * @param options.limit how many at the most, 1 to 10,000; default 1,000
   */
  async audit(
    options: { taskId?: string | undefined; since?: Date | number | undefined; limit?: number | undefined } = {},
  ): Promise<readonly AuditEntry[]> {
    const { taskId, since = 0, limit = 1_000 } = options
    checkLimit(limit, AUDIT_LIMIT_MAX)
    const sinceId = auditIdAt(since)
    return this.#engine.store.read((level) => readAudit(level, { taskId, sinceId, limit }))
  }

  /** Calls `listener` whenever `event` happened, after it is on disk. Returns how to stop. */
  on<Name extends EventName>(event: Name, listener: (event: HoldfastEvents[Name]) => void): () => void {
    return this.#engine.events.on(event, listener)
  }

  /**
   * Closes: no new step begins, steps in flight may finish within the grace and are recorded, the store is closed.
   * Every unfinished task goes on at the next open; its body is told nothing.
   * @param options.grace how long steps in flight may take. Default `'5s'`
   */
  async close({ grace = CLOSE_GRACE }: { grace?: Duration } = {}): Promise<void> {
    const graceMs = durationMs(grace, 'grace', { zero: true })
    this.#stopSweeping()
    this.#closing ??= this.#engine.close(graceMs)
    return this.#closing
  }

  /** For `await using`: the same as `close()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #find(taskId: string, owner: string | undefined): Promise<TaskHead> {
    return findTask(this.#engine, taskId, owner)
  }

  /** @throws HoldfastError `TASK_SETTLED` when there is nothing left to change */
  async #findUnfinished(taskId: string, owner: string | undefined): Promise<LiveTask> {
    this.#engine.assertOpen()
    const head = await this.#find(taskId, owner)
    const task = this.#engine.tasks.get(taskId)
    if (task) return task
    throw settledAlready(isSettled(head.status) ? head : await this.#find(taskId, owner))
  }

  #view(head: TaskHead, outcome?: Outcome): TaskView {
    return viewOf(head, dueAt(head), this.#engine.tasks.get(head.taskId), outcome)
  }
}
