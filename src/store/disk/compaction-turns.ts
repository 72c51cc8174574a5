/**
 * Keeps reads of ranges and compactions apart. A compaction during an open iterator can bring deleted keys back
 * (https://github.com/google/leveldb/issues/320). So a compaction waits until no page is being read, and reads wait for
 * its end.
 */

export class CompactionTurns {
  #reading = 0
  #compacting: Promise<void> | undefined
  #onIdle: () => void = () => {}

  /** Reads one page. Waits while a compaction is running. */
  async read<T>(read: () => Promise<T>): Promise<T> {
    while (this.#compacting) await this.#compacting
    this.#reading++
    try {
      return await read()
    } finally {
      this.#reading--
      if (this.#reading === 0) this.#onIdle()
    }
  }

  /** Runs a compaction once no page is being read. Reading a page takes milliseconds, so that is soon. */
  async compact(compact: () => Promise<void>): Promise<void> {
    while (this.#compacting) await this.#compacting
    while (this.#reading > 0) {
      await new Promise<void>((resolve) => {
        this.#onIdle = resolve
      })
    }
    const running = compact()
    // The caller receives the failure. Other waiters only wait for the end.
    this.#compacting = running
      .catch(() => {})
      .finally(() => {
        this.#compacting = undefined
      })
    await running
  }
}
