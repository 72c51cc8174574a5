/** The branches of a run's `all`, `race` and `any`: how many calls are open, which branches lost, and what they had taken. */

import { messageOf } from '../task/drop-for-retry.js'
import type { LogRecord } from '../task/log.js'
import type { Message } from '../task/message.js'
import { isWithin } from '../task/scope.js'
import { LazyAbort } from './lazy-abort.js'

export class Branches {
  readonly #open = new Set<{ readonly scope: string }>()
  readonly #closed: string[] = []
  readonly #aborters = new Map<string, LazyAbort>()
  /** What branches received while they were open. */
  #received: { readonly scope: string; readonly message: Message }[] = []

  /** Whether a call has not come to its end: no checkpoint is saved or restored meanwhile. */
  get areOpen(): boolean {
    return [...this.#open].some(({ scope }) => !this.isClosed(scope))
  }

  /** A call of `all`, `race` or `any` begins in `scope`. Returns what is to be called at its end. */
  begin(scope: string): () => void {
    const call = { scope }
    this.#open.add(call)
    return () => {
      this.#open.delete(call)
      if (!this.areOpen) this.#received = []
    }
  }

  /** The signal of a branch: aborted when it loses. */
  signalOf(scope: string): AbortSignal {
    const aborter = this.#aborters.get(scope) ?? new LazyAbort()
    this.#aborters.set(scope, aborter)
    if (this.isClosed(scope)) aborter.abort(undefined)
    return aborter.signal
  }

  /** Whether the scope is, or lies in, a branch that lost. */
  isClosed(scope: string): boolean {
    return this.#closed.length > 0 && scope !== '' && this.#closed.some((closed) => isWithin(scope, closed))
  }

  /** These branches lost. */
  close(scopes: readonly string[]): void {
    this.#closed.push(...scopes)
    for (const [scope, aborter] of this.#aborters) if (this.isClosed(scope)) aborter.abort(undefined)
  }

  /** Remembers what a branch has received, in case that it loses. */
  heard(record: LogRecord): void {
    if (record.kind !== 'receive' || record.scope === '') return
    this.#received.push(...messageOf(record).map((message) => ({ scope: record.scope, message })))
  }

  /** What the branches in `scopes` had received: it goes back. */
  takenBy(scopes: readonly string[]): Message[] {
    return this.#received
      .filter(({ scope }) => scopes.some((lost) => isWithin(scope, lost)))
      .map(({ message }) => message)
  }
}
