/** Semaphores: a number of places, taken in the order in which they were requested. */
import { Queue } from '../../base/collections.js'
import { type Deferred, deferred } from '../../base/promises.js'

/** A semaphore: places that are taken and given back. */
export class Semaphore {
  readonly #waiting = new Queue<Deferred<void>>()

  constructor(private free: number) {}

  /** Takes a place. Returns a promise that resolves with a place, or `undefined` if one was free. */
  take(): Promise<void> | undefined {
    if (this.free > 0) {
      this.free--
      return undefined
    }
    const turn = deferred<void>()
    this.#waiting.push(turn)
    return turn.promise
  }

  /** Gives a place back: to the first caller that waits, if there is one. */
  release(): void {
    const next = this.#waiting.shift()
    if (next) next.resolve()
    else this.free++
  }
}

/**
 * A semaphore for processes, so that a body with a thousand isolated steps at once does not start a thousand processes.
 */
export class ProcessSemaphore {
  #free: number
  readonly #waiting = new Set<() => void>()

  constructor(max: number) {
    this.#free = max
  }

  /**
   * Runs `act` when a place is free, in the order of the calls.
   * @throws the reason of `signal`, if it was aborted before a place was free
   */
  async run<T>(signal: AbortSignal, act: () => Promise<T>): Promise<T> {
    signal.throwIfAborted()
    if (this.#free > 0) this.#free--
    else await this.#place(signal)
    try {
      return await act()
    } finally {
      this.#giveBack()
    }
  }

  #place(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const take = () => {
        signal.removeEventListener('abort', leave)
        resolve()
      }
      const leave = () => {
        this.#waiting.delete(take)
        reject(signal.reason)
      }
      signal.addEventListener('abort', leave, { once: true })
      this.#waiting.add(take)
    })
  }

  // Passes the place directly to the next caller, so that no later caller can take it in between.
  #giveBack(): void {
    const [next] = this.#waiting
    if (!next) {
      this.#free++
      return
    }
    this.#waiting.delete(next)
    next()
  }
}
