/** The waits of a run. A wait ends at its time, by news, or with the run. */
import type { Clock } from '../../base/clock.js'
import { Heap, SmallMap } from '../../base/collections.js'
import type { PendingCall } from './pending-call.js'

/** One wait. After its end it is kept while its run waits for a slot. */
export interface Pause {
  readonly asked: PendingCall
  /** Instant at which the wait ends by itself. After its end, the instant of the end if that was earlier. */
  readonly endsAt: number
  /** True if an answer, a message or the end of a child can end the wait. */
  readonly listens: boolean
  /** Resolves when the wait has ended. */
  readonly over: Promise<void>
  readonly end: () => void
}

export class Pauses {
  /** `undefined` before the first wait. */
  #pauses: Heap<Pause> | undefined
  /** The waits that news can end, by the identity of their call. */
  readonly #listening = new SmallMap<string, Pause>()

  constructor(private readonly clock: Clock) {}

  get count(): number {
    return this.#pauses?.size ?? 0
  }

  /** Instant at which the first wait ends. */
  get nextAt(): number {
    return this.#pauses?.first?.endsAt ?? Number.POSITIVE_INFINITY
  }

  /** The waits, also those that have ended while their run waits for a slot. */
  get all(): readonly Pause[] {
    return this.#pauses?.items() ?? []
  }

  /** True if news could end one of the waits. */
  get listens(): boolean {
    return this.#listening.size > 0
  }

  /** Begins a wait until `endsAt`, or until it is ended. */
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
    this.#pauses ??= new Heap(endsBefore)
    this.#pauses.add(pause)
    if (listens) this.#listening.set(asked.ask.id, pause)
    return pause
  }

  /** Deletes a wait whose run has a slot again, or has ended. */
  delete(pause: Pause): void {
    this.#pauses?.remove(pause)
    if (this.#listening.get(pause.asked.ask.id) === pause) this.#listening.delete(pause.asked.ask.id)
  }

  /** Ends the waits whose time has come. */
  endDue(now: number): void {
    for (const pause of this.all) if (pause.endsAt <= now) pause.end()
  }

  /** Ends the waits that listen for news, so that their calls check for it. @param ids only the waits of these calls */
  nudge(ids: Iterable<string> = [...this.#listening.keys()]): void {
    for (const id of ids) this.#listening.get(id)?.end()
  }

  /** Ends and deletes the waits of the calls for which `isOver` is true. By default, all waits. */
  endAll(isOver: (asked: PendingCall) => boolean = () => true): void {
    for (const pause of this.all) {
      if (!isOver(pause.asked)) continue
      this.delete(pause)
      pause.end()
    }
  }

  #endsAt(pause: { endsAt: number } & Pause, endsAt: number): void {
    const isIn = this.#pauses?.remove(pause)
    pause.endsAt = endsAt
    if (isIn) this.#pauses?.add(pause)
  }
}

function endsBefore(one: Pause, other: Pause): boolean {
  return one.endsAt < other.endsAt
}
