/**
 * What a protocol binding needs of the engine beyond the public calls: the clock and the logger it runs under, records
 * of its own, and tasks that are created together with some of them. Not part of the public API.
 */
import type { Clock } from '../base/clock.js'
import { HoldfastError } from '../base/errors.js'
import type { Ids } from '../base/ids.js'
import type { Logger } from '../base/logger.js'
import { inputsOf } from '../engine/calls/question.js'
import type { SessionTaskOptions } from '../engine/checks/call-options.js'
import type { Engine } from '../engine/core/engine.js'
import { findTask } from '../engine/core/find-task.js'
import { respond } from '../engine/lifecycle/respond.js'
import {
  type BindingStart,
  createSessionTask,
  type Started,
  type StartOptions,
  startTask,
} from '../engine/lifecycle/start.js'
import { BindingRecords } from '../store/binding-records.js'
import { readHead } from '../store/reads.js'
import type { AnyTaskDefinition } from '../task/definition/definition.js'

const engines = new WeakMap<object, Engine>()

/** Lets `bindingOf` find the engine of a `Holdfast`, whose own way to it is private. */
export function openToBindings(holdfast: object, engine: Engine): void {
  engines.set(holdfast, engine)
}

/** @throws TypeError for anything but an open `Holdfast` */
export function bindingOf(holdfast: object): Binding {
  const engine = typeof holdfast === 'object' && holdfast !== null ? engines.get(holdfast) : undefined
  if (!engine) throw new TypeError('Expected `holdfast` to be what `Holdfast.open` resolved to')
  return new Binding(engine)
}

/** The engine, as a binding sees it. */
export class Binding {
  readonly #engine: Engine
  readonly clock: Clock
  readonly ids: Ids
  readonly logger: Logger
  /** Largest state of a checkpoint, in bytes. */
  readonly stateBytesMax: number
  /** Largest input of a task, in bytes. */
  readonly inputBytesMax: number

  constructor(engine: Engine) {
    this.#engine = engine
    this.clock = engine.clock
    this.ids = engine.ids
    this.logger = engine.logger
    this.stateBytesMax = engine.limits.stateBytesMax
    this.inputBytesMax = engine.limits.inputBytesMax
  }

  /** @throws HoldfastError `CLOSED` from the beginning of a close on */
  assertOpen(): void {
    this.#engine.assertOpen()
  }

  /** True if a definition of that name is registered. */
  knows(name: string): boolean {
    return this.#engine.registry.get(name) !== undefined
  }

  /** Resolves when `close` is called. Tasks can still be read until it is over. */
  get closeCalled(): Promise<void> {
    return this.#engine.closeCalled.promise
  }

  /** The records that the binding of this name keeps. */
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

  /** Starts a task; what `beside` returns is written in the batch that creates it. */
  start(definition: AnyTaskDefinition, input: unknown, options: StartOptions, about: BindingStart): Promise<Started> {
    this.#engine.assertOpen()
    return startTask(this.#engine, definition, input, options, about)
  }

  /** Creates a session task, in the same way. */
  createSessionTask(options: SessionTaskOptions, about: BindingStart): Promise<Started> {
    this.#engine.assertOpen()
    return createSessionTask(this.#engine, options, about)
  }

  /**
   * Says that nobody can be asked for an input: it rejects with `INPUT_UNAVAILABLE`.
   * @returns whether that counts; not if it was answered meanwhile
   */
  async refuseInput(taskId: string, key: string, why: string, by: string): Promise<boolean> {
    const { accepted } = await respond(this.#engine, taskId, new Map([[key, '']]), by, why)
    return accepted.length > 0
  }

  /** Resolves once the questions that the task's body has called for by now are on disk, so that one look sees all of them. */
  async questionsAsked(taskId: string): Promise<void> {
    await this.#engine.keys.run(inputsOf(taskId), async () => {})
  }

  /** True if the store has nothing to do, or is down and waits until it may be opened again. */
  get storeIsAtRest(): boolean {
    return this.#engine.store.isAtRest
  }

  /** The unfinished tasks, with what tells whose and what they are. */
  *liveTasks(): Iterable<{ taskId: string; owner?: string | undefined; kind: 'body' | 'session'; type: string }> {
    for (const { head } of this.#engine.tasks.values()) yield head
  }

  /**
   * True if there is such a task and it is `owner`'s (or, without an owner, anyone's). Reads its head only.
   * @throws HoldfastError as `Holdfast#get`, but for `TASK_NOT_FOUND`
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

  /** An unfinished task: whose and what it is. */
  liveTask(taskId: string): { owner?: string | undefined; kind: 'body' | 'session' } | undefined {
    return this.#engine.tasks.get(taskId)?.head
  }
}

/** Refuses `new Holdfast()`, which JavaScript reaches though the types hide it. @throws TypeError */
export function checkConstructed<T>(engine: T): T {
  if (typeof engine === 'object' && engine !== null && 'registry' in engine) return engine
  throw new TypeError('Holdfast has no public constructor: await Holdfast.open({ dir })')
}
