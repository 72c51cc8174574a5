/**
 * Callers that wait for the end of a task. No caller polls: the engine notifies its waiters when the end is on disk.
 */

/**
 * Reason for the end of a wait: the task settled, with its outcome as JSON text, was parked, or the engine is closed.
 */
export type WaitEnd =
  | { readonly kind: 'settled'; readonly outcomeText: string }
  | { readonly kind: 'parked' }
  | { readonly kind: 'closed' }

export class Waiters {
  readonly #waiting = new Map<string, Set<(end: WaitEnd) => void>>()

  /** Calls `onEnd` at each end or parking of the task. Returns a function that removes the waiter. */
  add(taskId: string, onEnd: (end: WaitEnd) => void): () => void {
    const waiting = this.#waiting.get(taskId) ?? new Set()
    this.#waiting.set(taskId, waiting)
    waiting.add(onEnd)
    return () => {
      waiting.delete(onEnd)
      if (waiting.size === 0) this.#waiting.delete(taskId)
    }
  }

  /** Notifies all waiters of the task. Each waiter stays until it removes itself. */
  notify(taskId: string, end: WaitEnd): void {
    for (const onEnd of [...(this.#waiting.get(taskId) ?? [])]) onEnd(end)
  }

  /** Notifies all waiters that the engine is closed. */
  close(): void {
    for (const taskId of [...this.#waiting.keys()]) this.notify(taskId, { kind: 'closed' })
  }
}

/** Members of the engine that `untilEnded` uses. */
interface EndedHost {
  readonly waiters: Waiters
  readonly closing: boolean
  isUnfinished(taskId: string): boolean
}

/** Resolves when the task has ended and is cleaned up, or the engine closes. */
export async function untilEnded(engine: EndedHost, taskId: string): Promise<void> {
  while (engine.isUnfinished(taskId) && !engine.closing) {
    await new Promise<void>((resolve) => {
      const stop = engine.waiters.add(taskId, () => {
        stop()
        resolve()
      })
    })
  }
}
