/**
 * Tells whoever watches one task what happened to it. One listener of the engine's events for all requests: a thousand
 * open calls must not be told of each other's progress.
 *
 * Tasks continue as soon as the store is open, and the calls of an earlier process are taken up a little later. So progress is
 * remembered at first, and told to those who come: with `progressInterval: 0` a client is to see every value.
 */

import type { Holdfast } from '../../api/holdfast.js'
import type { Clock } from '../../base/clock.js'
import type { HoldfastEvents } from '../../base/events.js'

/** What a watcher is told. */
export type TaskNews =
  | { readonly kind: 'settled' }
  | { readonly kind: 'changed' }
  | { readonly kind: 'progress'; readonly progress: HoldfastEvents['task:progress'] }

type Watcher = (news: TaskNews) => void

// Every call of an earlier process is taken up by then.
const REMEMBERED_MS = 60_000
const REMEMBERED_MAX = 10_000

export class TaskFeed {
  /** Progress since the beginning, by task. */
  readonly #early = new Map<string, HoldfastEvents['task:progress'][]>()
  #room = REMEMBERED_MAX
  readonly #watchers = new Map<string, Set<Watcher>>()
  readonly #stops: (() => void)[]
  #isStopping = false
  #isClosing = false

  constructor(holdfast: Holdfast, clock: Clock) {
    const forget = () => {
      this.#room = 0
      this.#early.clear()
    }
    this.#stops = [
      clock.setTimer(clock.now() + REMEMBERED_MS, forget, { background: true, elapsed: true }),
      holdfast.on('task:settled', ({ taskId }) => this.tell(taskId, { kind: 'settled' })),
      holdfast.on('task:parked', ({ taskId }) => this.tell(taskId, { kind: 'changed' })),
      holdfast.on('task:input-required', ({ taskId }) => this.tell(taskId, { kind: 'changed' })),
      holdfast.on('task:started', ({ taskId }) => this.tell(taskId, { kind: 'changed' })),
      holdfast.on('task:progress', (progress) => {
        this.#remember(progress)
        this.tell(progress.taskId, { kind: 'progress', progress })
      }),
    ]
  }

  /** True once the server is being stopped: waits end with what is known then. */
  get isStopping(): boolean {
    return this.#isStopping
  }

  /** True once the store is being closed. */
  get isClosing(): boolean {
    return this.#isClosing
  }

  /** Ends the waits of all open calls: the server is being stopped. */
  endWaits(): void {
    this.#isStopping = true
    this.#wakeAll()
  }

  /** Ends the waits of the calls that cannot be answered after a restart: the store is being closed. */
  noteClose(): void {
    this.#isClosing = true
    this.#wakeAll()
  }

  #wakeAll(): void {
    for (const taskId of [...this.#watchers.keys()]) this.tell(taskId, { kind: 'changed' })
  }

  /** Calls `watcher` with the task's news until it is stopped; at once with what is remembered. */
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
