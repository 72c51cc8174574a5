/**
 * Keeps reads of ranges and compactions apart. A compaction that runs while an iterator is open can bring deleted keys
 * back (https://github.com/google/leveldb/issues/320), so ours waits until no page is being read, and pages wait for it.
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

  /** Runs a compaction in a moment in which no page is being read. A page takes milliseconds, so that comes soon. */
  async compact(compact: () => Promise<void>): Promise<void> {
    while (this.#compacting) await this.#compacting
    while (this.#reading > 0) {
      await new Promise<void>((resolve) => {
        this.#onIdle = resolve
      })
    }
    const running = compact()
    // Its failure is the caller's. Who waits for it only waits for its end.
    this.#compacting = running
      .catch(() => {})
      .finally(() => {
        this.#compacting = undefined
      })
    await running
  }
}
