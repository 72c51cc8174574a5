/** Semaphores: a number of places, taken in the order in which they were requested. */
import { type Deferred, deferred } from '../../base/deferred.js'

/** Places that are taken and given back. */
export class Semaphore {
  readonly #waiting: Deferred<void>[] = []

  constructor(private free: number) {}

  /** Resolves once a place is taken. */
  take(): Promise<void> {
    const turn = deferred<void>()
    this.#waiting.push(turn)
    this.#serve()
    return turn.promise
  }

  /** Gives a place back. */
  release(): void {
    this.free++
    this.#serve()
  }

  #serve(): void {
    while (this.free > 0 && this.#waiting.length > 0) {
      this.free--
      this.#waiting.shift()?.resolve()
    }
  }
}

/** Places for processes: a body that calls a thousand isolated steps at once must not start a thousand processes. */
export class ProcessSemaphore {
  #free: number
  readonly #waiting = new Set<() => void>()

  constructor(max: number) {
    this.#free = max
  }

  /**
   * Runs `act` once there is a place for it, first come, first served.
   * @throws what `signal` was aborted with, if that was before there was a place
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

  // Handed on without becoming free in between, so that nobody comes first who came last.
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
