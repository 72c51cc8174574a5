/** The waits of a run: sleeps, and those between attempts. They end when their time comes, or all at once with the run. */
import type { Clock } from '../clock.js'

export class Pauses {
  readonly #ends = new Map<() => void, number>()

  constructor(private readonly clock: Clock) {}

  get count(): number {
    return this.#ends.size
  }

  /** When the first of them ends. */
  get nextAt(): number {
    return Math.min(...this.#ends.values())
  }

  /** Resolves at `instant`, or when `endAll` is called. */
  until(instant: number): Promise<void> {
    return new Promise((resolve) => {
      const end = () => {
        disarm()
        this.#ends.delete(end)
        resolve()
      }
      const disarm = this.clock.setTimer(instant, end)
      this.#ends.set(end, instant)
    })
  }

  /** Ends every wait now. */
  endAll(): void {
    for (const end of [...this.#ends.keys()]) end()
  }
}
