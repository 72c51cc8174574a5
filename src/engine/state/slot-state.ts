/**
 * The slot of a task in memory, and its run: where the task is on its way from the queue to the end of a run.
 *
 *     idle, asleep ──► queued ──► running ◄──► waiting ──► waking ──► running
 *                                    └───────────┴───────────┴──► unloading ──► idle
 *
 * - Only `running` holds a slot. The log is loaded in it, so it has no run at first.
 * - In `waiting`, `waking` and `unloading` the run counts as loaded, without a slot. From any of them, or from `running`, the
 *     task becomes `idle` when its run has ended and its last commit is written.
 * - This file only keeps the state. Slots (slots.ts) takes and releases what the scheduler counts, in the same turn.
 */
import type { Ask } from '../../task/log/history.js'
import type { IdleRun } from '../scheduling/loaded-runs.js'
import { illegal } from './illegal.js'
import type { RunSpan } from './task-spans.js'

/** The members of a run that the engine uses. */
export interface ActiveRun {
  readonly isOver: boolean
  /** The span of the run, if telemetry is on. */
  readonly span?: RunSpan | undefined
  /** The calls whose functions run now. */
  readonly begun: readonly { readonly ask: Ask; readonly startedAt?: number | undefined }[]
  /** Running functions of steps that have an undo and whose result is not on disk, by the identity of the step. */
  readonly functions: ReadonlyMap<string, Promise<unknown>>
  /** The running undos of branches that lost, while the body continues. */
  readonly undoing: ReadonlyMap<unknown, Promise<unknown>>
  readonly waits: {
    /** Wakes the waits for news. With `ids`, only the waits with these identities. */
    nudge(ids?: readonly string[]): void
    /** Unloads the run if it only waits. */
    unload(): void
    /** Ends the waits of steps for their next attempts. */
    endAttempts(): void
    /** The calls that wait, with the instants at which the waits end by themselves. */
    readonly paused: Iterable<{ readonly asked: { readonly ask: Ask }; readonly endsAt: number }>
  }
  /** Aborts the signals and interrupts the waits of the body, because the task is settled. */
  interrupt(): void
  /** Ends the run without an outcome. A later run continues the task. */
  abandon(): void
  /** Resolves when no step runs and the body only waits. */
  idle(): Promise<void>
}

/** The timer that queues a sleeping task. */
interface Sleep {
  readonly kind: 'asleep'
  cancel(): void
}

type State =
  /** No run is in memory or queued. */
  | { readonly kind: 'idle' }
  /** As `idle`, with a timer that queues the task. */
  | Sleep
  | { readonly kind: 'queued' }
  /** `run` is `undefined` while the log is being loaded. */
  | { readonly kind: 'running'; readonly run: ActiveRun | undefined }
  /** The run only waits. It may be unloaded. */
  | { readonly kind: 'waiting'; readonly run: ActiveRun; readonly idleRun: IdleRun }
  /** A wait has ended, and the run waits for a slot. It may be unloaded. */
  | { readonly kind: 'waking'; readonly run: ActiveRun; readonly idleRun: IdleRun; readonly slot: Promise<void> }
  /** The run has ended to be unloaded, and that is not on disk yet. The run itself is not kept. */
  | { readonly kind: 'unloading' }

// Shared by all tasks.
const IDLE: State = { kind: 'idle' }
const QUEUED: State = { kind: 'queued' }
const LOADING: State = { kind: 'running', run: undefined }
const UNLOADING: State = { kind: 'unloading' }

export class SlotState {
  #state: State = IDLE
  /** True if news came while the task was queued, loaded or unloaded. */
  #hasNews = false

  get kind(): State['kind'] {
    return this.#state.kind
  }

  /** The run that executes the body now. It may be over, while its last commit is being written. */
  get run(): ActiveRun | undefined {
    return 'run' in this.#state ? this.#state.run : undefined
  }

  /** The place among the runs without a slot, while the run waits. */
  get idleRun(): IdleRun | undefined {
    return 'idleRun' in this.#state ? this.#state.idleRun : undefined
  }

  /** Resolves when the run has a slot again. Set while the run waits for one. */
  get awaited(): Promise<void> | undefined {
    return this.#state.kind === 'waking' ? this.#state.slot : undefined
  }

  /** True if a run of the task is in progress, or is queued for a slot. */
  get isScheduled(): boolean {
    return this.#state.kind !== 'idle' && this.#state.kind !== 'asleep'
  }

  /** True if the run is in memory and not being unloaded. */
  get isLoaded(): boolean {
    const { kind } = this.#state
    return kind === 'running' || kind === 'waiting' || kind === 'waking'
  }

  /** Keeps the timer that queues the task. */
  sleep(timer: Sleep): void {
    if (this.isScheduled) throw illegal('sleep', this.kind)
    this.cancelTimer()
    this.#state = timer
  }

  /** Cancels the timer that queues the task, if there is one. */
  cancelTimer(): void {
    if (this.#state.kind !== 'asleep') return
    this.#state.cancel()
    this.#state = IDLE
  }

  queue(): void {
    if (this.isScheduled) throw illegal('queue', this.kind)
    this.cancelTimer()
    this.#state = QUEUED
  }

  /** Ends what would begin or continue a run, because the task is settled. A run that waits for a slot stays in memory. */
  leaveQueue(): void {
    this.cancelTimer()
    const state = this.#state
    if (state.kind === 'queued') this.#end()
    else if (state.kind === 'waking') this.#state = { kind: 'waiting', run: state.run, idleRun: state.idleRun }
  }

  /** Notes that the task has a slot for a new run. */
  begin(): void {
    const { kind } = this.#state
    if (kind !== 'queued' && kind !== 'idle') throw illegal('begin', kind)
    this.#state = LOADING
  }

  /** Notes that the log is loaded. The waits of the run find all news from now on. */
  load(run: ActiveRun): void {
    if (this.#state !== LOADING) throw illegal('load', this.kind)
    this.#state = { kind: 'running', run }
    this.#hasNews = false
  }

  /** Notes that the run only waits. @returns true if it held a slot */
  rest(idleRun: IdleRun): boolean {
    const state = this.#state
    switch (state.kind) {
      case 'waking':
        this.#state = { ...state, idleRun }
        return false
      case 'waiting':
        this.#state = { kind: 'waiting', run: state.run, idleRun }
        return false
      case 'running':
        if (state.run) {
          this.#state = { kind: 'waiting', run: state.run, idleRun }
          return true
        }
    }
    throw illegal('rest', state.kind)
  }

  /** Notes that a wait has ended. @param slot resolves when the run has a slot again */
  wake(idleRun: IdleRun, slot: Promise<void>): void {
    const state = this.#state
    if (state.kind !== 'waiting') throw illegal('wake', state.kind)
    this.#state = { kind: 'waking', run: state.run, idleRun, slot }
  }

  /** Gives a slot to the run that waits for it. @returns false if the run is over: it keeps waiting for its end */
  resume(): boolean {
    const state = this.#state
    if (state.kind !== 'waking') throw illegal('resume', state.kind)
    const { run, idleRun } = state
    this.#state = run.isOver ? { kind: 'waiting', run, idleRun } : { kind: 'running', run }
    return !run.isOver
  }

  /** Notes that the run has ended to be unloaded. */
  unload(): void {
    if (!this.isLoaded) throw illegal('unload', this.kind)
    this.#state = UNLOADING
  }

  /** Notes that the run has ended, and that its last commit is written. @returns true if news came too late for the run */
  end(): boolean {
    if (!this.isLoaded && this.kind !== 'unloading') throw illegal('end', this.kind)
    return this.#end()
  }

  /** Notes that news came. The run is being loaded or unloaded, and may have read data from before the news. */
  noteNews(): void {
    if (!this.isScheduled) throw illegal('note news', this.kind)
    this.#hasNews = true
  }

  #end(): boolean {
    const hadNews = this.#hasNews
    this.#hasNews = false
    this.#state = IDLE
    return hadNews
  }
}
