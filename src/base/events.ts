/**
 * Events of the engine, emitted after their commit is on disk. Listeners are called in the order of the commits. A
 * listener cannot harm the engine: an error that it throws is logged.
 */
import { callIn } from './empty-context.js'
import { checkFunction, expected, type Names } from './expected.js'
import { faultOf } from './fault.js'
import type { Logger } from './logger.js'

/** Every event with the fields that its listeners receive. Inputs, results and states are never among them. */
export interface HoldfastEvents {
  /** A task is durable. */
  'task:created': {
    /** ID of the task. */
    taskId: string
    /** Name of its definition, or the type that a session task was given. */
    type: string
    /** Owner of the task; `undefined` for a task that belongs to the server. */
    owner: string | undefined
  }
  /** A run of a task's body begins. */
  'task:started': {
    taskId: string
    type: string
    /** Number of the run: a task has a new run after each retry, restart and unloading. */
    run: number
    /** True if the task was unfinished when the store was opened. */
    recovered: boolean
  }
  /** A task has settled, for good. */
  'task:settled': {
    taskId: string
    type: string
    /** Status that the task has from now on. */
    status: 'completed' | 'failed' | 'cancelled'
    /** Code of the error that it failed with. */
    code?: string | undefined
  }
  /** The undos and `onCancel` of a settled task have run, or failed. */
  'task:cleaned-up': {
    taskId: string
    type: string
    /** Result of the clean-up. */
    cleanUp: 'done' | 'failed'
    /** Reason of the failure. */
    reason?: string | undefined
  }
  /** A task requires an input, and waits for the answer. */
  'task:input-required': {
    taskId: string
    type: string
    /** Key to answer it under with `respond`. */
    key: string
  }
  /** A task is parked: it cannot continue without an operator or new code. */
  'task:parked': {
    taskId: string
    type: string
    /** Stable code, such as `CODE_CHANGED`. */
    code: string
    /** Explanation for a person. */
    reason: string
  }
  /** A body reported its progress. The progress is not on disk yet: the next record includes it. */
  'task:progress': {
    taskId: string
    type: string
    /** Units of work that are done. */
    done?: number | undefined
    /** Units of work in all, if the body knows. */
    total?: number | undefined
    /** Current activity of the body, for a person. */
    message?: string | undefined
  }
  /** A step's result, or its failure, is recorded. */
  'step:recorded': {
    taskId: string
    type: string
    /** Name of the step. */
    step: string
    /** The segment of the log; with `step` and `number` it names the record. */
    segment: 'prefix' | number
    /** Number of the step among those of its name in the segment. */
    number: number
    /** True if the failure of the step was recorded. */
    failed: boolean
    /** Start of the first attempt, in milliseconds since the epoch. */
    startedAt: number
    /** Instant of the record, in milliseconds since the epoch. */
    recordedAt: number
  }
  /** A checkpoint is saved. */
  'checkpoint:saved': {
    taskId: string
    type: string
    /** ID of the checkpoint. */
    checkpointId: string
    /** The body of the task, or a client through `saveCheckpoint` of the instance. */
    savedBy: 'body' | 'client'
  }
  /** A body or a client restored a checkpoint. */
  'checkpoint:restored': {
    taskId: string
    type: string
    /** ID of the checkpoint. */
    checkpointId: string
  }
  /** Recovery is over: each task that was unfinished at open is resumed, parked or settled. The numbers count tasks. */
  'recovery:done': {
    /** Tasks that continue. */
    resumed: number
    /** Tasks that cannot continue without an operator or new code. */
    parked: number
    /** Tasks that ended: their time was over, or their clean-up was done. */
    settled: number
    /** Tasks whose heads cannot be read. They are left alone. */
    damaged: number
  }
}

/** The name of an event. */
export type EventName = keyof HoldfastEvents

/** The names of all events. */
export const EVENT_NAMES: Names<HoldfastEvents> = {
  'task:created': true,
  'task:started': true,
  'task:settled': true,
  'task:cleaned-up': true,
  'task:input-required': true,
  'task:parked': true,
  'task:progress': true,
  'step:recorded': true,
  'checkpoint:saved': true,
  'checkpoint:restored': true,
  'recovery:done': true,
}

type Listener = (event: never) => void

/**
 * Calls listeners in the empty context, so that a listener does not see the `AsyncLocalStorage` of the caller that
 * caused the event.
 */
export class Events {
  readonly #listeners = new Map<EventName, Set<Listener>>()

  constructor(private readonly logger: Logger) {}

  /** Adds a listener. Returns a function that removes it. */
  on<Name extends EventName>(name: Name, listener: (event: HoldfastEvents[Name]) => void): () => void {
    if (!Object.hasOwn(EVENT_NAMES, name)) {
      throw expected('event', `one of ${Object.keys(EVENT_NAMES).join(', ')}`, name)
    }
    checkFunction('listener', listener)
    const listeners = this.#listeners.get(name) ?? new Set()
    this.#listeners.set(name, listeners)
    listeners.add(listener)
    return () => listeners.delete(listener)
  }

  /** True if the event has a listener. For a caller on a hot path, which need not make an event for nothing. */
  has(name: EventName): boolean {
    return (this.#listeners.get(name)?.size ?? 0) > 0
  }

  /** Calls every listener of the event. */
  emit<Name extends EventName>(name: Name, event: HoldfastEvents[Name]): void {
    for (const listener of this.#listeners.get(name) ?? []) {
      // An async listener rejects later. Both kinds of failure are only logged.
      const hear = () => (listener as (event: HoldfastEvents[Name]) => unknown)(event)
      const heard = new Promise((resolve) => resolve(callIn(hear)))
      heard.catch((error: unknown) => this.logger.error(`A listener of '${name}' threw`, { error: faultOf(error) }))
    }
  }
}
