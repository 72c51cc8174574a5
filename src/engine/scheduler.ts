/**
 * Decides who runs next. Owns the slots and the queue for them; a run owns its slot until it is over. They meet in
 * three calls: `tryTake`, `enqueue`, `release`.
 *
 * S1. At most `concurrency` runs have a slot.
 * S2. Owners take turns, so one with ten thousand tasks delays nobody else's first. Within an owner, oldest first.
 * S3. A slot that becomes free goes to the queue before it goes to a newcomer.
 */

interface Waiting {
  readonly taskId: string
  readonly begin: () => void
}

export class Scheduler {
  #free: number
  #stopped = false
  // A Map keeps its order: the owner whose turn it is comes first, and goes to the end once served.
  readonly #queues = new Map<string | undefined, Waiting[]>()

  constructor(concurrency: number) {
    this.#free = concurrency
  }

  /** Takes a slot if one is free and nobody waits. */
  tryTake(): boolean {
    if (this.#stopped || this.#free === 0 || this.#queues.size > 0) return false
    this.#free--
    return true
  }

  /** Calls `begin`, with a slot taken, once it is this task's turn: at once if a slot is free. */
  enqueue(owner: string | undefined, taskId: string, begin: () => void): void {
    const queue = this.#queues.get(owner)
    if (queue) queue.push({ taskId, begin })
    else this.#queues.set(owner, [{ taskId, begin }])
    this.#serve()
  }

  /** Takes a task out of the queue. Returns whether it was there. */
  remove(owner: string | undefined, taskId: string): boolean {
    const queue = this.#queues.get(owner) ?? []
    const at = queue.findIndex((waiting) => waiting.taskId === taskId)
    if (at < 0) return false
    queue.splice(at, 1)
    if (queue.length === 0) this.#queues.delete(owner)
    return true
  }

  /** Gives a slot back. */
  release(): void {
    this.#free++
    this.#serve()
  }

  /** Nobody begins any more. */
  stop(): void {
    this.#stopped = true
  }

  #serve(): void {
    for (const [owner, queue] of this.#queues) {
      if (this.#free === 0 || this.#stopped) return
      const next = queue.shift()
      this.#queues.delete(owner)
      if (queue.length > 0) this.#queues.set(owner, queue)
      if (!next) continue
      this.#free--
      next.begin()
    }
  }
}
