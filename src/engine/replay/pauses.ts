/** The waits of a run. They end when their time comes, when they are told, or all at once with the run. */
import type { Clock } from '../../base/clock.js'
import { Heap } from '../../base/heap.js'
import type { PendingCall } from './pending-call.js'

/** One wait. Once it has ended it is kept until it is deleted: its run waits for a slot then. */
export interface Pause {
  readonly asked: PendingCall
  /** When it ends by itself; once it has ended, when that was, if that was earlier. */
  readonly endsAt: number
  /** True if it waits for something from outside too: an answer, a message, a child. */
  readonly listens: boolean
  /** Resolves when it has ended. */
  readonly over: Promise<void>
  readonly end: () => void
}

export class Pauses {
  readonly #pauses = new Heap<Pause>((one, other) => one.endsAt < other.endsAt)
  /** Those that listen, by the identity of what waits. */
  readonly #listening = new Map<string, Pause>()

  constructor(private readonly clock: Clock) {}

  get count(): number {
    return this.#pauses.size
  }

  /** When the first of them ends. */
  get nextAt(): number {
    return this.#pauses.first?.endsAt ?? Number.POSITIVE_INFINITY
  }

  /** True if any of them could end before its time. */
  get listens(): boolean {
    return this.#listening.size > 0
  }

  /** Begins one, until `endsAt` or until it is ended. */
  begin(asked: PendingCall, endsAt: number, listens: boolean): Pause {
    let resolve = () => {}
    const over = new Promise<void>((end) => {
      resolve = end
    })
    const end = () => {
      disarm()
      this.#endsAt(pause, Math.min(pause.endsAt, this.clock.now()))
      resolve()
    }
    const disarm = this.clock.setTimer(endsAt, end)
    const pause = { asked, endsAt, listens, over, end }
    this.#pauses.add(pause)
    if (listens) this.#listening.set(asked.ask.id, pause)
    return pause
  }

  /** Its run has a slot again, or is over. */
  delete(pause: Pause): void {
    this.#pauses.remove(pause)
    if (this.#listening.get(pause.asked.ask.id) === pause) this.#listening.delete(pause.asked.ask.id)
  }

  /** Ends those whose time has come. */
  endDue(now: number): void {
    for (const pause of this.#pauses.items()) if (pause.endsAt <= now) pause.end()
  }

  /** Something came from outside: whoever listens looks whether it is for him. @param ids only these, if they are known */
  nudge(ids: Iterable<string> = [...this.#listening.keys()]): void {
    for (const id of ids) this.#listening.get(id)?.end()
  }

  /** Ends and deletes the waits of asks that `isOver` says are over; all of them by default. */
  endAll(isOver: (asked: PendingCall) => boolean = () => true): void {
    for (const pause of this.#pauses.items()) {
      if (!isOver(pause.asked)) continue
      this.delete(pause)
      pause.end()
    }
  }

  #endsAt(pause: { endsAt: number } & Pause, endsAt: number): void {
    const isIn = this.#pauses.remove(pause)
    pause.endsAt = endsAt
    if (isIn) this.#pauses.add(pause)
  }
}
