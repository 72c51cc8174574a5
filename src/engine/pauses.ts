/** The waits of a run. They end when their time comes, when they are told, or all at once with the run. */
import type { Clock } from '../clock.js'
import type { Asked } from './asked.js'

/** One wait. Once it has ended it is kept until it is deleted: its run waits for a slot then. */
export interface Pause {
  readonly asked: Asked
  /** When it ends by itself; once it has ended, when that was, if that was earlier. */
  endsAt: number
  /** Whether it waits for something from outside too: an answer, a message, a child. */
  readonly listens: boolean
  /** Resolves when it has ended. */
  readonly over: Promise<void>
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
    let first = Number.POSITIVE_INFINITY
    for (const { endsAt } of this.#pauses) if (endsAt < first) first = endsAt
    return first
  }

  /** Whether any of them could end before its time. */
  get listens(): boolean {
    for (const { listens } of this.#pauses) if (listens) return true
    return false
  }

  /** Begins one, until `endsAt` or until it is ended. */
  begin(asked: Asked, endsAt: number, listens: boolean): Pause {
    let resolve = () => {}
    const over = new Promise<void>((end) => {
      resolve = end
    })
    const end = () => {
      disarm()
      pause.endsAt = Math.min(pause.endsAt, this.clock.now())
      resolve()
    }
    const disarm = this.clock.setTimer(endsAt, end)
    const pause: Pause = { asked, endsAt, listens, over, end }
    this.#pauses.add(pause)
    return pause
  }

  /** Its run has a slot again, or is over. */
  delete(pause: Pause): void {
    this.#pauses.delete(pause)
  }

  /** Ends those whose time has come. */
  endDue(now: number): void {
    for (const { endsAt, end } of this.#pauses) if (endsAt <= now) end()
  }

  /** Something came from outside: whoever listens looks whether it is for him. */
  nudge(): void {
    for (const { listens, end } of this.#pauses) if (listens) end()
  }

  /** Ends and deletes the waits of asks that `isOver` says are over; all of them by default. */
  endAll(isOver: (asked: Asked) => boolean = () => true): void {
    for (const pause of [...this.#pauses]) {
      if (!isOver(pause.asked)) continue
      this.#pauses.delete(pause)
      pause.end()
    }
  }
}
