/** The calls of one owner. Each call reaches only the tasks of that owner. */

import { isObject } from '../base/expected.js'
import type {
  CancelOptions,
  ClientRestoreOptions,
  ClientSaveOptions,
  ResultOptions,
  SendOptions,
  SessionTaskOptions,
} from '../engine/checks/call-options.js'
import type { StartOptions } from '../engine/checks/start-options.js'
import type { Responded } from '../engine/lifecycle/respond.js'
import type { Sent } from '../engine/lifecycle/send.js'
import type { Started } from '../engine/lifecycle/start.js'
import type { AttributeChanges } from '../task/attributes.js'
import type { CheckpointInfo } from '../task/checkpoint.js'
import type { ForkPoint } from '../task/decisions/fork.js'
import type { RestoredCheckpoint } from '../task/definition/context.js'
import type { AnyTaskDefinition, TaskDefinition } from '../task/definition/definition.js'
import type { Outcome } from '../task/log/outcome.js'
import { checkName, NAME_BYTES_MAX } from '../task/names.js'
import type { Explanation } from './explanation.js'
import type { Holdfast } from './holdfast.js'
import type { ListOptions, TaskPage } from './list.js'
import type { SegmentInfo } from './steps.js'
import type { StartArguments, Startable, StartedAs, StartedOf, TaskId } from './task-id.js'
import type { TaskView } from './task-view.js'

/**
 * Calls of one owner, created by `holdfast.forOwner(owner)`. Each method is that of `Holdfast`, with `owner` set. The calls that act
 * on many tasks are for operators, and are not among them: `holdfast.cancelMany({ owner })` acts on those of one owner.
 */
export class OwnerScope {
  // Private at run time too, so that code with a scope cannot reach the calls of other owners through it.
  readonly #holdfast: Holdfast

  constructor(
    holdfast: Holdfast,
    /** Owner of the tasks that these calls reach. */
    readonly owner: string,
  ) {
    this.#holdfast = holdfast
    checkName(owner, 'owner', NAME_BYTES_MAX.owner)
  }

  start<Input, Output>(
    definition: TaskDefinition<Input, Output>,
    input: Input,
    options?: Omit<StartOptions, 'owner'>,
  ): Promise<StartedAs<Output>>
  start<Definition extends Startable>(
    definition: Definition,
    ...inputAndOptions: StartArguments<Definition, Omit<StartOptions, 'owner'>>
  ): Promise<StartedOf<Definition>>
  start(
    definition: string | AnyTaskDefinition,
    input?: unknown,
    options?: Omit<StartOptions, 'owner'>,
  ): Promise<Started> {
    return this.#holdfast.start(definition as string, input, this.#mine(options))
  }

  get(taskId: string): Promise<TaskView> {
    return this.#holdfast.get(taskId, { owner: this.owner })
  }

  list(options?: Omit<ListOptions, 'owner'>): Promise<TaskPage> {
    return this.#holdfast.list(this.#mine(options))
  }

  result<Output>(taskId: TaskId<Output>, options?: Omit<ResultOptions, 'owner'>): Promise<Output> {
    return this.#holdfast.result(taskId, this.#mine(options))
  }

  cancel(taskId: string, options?: Omit<CancelOptions, 'owner' | 'force'>): Promise<TaskView> {
    return this.#holdfast.cancel(taskId, this.#mine(options))
  }

  respond(taskId: string, responses: Readonly<Record<string, unknown>>): Promise<Responded> {
    return this.#holdfast.respond(taskId, responses, { owner: this.owner })
  }

  resume(taskId: string): Promise<TaskView> {
    return this.#holdfast.resume(taskId, { owner: this.owner })
  }

  explain(taskId: string): Promise<Explanation> {
    return this.#holdfast.explain(taskId, { owner: this.owner })
  }

  retry(taskId: string): Promise<TaskView> {
    return this.#holdfast.retry(taskId, { owner: this.owner })
  }

  setAttributes(taskId: string, attributes: AttributeChanges): Promise<TaskView> {
    return this.#holdfast.setAttributes(taskId, attributes, { owner: this.owner })
  }

  delete(taskId: string): Promise<void> {
    return this.#holdfast.delete(taskId, { owner: this.owner })
  }

  send(taskId: string, name: string, payload?: unknown, options?: Omit<SendOptions, 'owner'>): Promise<Sent> {
    return this.#holdfast.send(taskId, name, payload, this.#mine(options))
  }

  saveCheckpoint(
    taskId: string,
    state: unknown,
    options?: Omit<ClientSaveOptions, 'owner'>,
  ): Promise<{ checkpointId: string }> {
    return this.#holdfast.saveCheckpoint(taskId, state, this.#mine(options))
  }

  restoreCheckpoint<State = unknown>(
    taskId: string,
    options?: Omit<ClientRestoreOptions, 'owner'>,
  ): Promise<RestoredCheckpoint<State>> {
    return this.#holdfast.restoreCheckpoint<State>(taskId, this.#mine(options))
  }

  listCheckpoints(taskId: string): Promise<readonly CheckpointInfo[]> {
    return this.#holdfast.listCheckpoints(taskId, { owner: this.owner })
  }

  fork<Output>(
    taskId: TaskId<Output>,
    point: ForkPoint,
    options?: Omit<StartOptions, 'owner'>,
  ): Promise<StartedAs<Output>> {
    return this.#holdfast.fork(taskId, point, this.#mine(options))
  }

  steps(taskId: string): Promise<readonly SegmentInfo[]> {
    return this.#holdfast.steps(taskId, { owner: this.owner })
  }

  createSessionTask(options: Omit<SessionTaskOptions, 'owner'>): Promise<{ taskId: TaskId }> {
    return this.#holdfast.createSessionTask(this.#mine(options))
  }

  completeSessionTask(taskId: string, outcome: Outcome): Promise<TaskView> {
    return this.#holdfast.completeSessionTask(taskId, outcome, { owner: this.owner })
  }

  #mine<Options extends object>(options: Options | undefined): Options & { owner: string } {
    // A value that is not an object is refused by the call itself.
    return options === undefined || isObject(options)
      ? { ...(options as Options), owner: this.owner }
      : (options as Options & { owner: string })
  }
}
