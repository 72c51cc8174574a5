/** The waits of a run between attempts. They end when their time comes, or all at once with the run. */
import type { Clock } from '../clock.js'

export class Pauses {
  readonly #ends = new Set<() => void>()

  constructor(private readonly clock: Clock) {}

  /** Resolves at `instant`, or when `endAll` is called. */
  until(instant: number): Promise<void> {
    return new Promise((resolve) => {
      const end = () => {
        disarm()
        this.#ends.delete(end)
        resolve()
      }
      const disarm = this.clock.setTimer(instant, end)
      this.#ends.add(end)
    })
  }

  /** Ends every wait now. */
  endAll(): void {
    for (const end of this.#ends) end()
  }
}
