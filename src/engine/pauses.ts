/** The waits of a run. They end when their time comes, when they are told, or all at once with the run. */
import type { Clock } from '../clock.js'
import type { Asked } from './asked.js'

interface Pause {
  readonly asked: Asked
  readonly endsAt: number
  /** Whether it waits for something from outside too: an answer, a message, a child. */
  readonly listens: boolean
  readonly end: () => void
}

export class Pauses {
  readonly #pauses = new Set<Pause>()

  constructor(private readonly clock: Clock) {}

  get count(): number {
    return this.#pauses.size
  }

  /** When the first of them ends. */
  get nextAt(): number {
    return Math.min(...[...this.#pauses].map(({ endsAt }) => endsAt))
  }

  /** Whether any of them could end before its time. */
  get listens(): boolean {
    return [...this.#pauses].some(({ listens }) => listens)
  }

  /** Resolves at `instant`, or when it is ended. */
  until(asked: Asked, endsAt: number, listens: boolean): Promise<void> {
    return new Promise((resolve) => {
      const end = () => {
        disarm()
        this.#pauses.delete(pause)
        resolve()
      }
      const disarm = this.clock.setTimer(endsAt, end)
      const pause = { asked, endsAt, listens, end }
      this.#pauses.add(pause)
    })
  }

  /** Something came from outside: whoever listens looks whether it is for him. */
  nudge(): void {
    for (const { listens, end } of [...this.#pauses]) if (listens) end()
  }

  /** Ends the waits of asks that `isOver` says are over; all of them by default. */
  endAll(isOver: (asked: Asked) => boolean = () => true): void {
    for (const { asked, end } of [...this.#pauses]) if (isOver(asked)) end()
  }
}
