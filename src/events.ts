/**
 * What the engine tells, once it is on disk. A listener is called in the order of the commits, and cannot harm the
 * engine: what it throws is logged.
 */
import { callIn } from './empty-context.js'
import { checkFunction, expected, type Names } from './expected.js'
import { type Logger, textOf } from './logger.js'

/** Every event and what its listeners get. Never inputs, results or states. */
export interface HoldfastEvents {
  /** A task is durable. */
  'task:created': { taskId: string; type: string; owner: string | undefined }
  /** A run of its body begins; `recovered` after a crash or a close. */
  'task:started': { taskId: string; type: string; run: number; recovered: boolean }
  /** It has settled, for good. */
  'task:settled': {
    taskId: string
    type: string
    status: 'completed' | 'failed' | 'cancelled'
    code?: string | undefined
  }
  /** It is settled, and what it left behind is cleaned up, or can't be. */
  'task:cleaned-up': { taskId: string; type: string; cleanUp: 'done' | 'failed'; reason?: string | undefined }
  /** It asks for an input, and waits for the answer. */
  'task:input-required': { taskId: string; type: string; key: string }
  /** It can't go on, for the reason given. */
  'task:parked': { taskId: string; type: string; code: string; reason: string }
  /** Its body said how far it is. Not on disk yet: it goes with the next record. */
  'task:progress': {
    taskId: string
    type: string
    done?: number | undefined
    total?: number | undefined
    message?: string | undefined
  }
  /** A step's result, or its failure, is recorded. */
  'step:recorded': {
    taskId: string
    type: string
    step: string
    /** The segment of the log; with `step` and `number` it names the record. */
    segment: 'prefix' | number
    number: number
    failed: boolean
    startedAt: number
    recordedAt: number
  }
  /** A checkpoint is saved. */
  'checkpoint:saved': { taskId: string; type: string; checkpointId: string; savedBy: 'body' | 'client' }
  /** A client, or a body in its first lines, went back to one. */
  'checkpoint:restored': { taskId: string; type: string; checkpointId: string }
  /** Every unfinished task that was found at open is taken up again, parked or settled. */
  'recovery:done': { resumed: number; parked: number; settled: number; damaged: number }
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

/** Calls listeners, in the empty context: whoever did what they hear of is no concern of theirs. */
export class Events {
  readonly #listeners = new Map<EventName, Set<Listener>>()

  constructor(private readonly logger: Logger) {}

  /** Adds a listener; returns how to remove it. */
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

  /** Tells everybody who listens. */
  emit<Name extends EventName>(name: Name, event: HoldfastEvents[Name]): void {
    for (const listener of this.#listeners.get(name) ?? []) {
      // An async listener throws later; either way nobody but the log hears of it.
      const hear = () => (listener as (event: HoldfastEvents[Name]) => unknown)(event)
      const heard = new Promise((resolve) => resolve(callIn(hear)))
      heard.catch((error: unknown) => this.logger.error(`A listener of '${name}' threw`, { error: textOf(error) }))
    }
  }
}
