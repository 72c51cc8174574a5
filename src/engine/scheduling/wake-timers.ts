/**
 * Wakes the sleeping tasks at their instants, with one timer of the clock for the first of them. A timer of the clock for
 * each task took 250 bytes more, and a server may have a hundred thousand sleeping tasks.
 *
 * - Tasks whose instant has come are woken in one turn, in the order of their instants. Tasks of the same instant are woken in
 *     the order in which they fell asleep.
 */
import type { Clock } from '../../base/clock.js'
import { Heap } from '../../base/collections.js'

/** The timer of one sleeping task. It is a state of the slot of the task (slot-state.ts). */
export class WakeTimer<Task> {
  readonly kind = 'asleep'

  constructor(
    private readonly timers: WakeTimers<Task>,
    readonly task: Task,
    readonly wakesAt: number,
    readonly order: number,
  ) {}

  /** Cancels the timer. No effect if it has fired. */
  cancel(): void {
    this.timers.remove(this)
  }
}

export class WakeTimers<Task> {
  readonly #timers = new Heap<WakeTimer<Task>>(wakesBefore)
  #count = 0
  /** The timer that the clock was set for, and the function that disarms the clock. */
  #armed: { readonly first: WakeTimer<Task>; readonly disarm: () => void } | undefined

  /** @param wake called with each task whose instant has come */
  constructor(
    private readonly clock: Clock,
    private readonly wake: (task: Task) => void,
  ) {}

  /** Sets a timer. */
  set(task: Task, wakesAt: number): WakeTimer<Task> {
    const timer = new WakeTimer(this, task, wakesAt, this.#count++)
    this.#timers.add(timer)
    this.#arm()
    return timer
  }

  remove(timer: WakeTimer<Task>): void {
    if (this.#timers.remove(timer)) this.#arm()
  }

  #arm(): void {
    const { first } = this.#timers
    if (first === this.#armed?.first) return
    this.#armed?.disarm()
    this.#armed = first && { first, disarm: this.clock.setTimer(first.wakesAt, () => this.#fire()) }
  }

  #fire(): void {
    this.#armed = undefined
    const now = this.clock.now()
    const due: WakeTimer<Task>[] = []
    for (let { first } = this.#timers; first && first.wakesAt <= now; first = this.#timers.first) {
      this.#timers.remove(first)
      due.push(first)
    }
    this.#arm()
    for (const { task } of due) this.wake(task)
  }
}

type Place = Pick<WakeTimer<never>, 'wakesAt' | 'order'>

function wakesBefore(one: Place, other: Place): boolean {
  return one.wakesAt < other.wakesAt || (one.wakesAt === other.wakesAt && one.order < other.order)
}
