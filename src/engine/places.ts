/** A number of places, taken in the order in which they were asked for. */
import { type Deferred, deferred } from '../deferred.js'

export class Places {
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
