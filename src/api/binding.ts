/**
 * The interface of the engine for protocol bindings, beyond the public calls: clock and logger, the binding's own
 * records, and tasks that are created in one batch with such records. Not part of the public API.
 */
import type { Clock } from '../base/clock.js'
import { HoldfastError } from '../base/errors.js'
import type { Ids } from '../base/ids.js'
import type { Logger } from '../base/logger.js'
import { inputsOf } from '../engine/calls/question.js'
import type { SessionTaskOptions } from '../engine/checks/call-options.js'
import type { StartOptions } from '../engine/checks/start-options.js'
import type { Engine } from '../engine/core/engine.js'
import { findTask } from '../engine/core/find-task.js'
import { respond } from '../engine/lifecycle/respond.js'
import { type BindingStart, createSessionTask, type Started, startTask } from '../engine/lifecycle/start.js'
import { engineOf } from '../engine/recovery/open-engines.js'
import { BindingRecords } from '../store/binding-records.js'
import { readHead } from '../store/reads.js'
import type { AnyTaskDefinition } from '../task/definition/definition.js'
import { isSettled } from '../task/head.js'
import type { Outcome } from '../task/log/outcome.js'
import type { Telemetry } from '../task/telemetry.js'
import { type TaskView, viewOf } from './task-view.js'

/**
 * Returns the binding interface of a `Holdfast`.
 * @throws TypeError for anything but an open `Holdfast`
 */
export function bindingOf(holdfast: object): Binding {
  return new Binding(engineOf(holdfast))
}

/** The engine, with the calls for a protocol binding. */
export class Binding {
  readonly #engine: Engine
  readonly clock: Clock
  readonly ids: Ids
  readonly logger: Logger
  /** Receives spans, if telemetry is on. */
  readonly telemetry: Telemetry | undefined
  /** Largest state of a checkpoint, in bytes. */
  readonly stateBytesMax: number
  /** Largest input of a task, in bytes. */
  readonly inputBytesMax: number

  constructor(engine: Engine) {
    this.#engine = engine
    this.clock = engine.clock
    this.ids = engine.ids
    this.logger = engine.logger
    this.telemetry = engine.options.telemetry
    this.stateBytesMax = engine.limits.stateBytesMax
    this.inputBytesMax = engine.limits.inputBytesMax
  }

  /**
   * Checks that no close has begun.
   * @throws HoldfastError `CLOSED`
   */
  assertOpen(): void {
    this.#engine.assertOpen()
  }

  /** True if a definition of that name is registered. */
  knows(name: string): boolean {
    return this.#engine.registry.get(name) !== undefined
  }

  /** Resolves when `close` is called. Tasks can be read until the close is over. */
  get closeCalled(): Promise<void> {
    return this.#engine.closeCalled.promise
  }

  /** Records of the binding with this name. */
  records(name: string): BindingRecords {
    const { store, sweeps, tasks } = this.#engine
    return new BindingRecords(store, name, {
      using: (taskId, act) => sweeps.using(taskId, act),
      exists: async (taskId) => {
        if (tasks.has(taskId)) return true
        if (sweeps.isSweeping(taskId)) return false
        const head = await store.readPatiently((level) => readHead(level, taskId))
        return head !== undefined && !head.sweeping
      },
    })
  }

  /** Starts a task. The records of `about` are written in the batch that creates the task. */
  start(definition: AnyTaskDefinition, input: unknown, options: StartOptions, about: BindingStart): Promise<Started> {
    this.#engine.assertOpen()
    return startTask(this.#engine, definition, input, options, about)
  }

  /** Creates a session task, with records in the same batch. */
  createSessionTask(options: SessionTaskOptions, about: BindingStart): Promise<Started> {
    this.#engine.assertOpen()
    return createSessionTask(this.#engine, options, about)
  }

  /**
   * Marks an input as one that no client can answer. The call of the body rejects with `INPUT_UNAVAILABLE`.
   * @returns true if the mark was accepted; false if the input was answered meanwhile
   */
  async refuseInput(taskId: string, key: string, why: string, by: string): Promise<boolean> {
    const { accepted } = await respond(this.#engine, taskId, new Map([[key, '']]), by, why)
    return accepted.length > 0
  }

  /** Resolves once all inputs that the body has requested so far are on disk, so that one read returns all of them. */
  async questionsAsked(taskId: string): Promise<void> {
    await this.#engine.keys.run(inputsOf(taskId), async () => {})
  }

  /** True if the store has no work, or is down and waits until it may be opened again. */
  get storeIsAtRest(): boolean {
    return this.#engine.store.isAtRest
  }

  /** Unfinished tasks, with owner, kind and type. */
  *liveTasks(): Iterable<{ taskId: string; owner?: string | undefined; kind: 'body' | 'session'; type: string }> {
    for (const { head } of this.#engine.tasks.values()) yield head
  }

  /**
   * True if the task exists and belongs to `owner`. Without an `owner`, true for every existing task. Reads only its
   * head.
   * @throws HoldfastError as `Holdfast#get`, without `TASK_NOT_FOUND`
   */
  async isReadable(taskId: string, owner: string | undefined): Promise<boolean> {
    try {
      await findTask(this.#engine, taskId, owner)
      return true
    } catch (error) {
      if (error instanceof HoldfastError && error.code === 'TASK_NOT_FOUND') return false
      throw error
    }
  }

  /**
   * View of a task that has just settled, without a read. `undefined` if it is not in memory any more, or if a part of
   * the view is only on disk.
   */
  settledView(taskId: string): TaskView | undefined {
    const task = this.#engine.tasks.get(taskId)
    const head = task?.committed
    if (!task || !head || !isSettled(head.status) || task.settlement.outcomeText === undefined) return undefined
    // The undone steps of the view are on disk.
    if (head.intents !== undefined && head.status !== 'completed') return undefined
    return { ...viewOf(head, task), outcome: JSON.parse(task.settlement.outcomeText) as Outcome }
  }

  /** Owner and kind of an unfinished task; `undefined` for any other task. */
  liveTask(taskId: string): { owner?: string | undefined; kind: 'body' | 'session' } | undefined {
    return this.#engine.tasks.get(taskId)?.head
  }
}

/**
 * Refuses `new Holdfast()`. The types hide that constructor, but JavaScript can call it.
 * @throws TypeError
 */
export function checkConstructed<T>(engine: T): T {
  if (typeof engine === 'object' && engine !== null && 'registry' in engine) return engine
  throw new TypeError('Holdfast has no public constructor: await Holdfast.open({ dir })')
}
