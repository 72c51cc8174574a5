/**
 * Runs the actions of one key one after the other. Without this, two starts under one idempotency key could both create
 * a task (commit-5).
 */
export class KeyedMutex {
  /** Functions that begin the waiting actions, in their order, by each key that is held. */
  readonly #waiting = new Map<string, (() => void)[]>()

  /**
   * Runs `act` once all earlier actions of `key` are over, and at once if there are none.
   * @param act an async function. It must not throw before it returns its promise
   */
  run<T>(key: string, act: () => Promise<T>): Promise<T> {
    const waiting = this.#waiting.get(key)
    if (!waiting) this.#waiting.set(key, [])
    const acting = waiting ? new Promise<void>((begin) => waiting.push(begin)).then(act) : act()
    const over = () => this.#release(key)
    acting.then(over, over)
    return acting
  }

  #release(key: string): void {
    const begin = this.#waiting.get(key)?.shift()
    if (begin) begin()
    else this.#waiting.delete(key)
  }

  /** Runs `act` once all earlier actions of these keys are over. Two callers name their keys in the same order. */
  runAll<T>([first, ...rest]: readonly string[], act: () => Promise<T>): Promise<T> {
    return first === undefined ? act() : this.run(first, () => this.runAll(rest, act))
  }
}
