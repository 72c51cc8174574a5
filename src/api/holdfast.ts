/**
 * The public class. Checks the arguments of a call, finds the task and checks its owner, and calls the function that
 * does the work. These functions are in files named after the calls.
 */

/// <reference lib="esnext.disposable" preserve="true" />

import type { EventName, HoldfastEvents } from '../base/events.js'
import { promiseOf } from '../base/promises.js'
import {
  type CancelOptions,
  type ClientRestoreOptions,
  type ClientSaveOptions,
  type CloseOptions,
  checkCancel,
  checkClientRestore,
  checkClientSave,
  checkSend,
  graceOf,
  type OwnerOption,
  ownerOption,
  type ResultOptions,
  type SendOptions,
  type SessionTaskOptions,
} from '../engine/checks/call-options.js'
import { checkOptions, type OpenOptions } from '../engine/checks/open-options.js'
import type { StartOptions } from '../engine/checks/start-options.js'
import type { Engine } from '../engine/core/engine.js'
import { findTask, findUnfinished } from '../engine/core/find-task.js'
import type { RecoveryReport } from '../engine/core/recovery-report.js'
import { cancelTask } from '../engine/lifecycle/cancel.js'
import { restoreClientCheckpoint, saveClientCheckpoint } from '../engine/lifecycle/client-checkpoints.js'
import { forkOf } from '../engine/lifecycle/fork.js'
import { type Responded, respondForCaller } from '../engine/lifecycle/respond.js'
import { resumeTask } from '../engine/lifecycle/resume.js'
import { type Sent, send } from '../engine/lifecycle/send.js'
import { completeSession } from '../engine/lifecycle/settle.js'
import { createSessionTask, type Started, startTask } from '../engine/lifecycle/start.js'
import { waitForResult } from '../engine/lifecycle/wait-for-result.js'
import { noteEngine } from '../engine/recovery/open-engines.js'
import { startSweeping } from '../engine/retention/sweeper.js'
import { openStore } from '../store/open.js'
import { readCheckpoints } from '../store/read-log.js'
import type { CheckpointInfo } from '../task/checkpoint.js'
import type { ForkPoint } from '../task/decisions/fork.js'
import { settledAlready } from '../task/decisions/transition.js'
import type { RestoredCheckpoint } from '../task/definition/context.js'
import type { AnyTaskDefinition, TaskDefinition } from '../task/definition/definition.js'
import type { TaskHead } from '../task/head.js'
import type { Outcome } from '../task/log/outcome.js'
import { assembleEngine } from './assemble-engine.js'
import { checkConstructed } from './binding.js'
import { type ListOptions, listTasks, type TaskPage } from './list.js'
import { startOperatorApi } from './operator-api.js'
import { OperatorCalls } from './operator-calls.js'
import { OwnerScope } from './owner-scope.js'
import { readSteps, type SegmentInfo } from './steps.js'
import type { StartArguments, Startable, StartedAs, StartedOf, TaskId } from './task-id.js'
import { type TaskView, viewOf, wholeViewOf } from './task-view.js'

/** Durable tasks in one directory. Created by `Holdfast.open`. Once the store is lost, each call rejects with `STORE_LOST`. */
export class Holdfast extends OperatorCalls {
  readonly #engine: Engine
  readonly #stopSweeping: () => void
  readonly #stopOperator: () => Promise<void> | undefined
  #closing: Promise<void> | undefined

  /** @internal Use `Holdfast.open`. */
  private constructor(engine: Engine) {
    super(checkConstructed(engine))
    this.#engine = engine
    this.#stopSweeping = startSweeping(engine)
    noteEngine(this, engine)
    this.#stopOperator = startOperatorApi(this, engine)
  }

  /**
   * Opens the store in `dir`, or creates one there, and resumes every unfinished task in the background.
   * @throws HoldfastError `STORE_LOCKED`, `STORE_UNUSABLE`, `STORE_TOO_NEW`, `STORE_TOO_OLD`, `STORE_MOVED`, `STORE_DAMAGED`; the
   *   directory is unchanged
   * @throws TypeError for an option of the wrong type; HoldfastError `STORE_UNAVAILABLE` if the disk refuses writes
   */
  static async open(options: OpenOptions): Promise<Holdfast> {
    const checked = checkOptions(options)
    return Holdfast.over(assembleEngine(await openStore(checked), checked), checked.recover)
  }

  /** @internal Creates an instance over an engine with a store of any kind: on disk or in memory. */
  static async over(engine: Engine, recover: 'auto' | 'manual'): Promise<Holdfast> {
    await engine.load().catch(async (error: unknown) => {
      // The caller receives the error of the load, even if the close fails too.
      await engine.close(0).catch(() => {})
      throw error
    })
    if (recover === 'auto' && engine.report.heldReason === undefined) engine.recover()
    return new Holdfast(engine)
  }

  /** The report of this instance's recovery. It grows as tasks are resumed. `recovery.done` resolves when all are. */
  get recovery(): RecoveryReport {
    return this.#engine.report
  }

  /** Resumes the unfinished tasks, after `recover: 'manual'` or if the recovery was held. A second call changes nothing. */
  async recover(): Promise<RecoveryReport> {
    this.#engine.assertOpen()
    await this.#engine.openings.release()
    return this.#engine.recover()
  }

  /**
   * Adds a task definition. Parked tasks of that type, which waited for it, continue.
   * @throws TypeError if another definition has the name
   */
  register(definition: AnyTaskDefinition): void {
    this.#engine.assertOpen()
    this.#engine.register(definition)
  }

  /**
   * Starts a task; resolves once it is durable.
   * @param definition a definition (registered now if it is not yet), or the name of a registered one
   * @throws HoldfastError `INVALID_INPUT`, `NOT_SERIALIZABLE`, `TOO_LARGE`, `TASK_TYPE_UNKNOWN`,
   *   `IDEMPOTENCY_CONFLICT`, `RESULT_GONE`, `LIMIT_EXCEEDED`, `STORE_UNAVAILABLE`: no task; `START_UNKNOWN`: perhaps one
   */
  start<Input, Output>(
    definition: TaskDefinition<Input, Output>,
    input: Input,
    options?: StartOptions,
  ): Promise<StartedAs<Output>>
  start<D extends Startable>(definition: D, ...given: StartArguments<D, StartOptions>): Promise<StartedOf<D>>
  start(definition: string | AnyTaskDefinition, input?: unknown, options: StartOptions = {}): Promise<Started> {
    const engine = this.#engine
    return promiseOf(() => {
      engine.assertOpen()
      if (typeof definition !== 'string') engine.register(definition, true)
      const name = typeof definition === 'string' ? definition : definition.name
      return startTask(engine, engine.registry.require(name), input, options)
    })
  }

  /**
   * Reads a task, with its outcome if it has settled.
   * @throws HoldfastError `TASK_NOT_FOUND` for an unknown task, or one of another owner; `RECORD_DAMAGED`
   */
  async get(taskId: string, options?: OwnerOption): Promise<TaskView> {
    return this.#view(await this.#find(taskId, ownerOption('get', options)), true)
  }

  /**
   * Lists tasks in the order of their creation, a page at a time. A page may be short or empty while it has a `cursor`.
   * The ID of a child or a fork is made before the task is. So it may appear at a place that a cursor has passed.
   * @throws HoldfastError `INVALID_CURSOR` for a cursor of other options, or of no list
   */
  list(options: ListOptions = {}): Promise<TaskPage> {
    return listTasks(this.#engine, options)
  }

  /**
   * Waits until a task has settled, without polling.
   * @returns its output
   * @throws TaskFailedError, TaskCancelledError
   * @throws HoldfastError `TASK_NOT_FOUND`, `TASK_PARKED`, `WAIT_TIMEOUT`, `CLOSED`
   */
  result<Output>(taskId: TaskId<Output>, options?: ResultOptions): Promise<Output>
  result(taskId: string, options: ResultOptions = {}): Promise<unknown> {
    return waitForResult(this.#engine, taskId, options)
  }

  /**
   * Cancels a task. After the commit of the cancel, the task is `cancelled`, and its body can change nothing. A parked
   * task is cancelled as well; its clean-up is parked too, until its definition is registered.
   * @throws HoldfastError `TASK_NOT_FOUND`, `TASK_SETTLED`, `STORE_UNAVAILABLE`
   * @throws TypeError for `force` together with `owner`
   */
  async cancel(taskId: string, options: CancelOptions = {}): Promise<TaskView> {
    const checked = checkCancel(options)
    const task = await findUnfinished(this.#engine, taskId, checked.owner)
    await cancelTask(this.#engine, task, checked)
    return this.#view(task.head)
  }

  /**
   * Answers open inputs of a task. Their keys are those of `get(taskId).inputRequests`. Resolves once the answers are
   * durable. The result has a reason for each answer that is ignored. A hundred answers share a commit: if a call with
   * more rejects with `STORE_UNAVAILABLE`, some may be accepted. Call again: those are then ignored as `answered`.
   * @param responses any JSON values, by key
   * @throws HoldfastError `TASK_NOT_FOUND`, `NOT_SERIALIZABLE`, `TOO_LARGE`, `STORE_UNAVAILABLE`
   */
  async respond(
    taskId: string,
    responses: Readonly<Record<string, unknown>>,
    options?: OwnerOption,
  ): Promise<Responded> {
    const owner = ownerOption('respond', options)
    return respondForCaller(this.#engine, taskId, responses, owner, () => this.#find(taskId, owner))
  }

  /**
   * Sends a message to a task. It is stored until the body receives it with `task.receive(name)`.
   * @throws HoldfastError `TASK_NOT_FOUND`, `TASK_SETTLED`, `NOT_SERIALIZABLE`, `TOO_LARGE`, `LIMIT_EXCEEDED`,
   *   `IDEMPOTENCY_CONFLICT`, `STORE_UNAVAILABLE`
   */
  async send(taskId: string, name: string, payload?: unknown, options: SendOptions = {}): Promise<Sent> {
    const { owner, idempotencyKey } = checkSend(options)
    const find = () => findUnfinished(this.#engine, taskId, owner)
    return send(this.#engine, taskId, find, name, payload, { idempotencyKey, by: owner ?? 'admin' })
  }

  /**
   * Resumes a parked task at once, or the parked clean-up of a settled task. Resets the crash count of a `POISONED` task.
   * @throws HoldfastError `TASK_NOT_FOUND`, `TASK_SETTLED`, `NOT_PARKED`, `TASK_TYPE_UNKNOWN`, `STORE_UNAVAILABLE`
   */
  async resume(taskId: string, options?: OwnerOption): Promise<TaskView> {
    const owner = ownerOption('resume', options)
    this.#engine.assertOpen()
    const head = await this.#find(taskId, owner)
    const task = this.#engine.tasks.get(taskId)
    if (!task) throw settledAlready(head)
    await resumeTask(this.#engine, task, owner ?? 'admin')
    return this.#view(task.head)
  }

  /**
   * Saves a client's state with an unfinished task. The body of the task is not affected.
   * @throws HoldfastError `TASK_NOT_FOUND`, `TASK_SETTLED`, `NOT_SERIALIZABLE`, `TOO_LARGE`, `LIMIT_EXCEEDED`
   */
  async saveCheckpoint(
    taskId: string,
    state: unknown,
    options: ClientSaveOptions = {},
  ): Promise<{ checkpointId: string }> {
    const { label, owner } = checkClientSave(options)
    const task = await findUnfinished(this.#engine, taskId, owner)
    return saveClientCheckpoint(this.#engine, task, state, { label, by: owner ?? 'admin' })
  }

  /**
   * Reads a checkpoint of a task, of a client or of the body: the one with the given ID, or the latest.
   * @throws HoldfastError `TASK_NOT_FOUND`, `CHECKPOINT_NOT_FOUND`, `CHECKPOINT_PRUNED`
   */
  async restoreCheckpoint<State = unknown>(
    taskId: string,
    options: ClientRestoreOptions = {},
  ): Promise<RestoredCheckpoint<State>> {
    const { owner, checkpointId, savedBy } = checkClientRestore(options)
    this.#engine.assertOpen()
    const by = owner ?? 'admin'
    const restored = await this.#engine.sweeps.using(taskId, async () =>
      restoreClientCheckpoint(this.#engine, await this.#find(taskId, owner), { checkpointId, savedBy, by }),
    )
    return restored as RestoredCheckpoint<State>
  }

  /** The checkpoints of a task, oldest first, without their states. @throws HoldfastError `TASK_NOT_FOUND` */
  async listCheckpoints(taskId: string, options?: OwnerOption): Promise<readonly CheckpointInfo[]> {
    const head = await this.#find(taskId, ownerOption('listCheckpoints', options))
    return this.#engine.store.read((level) => readCheckpoints(level, head))
  }

  /**
   * Creates a task that continues from a past point of a task, settled or not. The results up to that point are copied.
   * @param point `{ checkpointId }` of a checkpoint that its body saved, or `{ afterStep }`
   * @throws HoldfastError `CHECKPOINT_NOT_FOUND`, `CHECKPOINT_PRUNED`, `STEP_NOT_FOUND`, `STEP_UNDONE`; as `get`, `start`
   */
  fork<Output>(taskId: TaskId<Output>, point: ForkPoint, options: StartOptions = {}): Promise<StartedAs<Output>> {
    return forkOf(this.#engine, taskId, point, options)
  }

  /** The log of a task by segment, with states and times. @throws HoldfastError `TASK_NOT_FOUND`, `RECORD_DAMAGED` */
  async steps(taskId: string, options?: OwnerOption): Promise<readonly SegmentInfo[]> {
    return readSteps(this.#engine, await this.#find(taskId, ownerOption('steps', options)))
  }

  /**
   * Creates a session task: a task without a body. A client drives it through checkpoints. `completeSessionTask` or
   * `cancel` settles it.
   */
  async createSessionTask(options: SessionTaskOptions): Promise<{ taskId: TaskId }> {
    this.#engine.assertOpen()
    const { taskId } = await createSessionTask(this.#engine, options)
    return { taskId }
  }

  /**
   * Settles a session task.
   * @param outcome `{ kind: 'result', result }`, `{ kind: 'error', error: { name, message } }` or `{ kind: 'cancelled', reason? }`
   * @throws HoldfastError `TASK_NOT_FOUND`, `TASK_SETTLED`, `NOT_A_SESSION_TASK`, `NOT_SERIALIZABLE`, `TOO_LARGE`
   */
  async completeSessionTask(taskId: string, outcome: Outcome, options?: OwnerOption): Promise<TaskView> {
    const owner = ownerOption('completeSessionTask', options)
    const task = await findUnfinished(this.#engine, taskId, owner)
    await completeSession(this.#engine, task, outcome, owner ?? 'admin')
    return this.#view(task.head)
  }

  /** Returns the same calls, limited to the tasks of one owner. */
  forOwner(owner: string): OwnerScope {
    return new OwnerScope(this, owner)
  }

  /** Calls `listener` for each `event`, after its commit is on disk. Returns a function that stops this. */
  on<Name extends EventName>(event: Name, listener: (event: HoldfastEvents[Name]) => void): () => void {
    return this.#engine.events.on(event, listener)
  }

  /**
   * Commits that this process ends on request, so that a later kill counts as no crash. Then no step begins, running
   * steps may finish within the grace, and the store is closed. Every unfinished task continues at the next open.
   */
  async close(options: CloseOptions = {}): Promise<void> {
    const graceMs = graceOf(options)
    this.#stopSweeping()
    const { lines, tasks } = this.#engine
    this.#closing ??= this.#engine.close(graceMs, this.#stopOperator()).then(() => lines.closed(tasks.size))
    return this.#closing
  }

  /** Closes the instance, for `await using`. The same as `close()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #find(taskId: string, owner: string | undefined): Promise<TaskHead> {
    return findTask(this.#engine, taskId, owner)
  }

  #view(head: TaskHead): TaskView
  #view(head: TaskHead, isWhole: true): Promise<TaskView>
  #view(head: TaskHead, isWhole = false): TaskView | Promise<TaskView> {
    return isWhole ? wholeViewOf(this.#engine, head) : viewOf(head, this.#engine.tasks.get(head.taskId))
  }
}
