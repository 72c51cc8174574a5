/** Does what concerns one key one after the other, so that two starts under one idempotency key can't both decide (commit-5). */
export class KeyedMutex {
  readonly #last = new Map<string, Promise<unknown>>()

  /** Runs `act` once everything before it under `key` is over. */
  async run<T>(key: string, act: () => Promise<T>): Promise<T> {
    const before = this.#last.get(key) ?? Promise.resolve()
    const mine = before.then(act, act)
    this.#last.set(key, mine)
    try {
      return await mine
    } finally {
      if (this.#last.get(key) === mine) this.#last.delete(key)
    }
  }
}
