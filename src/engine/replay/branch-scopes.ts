/**
 * State of the branches of `all`, `race` and `any` in a run: open calls, lost branches, and the messages that these
 * received.
 */

import { anyOf, LazyAbort } from '../../base/lazy-abort.js'
import { messageOf } from '../../task/decisions/retry-drops.js'
import type { History } from '../../task/log/history.js'
import type { LogRecord } from '../../task/log/records.js'
import { isWithin } from '../../task/log/scope.js'
import type { Message } from '../../task/message.js'

/** One branch. Its scope is unique in its segment only, because numbers begin again in each segment. */
export class Branch {
  readonly #aborter = new LazyAbort()
  #hasLost = false
  #any: AbortSignal | undefined

  constructor(
    readonly segment: number,
    readonly scope: string,
    /** The branch that contains the call of this branch. */
    private readonly outer: Branch | undefined,
  ) {}

  /** True if the branch, or a branch around it, lost. Its calls receive no more answers. */
  get isOver(): boolean {
    return this.#hasLost || this.outer?.isOver === true
  }

  /** Aborted when the branch, or a branch around it, loses. */
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
  /** The calls of branches that have not ended. `undefined` before the first one. */
  #open: Set<{ readonly within: Branch | undefined }> | undefined
  /** Scopes of the lost branches of the latest segment. `undefined` before the first one. */
  #lost: { readonly segment: number; readonly scopes: Set<string> } | undefined
  /** Messages that branches received while a call of branches was open. */
  #received: { readonly scope: string; readonly message: Message }[] = []

  /** True if a call of branches has not ended. No checkpoint may be saved or restored then. */
  get areOpen(): boolean {
    return this.#open !== undefined && [...this.#open].some(({ within }) => !within?.isOver)
  }

  /** Begins a call of `all`, `race` or `any`, in a branch or in the body. Returns a function to call at its end. */
  begin(within: Branch | undefined): () => void {
    const call = { within }
    const open = this.#open ?? new Set()
    this.#open = open.add(call)
    return () => {
      open.delete(call)
      if (!this.areOpen) this.#received = []
    }
  }

  /** Marks branches of one call as lost. */
  close(branches: readonly Branch[], reason: unknown): void {
    for (const branch of branches) {
      if (branch.segment !== this.#lost?.segment) this.#lost = { segment: branch.segment, scopes: new Set() }
      this.#lost.scopes.add(branch.scope)
      branch.lose(reason)
    }
  }

  /** True if the record is in a branch that lost, so no call waits for it. */
  isPassedOver({ segment, scope }: LogRecord): boolean {
    const lost = this.#lost
    if (scope === '' || segment !== lost?.segment) return false
    const parts = scope.split('/')
    return parts.some((_, at) => lost.scopes.has(parts.slice(0, at + 1).join('/')))
  }

  /** The next record for the body. Skips records of branches that lost. */
  nextOf(history: History): LogRecord | undefined {
    let record = history.next()
    while (record && this.isPassedOver(record)) {
      history.handOver(record)
      this.keepReceived(record)
      record = history.next()
    }
    return record
  }

  /** Keeps a message that a branch received, to put it back if the branch loses. */
  keepReceived(record: LogRecord): void {
    if (record.kind !== 'receive' || record.scope === '') return
    this.#received.push(...messageOf(record).map((message) => ({ scope: record.scope, message })))
  }

  /** The messages that these branches received, to put them back. */
  receivedBy(branches: readonly Branch[]): Message[] {
    const isTheirs = ({ scope }: { readonly scope: string }) => branches.some((lost) => isWithin(scope, lost.scope))
    return this.#received.filter(isTheirs).map(({ message }) => message)
  }
}
