/**
 * Tells whoever watches one task what happened to it. One listener of the engine's events for all requests: a thousand
 * open calls must not be told of each other's progress.
 */
import type { Holdfast } from '../engine/holdfast.js'
import type { HoldfastEvents } from '../events.js'

/** What a watcher is told. */
export type TaskNews =
  | { readonly kind: 'settled' }
  | { readonly kind: 'changed' }
  | { readonly kind: 'progress'; readonly progress: HoldfastEvents['task:progress'] }

type Watcher = (news: TaskNews) => void

export class Hub {
  readonly #watchers = new Map<string, Set<Watcher>>()
  readonly #stops: (() => void)[]

  constructor(holdfast: Holdfast) {
    this.#stops = [
      holdfast.on('task:settled', ({ taskId }) => this.tell(taskId, { kind: 'settled' })),
      holdfast.on('task:parked', ({ taskId }) => this.tell(taskId, { kind: 'changed' })),
      holdfast.on('task:input-required', ({ taskId }) => this.tell(taskId, { kind: 'changed' })),
      holdfast.on('task:started', ({ taskId }) => this.tell(taskId, { kind: 'changed' })),
      holdfast.on('task:progress', (progress) => this.tell(progress.taskId, { kind: 'progress', progress })),
    ]
  }

  /** Calls `watcher` with the task's news until it is stopped. */
  watch(taskId: string, watcher: Watcher): () => void {
    const watchers = this.#watchers.get(taskId) ?? new Set()
    this.#watchers.set(taskId, watchers)
    watchers.add(watcher)
    return () => {
      watchers.delete(watcher)
      if (watchers.size === 0 && this.#watchers.get(taskId) === watchers) this.#watchers.delete(taskId)
    }
  }

  tell(taskId: string, news: TaskNews): void {
    for (const watcher of [...(this.#watchers.get(taskId) ?? [])]) watcher(news)
  }

  stop(): void {
    for (const stop of this.#stops) stop()
  }
}
