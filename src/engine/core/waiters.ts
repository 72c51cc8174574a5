/** Who waits for a task to end. Nobody polls: the engine tells a waiter once the end is on disk. */

/** Why a wait is over: the task settled, with an outcome as JSON text; it was parked; or the engine is closed. */
export type WaitEnd =
  | { readonly kind: 'settled'; readonly outcomeText: string }
  | { readonly kind: 'parked' }
  | { readonly kind: 'closed' }

export class Waiters {
  readonly #waiting = new Map<string, Set<(end: WaitEnd) => void>>()

  /** Calls `told` at the next end. Returns how to stop waiting. */
  add(taskId: string, told: (end: WaitEnd) => void): () => void {
    const waiting = this.#waiting.get(taskId) ?? new Set()
    this.#waiting.set(taskId, waiting)
    waiting.add(told)
    return () => {
      waiting.delete(told)
      if (waiting.size === 0) this.#waiting.delete(taskId)
    }
  }

  /** Tells everybody who waits for the task. They stay until they stop waiting themselves. */
  tell(taskId: string, end: WaitEnd): void {
    for (const told of [...(this.#waiting.get(taskId) ?? [])]) told(end)
  }

  /** Tells everybody that nothing more comes. */
  close(): void {
    for (const taskId of [...this.#waiting.keys()]) this.tell(taskId, { kind: 'closed' })
  }
}

/** What `untilEnded` needs of the engine. */
interface EndedHost {
  readonly waiters: Waiters
  readonly closing: boolean
  isUnfinished(taskId: string): boolean
}

/** Resolves once nothing of the task goes on any more, or the engine closes. */
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
