/**
 * The settlement of a task in memory: open, announced, or announced with a clean-up that runs in this process.
 *
 * - The settlement is announced once, after the commit that settles the task is on disk. It never becomes open again.
 * - A clean-up runs only after the announcement. A clean-up that is parked or left leaves the task announced.
 */
import { illegal } from './illegal.js'

/** The clean-up of a task in this process. */
export interface Cleaning {
  /** Resolves when the clean-up ends, or is left for the next open. */
  readonly over: Promise<void>
  /** Aborts the running undo, or `onCancel`. */
  abort(reason: unknown): void
}

type State =
  | { readonly kind: 'open' }
  /** `outcomeText` is `undefined` if the task was settled before this process opened the store. */
  | { readonly kind: 'announced'; readonly outcomeText: string | undefined }
  | { readonly kind: 'cleaning'; readonly outcomeText: string | undefined; readonly work: Cleaning }

// Shared by all tasks, because most tasks in memory are in one of these states.
const OPEN: State = { kind: 'open' }
const FOUND_SETTLED: State = { kind: 'announced', outcomeText: undefined }

export class Settlement {
  #state: State

  /** @param wasSettled true for a task that was found at open as settled. Its end is not announced again */
  constructor(wasSettled: boolean) {
    this.#state = wasSettled ? FOUND_SETTLED : OPEN
  }

  /** True if waiters were notified that the task is settled. Its clean-up may still continue. */
  get isAnnounced(): boolean {
    return this.#state.kind !== 'open'
  }

  /** The outcome as JSON text, if this process announced it. */
  get outcomeText(): string | undefined {
    return this.#state.kind === 'open' ? undefined : this.#state.outcomeText
  }

  /** The clean-up, while this process runs it. */
  get cleaning(): Cleaning | undefined {
    return this.#state.kind === 'cleaning' ? this.#state.work : undefined
  }

  /** Notes that the waiters are notified now. @param outcomeText the outcome as JSON text */
  announce(outcomeText: string): void {
    if (this.#state.kind !== 'open') throw illegal('announce', this.#state.kind)
    this.#state = { kind: 'announced', outcomeText }
  }

  /** Notes that a clean-up begins, possibly while an earlier one that was parked ends. */
  beginCleaning(work: Cleaning): void {
    if (this.#state.kind === 'open') throw illegal('begin the clean-up', 'open')
    this.#state = { kind: 'cleaning', outcomeText: this.#state.outcomeText, work }
  }

  /** Notes that a clean-up ended or is parked. No effect if another clean-up has begun, or none runs. */
  endCleaning(work: Cleaning | undefined): void {
    const state = this.#state
    if (state.kind !== 'cleaning' || state.work !== work) return
    const { outcomeText } = state
    this.#state = outcomeText === undefined ? FOUND_SETTLED : { kind: 'announced', outcomeText }
  }
}
