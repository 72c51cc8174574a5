/** The branches of a run's `all`, `race` and `any`: which calls are open, which branches lost, and what those had taken. */

import { anyOf, LazyAbort } from '../../base/lazy-abort.js'
import { messageOf } from '../../task/decisions/retry-drops.js'
import type { History } from '../../task/log/history.js'
import type { LogRecord } from '../../task/log/records.js'
import { isWithin } from '../../task/log/scope.js'
import type { Message } from '../../task/message.js'

/** One branch. Its scope is unique in its segment only: names are numbered anew in each. */
export class Branch {
  readonly #aborter = new LazyAbort()
  #hasLost = false
  #any: AbortSignal | undefined

  constructor(
    readonly segment: number,
    readonly scope: string,
    /** The branch that its call stands in. */
    private readonly outer: Branch | undefined,
  ) {}

  /** True if it, or one that it lies in, lost: nothing that it asks for is answered any more. */
  get isOver(): boolean {
    return this.#hasLost || this.outer?.isOver === true
  }

  /** Aborted when it loses. */
  get signal(): AbortSignal {
    const { signal } = this.#aborter
    if (!this.outer) return signal
    this.#any ??= anyOf([this.outer.signal, signal])
    return this.#any
  }

  lose(reason: unknown): void {
    this.#hasLost = true
    this.#aborter.abort(reason)
  }
}

export class Branches {
  readonly #open = new Set<{ readonly within: Branch | undefined }>()
  /** Scopes that lost, of the segment that the last call stood in. */
  #lost = { segment: Number.NaN, scopes: new Set<string>() }
  /** What branches received while they were open. */
  #received: { readonly scope: string; readonly message: Message }[] = []

  /** True if a call has not come to its end: no checkpoint is saved or restored meanwhile. */
  get areOpen(): boolean {
    return [...this.#open].some(({ within }) => !within?.isOver)
  }

  /** A call of `all`, `race` or `any` begins, in a branch or in the body. Returns what is to be called at its end. */
  begin(within: Branch | undefined): () => void {
    const call = { within }
    this.#open.add(call)
    return () => {
      this.#open.delete(call)
      if (!this.areOpen) this.#received = []
    }
  }

  /** These branches, all of one call, lost. */
  close(branches: readonly Branch[], reason: unknown): void {
    for (const branch of branches) {
      if (branch.segment !== this.#lost.segment) this.#lost = { segment: branch.segment, scopes: new Set() }
      this.#lost.scopes.add(branch.scope)
      branch.lose(reason)
    }
  }

  /** True if a record stands in a branch that lost: nobody waits for it any more. */
  isPassedOver({ segment, scope }: LogRecord): boolean {
    if (scope === '' || segment !== this.#lost.segment) return false
    const parts = scope.split('/')
    return parts.some((_, at) => this.#lost.scopes.has(parts.slice(0, at + 1).join('/')))
  }

  /** The next record to be handed over; what branches recorded before they lost is passed over. */
  nextOf(history: History): LogRecord | undefined {
    let record = history.next()
    while (record && this.isPassedOver(record)) {
      history.handOver(record)
      this.heard(record)
      record = history.next()
    }
    return record
  }

  /** Remembers what a branch has received, in case that it loses. */
  heard(record: LogRecord): void {
    if (record.kind !== 'receive' || record.scope === '') return
    this.#received.push(...messageOf(record).map((message) => ({ scope: record.scope, message })))
  }

  /** What these branches had received: it goes back. */
  takenBy(branches: readonly Branch[]): Message[] {
    const isTheirs = ({ scope }: { readonly scope: string }) => branches.some((lost) => isWithin(scope, lost.scope))
    return this.#received.filter(isTheirs).map(({ message }) => message)
  }
}
