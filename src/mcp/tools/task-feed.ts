/**
 * Notifies watchers of single tasks. It has one listener of the engine's events for all requests. Without this, each
 * event would call a listener of every open call.
 *
 * Tasks continue as soon as the store is open, and the calls of an earlier process are resumed a little later. So the
 * first progress is kept for later watchers: with `progressInterval: 0`, a client receives every value.
 */

import type { Holdfast } from '../../api/holdfast.js'
import type { Clock } from '../../base/clock.js'
import type { HoldfastEvents } from '../../base/events.js'

/** Notification for a watcher. */
export type TaskNews =
  | { readonly kind: 'settled' }
  | { readonly kind: 'changed' }
  | { readonly kind: 'progress'; readonly progress: HoldfastEvents['task:progress'] }

type Watcher = (news: TaskNews) => void

// Time after which every call of an earlier process is resumed.
const REMEMBERED_MS = 60_000
const REMEMBERED_MAX = 10_000

export class TaskFeed {
  /** Progress since the start, by task. */
  readonly #early = new Map<string, HoldfastEvents['task:progress'][]>()
  #room = REMEMBERED_MAX
  readonly #watchers = new Map<string, Set<Watcher>>()
  readonly #stops: (() => void)[]
  #isStopping = false
  #isClosing = false

  /** @param onSettled called for each settled task, before its watchers */
  constructor(holdfast: Holdfast, clock: Clock, onSettled: (taskId: string) => void = () => {}) {
    const forget = () => {
      this.#room = 0
      this.#early.clear()
    }
    this.#stops = [
      clock.setTimer(clock.now() + REMEMBERED_MS, forget, { background: true, elapsed: true }),
      holdfast.on('task:settled', ({ taskId }) => {
        onSettled(taskId)
        this.tell(taskId, { kind: 'settled' })
      }),
      holdfast.on('task:parked', ({ taskId }) => this.tell(taskId, { kind: 'changed' })),
      holdfast.on('task:input-required', ({ taskId }) => this.tell(taskId, { kind: 'changed' })),
      holdfast.on('task:started', ({ taskId }) => this.tell(taskId, { kind: 'changed' })),
      holdfast.on('task:progress', (progress) => {
        this.#remember(progress)
        this.tell(progress.taskId, { kind: 'progress', progress })
      }),
    ]
  }

  /** True once the server is being stopped. All waits then end with the current state. */
  get isStopping(): boolean {
    return this.#isStopping
  }

  /** True once the store is being closed. */
  get isClosing(): boolean {
    return this.#isClosing
  }

  /** Ends the waits of all open calls, because the server is being stopped. */
  endWaits(): void {
    this.#isStopping = true
    this.#wakeAll()
  }

  /** Ends the waits of calls that cannot be answered after a restart, because the store is being closed. */
  noteClose(): void {
    this.#isClosing = true
    this.#wakeAll()
  }

  #wakeAll(): void {
    for (const taskId of [...this.#watchers.keys()]) this.tell(taskId, { kind: 'changed' })
  }

  /**
   * Calls `watcher` for each notification about the task, and at once for the kept progress. Returns a function that
   * stops this.
   */
  watch(taskId: string, watcher: Watcher): () => void {
    const watchers = this.#watchers.get(taskId) ?? new Set()
    this.#watchers.set(taskId, watchers)
    watchers.add(watcher)
    for (const progress of this.#early.get(taskId) ?? []) watcher({ kind: 'progress', progress })
    return () => {
      watchers.delete(watcher)
      if (watchers.size === 0 && this.#watchers.get(taskId) === watchers) this.#watchers.delete(taskId)
    }
  }

  tell(taskId: string, news: TaskNews): void {
    for (const watcher of [...(this.#watchers.get(taskId) ?? [])]) watcher(news)
  }

  #remember(progress: HoldfastEvents['task:progress']): void {
    if (this.#room === 0) return
    this.#room--
    const early = this.#early.get(progress.taskId)
    if (early) early.push(progress)
    else this.#early.set(progress.taskId, [progress])
  }

  stop(): void {
    for (const stop of this.#stops) stop()
  }
}
