/** The calls of one owner: every one of them reaches that owner's tasks, and nobody else's. */

import type { Duration } from '../duration.js'
import type { CheckpointInfo, SavedBy } from '../task/checkpoint.js'
import type { RestoredCheckpoint } from '../task/context.js'
import type { AnyTaskDefinition, TaskDefinition } from '../task/definition.js'
import type { ForkPoint } from '../task/fork.js'
import { checkName, NAME_BYTES_MAX } from '../task/names.js'
import type { Outcome } from '../task/outcome.js'
import type { Holdfast, TaskId } from './holdfast.js'
import type { ListOptions, TaskPage } from './list-tasks.js'
import type { Responded } from './respond.js'
import type { Sent } from './send.js'
import type { Started, StartOptions } from './start-task.js'
import type { SegmentInfo } from './steps.js'
import type { TaskView } from './view.js'
import type { ResultOptions } from './wait-for-result.js'

/** Made by `holdfast.forOwner(owner)`. Each method is the one of `Holdfast` with `owner` filled in. */
export class OwnerScope {
  // Hidden at run time too: whoever is handed a scope must not get at the unscoped calls through it.
  readonly #holdfast: Holdfast

  constructor(
    holdfast: Holdfast,
    /** Whose calls these are. */
    readonly owner: string,
  ) {
    this.#holdfast = holdfast
    checkName(owner, 'owner', NAME_BYTES_MAX.owner)
  }

  start<Input, Output>(
    definition: TaskDefinition<Input, Output>,
    input: Input,
    options?: Omit<StartOptions, 'owner'>,
  ): Promise<{ taskId: TaskId<Output>; created: boolean }>
  start(
    definition: string | AnyTaskDefinition,
    input?: unknown,
    options?: Omit<StartOptions, 'owner'>,
  ): Promise<Started>
  start(
    definition: string | AnyTaskDefinition,
    input?: unknown,
    options?: Omit<StartOptions, 'owner'>,
  ): Promise<Started> {
    return this.#holdfast.start(definition as string, input, { ...options, owner: this.owner })
  }

  get(taskId: string): Promise<TaskView> {
    return this.#holdfast.get(taskId, { owner: this.owner })
  }

  list(options?: Omit<ListOptions, 'owner'>): Promise<TaskPage> {
    return this.#holdfast.list({ ...options, owner: this.owner })
  }

  result<Output>(taskId: TaskId<Output>, options?: Omit<ResultOptions, 'owner'>): Promise<Output> {
    return this.#holdfast.result(taskId, { ...options, owner: this.owner })
  }

  cancel(taskId: string, options?: { reason?: string; force?: boolean }): Promise<TaskView> {
    return this.#holdfast.cancel(taskId, { ...options, owner: this.owner })
  }

  respond(taskId: string, responses: Readonly<Record<string, unknown>>): Promise<Responded> {
    return this.#holdfast.respond(taskId, responses, { owner: this.owner })
  }

  resume(taskId: string): Promise<TaskView> {
    return this.#holdfast.resume(taskId, { owner: this.owner })
  }

  send(taskId: string, name: string, payload?: unknown, options?: { idempotencyKey?: string }): Promise<Sent> {
    return this.#holdfast.send(taskId, name, payload, { ...options, owner: this.owner })
  }

  saveCheckpoint(taskId: string, state: unknown, options?: { label?: string }): Promise<{ checkpointId: string }> {
    return this.#holdfast.saveCheckpoint(taskId, state, { ...options, owner: this.owner })
  }

  restoreCheckpoint<State = unknown>(
    taskId: string,
    options?: { checkpointId?: string; savedBy?: SavedBy },
  ): Promise<RestoredCheckpoint<State>> {
    return this.#holdfast.restoreCheckpoint<State>(taskId, { ...options, owner: this.owner })
  }

  listCheckpoints(taskId: string): Promise<readonly CheckpointInfo[]> {
    return this.#holdfast.listCheckpoints(taskId, { owner: this.owner })
  }

  fork<Output>(
    taskId: TaskId<Output>,
    point: ForkPoint,
    options?: Omit<StartOptions, 'owner'>,
  ): Promise<{ taskId: TaskId<Output>; created: boolean }> {
    return this.#holdfast.fork(taskId, point, { ...options, owner: this.owner })
  }

  steps(taskId: string): Promise<readonly SegmentInfo[]> {
    return this.#holdfast.steps(taskId, { owner: this.owner })
  }

  createSessionTask(options: { type: string; ttl?: Duration }): Promise<{ taskId: TaskId }> {
    return this.#holdfast.createSessionTask({ ...options, owner: this.owner })
  }

  completeSessionTask(taskId: string, outcome: Outcome): Promise<TaskView> {
    return this.#holdfast.completeSessionTask(taskId, outcome, { owner: this.owner })
  }
}
