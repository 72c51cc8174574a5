/**
 * Calls that a run has begun and not recorded: functions that run, and commits being written. Waits are not in flight.
 */
import { SmallSet } from '../../base/collections.js'
import { INTERRUPTED } from '../state/task-spans.js'
import type { PendingCall } from './pending-call.js'

export class InFlight {
  readonly #asked = new SmallSet<PendingCall>()
  #waiting: { readonly isSo: () => boolean; readonly resolve: () => void }[] = []

  constructor(
    /** Called for each running function whose signal is aborted. */
    private readonly onAborted: (name: string, working: Promise<unknown>) => void,
  ) {}

  get size(): number {
    return this.#asked.size
  }

  add(asked: PendingCall): void {
    this.#asked.add(asked)
  }

  delete(asked: PendingCall): void {
    this.#asked.delete(asked)
  }

  some(isMeant: (asked: PendingCall) => boolean): boolean {
    return [...this.#asked].some(isMeant)
  }

  /** Aborts the signals of functions in flight. */
  abort(reason: unknown, isMeant: (asked: PendingCall) => boolean = () => true): void {
    for (const asked of [...this.#asked].filter(isMeant)) {
      asked.aborted = true
      asked.aborter?.abort(reason)
      asked.span?.end(INTERRUPTED)
      const { ask, working } = asked
      if (working && ask.name.kind !== 'checkpoint') this.onAborted(ask.name.name, working)
    }
  }

  /** Resolves when `isSo` returns true. It is checked now, and at each call of `look`. */
  until(isSo: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push({ isSo, resolve })
      this.look()
    })
  }

  look(): void {
    if (this.#waiting.length === 0) return
    const [over, left] = [this.#waiting.filter(({ isSo }) => isSo()), this.#waiting.filter(({ isSo }) => !isSo())]
    this.#waiting = left
    for (const { resolve } of over) resolve()
  }
}
