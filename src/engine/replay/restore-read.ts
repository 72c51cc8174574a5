/**
 * The read behind a body's `restoreCheckpoint`. Owns the one that continues. What it read is handed over in a turn of its own,
 * planned once the body is at rest and no other turn is left: how long a disk takes changes no order.
 */
import type { Turns } from './turns.js'

interface Reading {
  readonly reject: (error: unknown) => void
  /** Hands it over; there once it is read. */
  hand?: () => void
}

export class RestoreRead {
  #reading: Reading | undefined

  /** True from the call until its answer is handed over. */
  get goesOn(): boolean {
    return this.#reading !== undefined
  }

  /**
   * Reads.
   * @param onAnswer called in the turn of the answer, before the body goes on
   * @param onRead called once `plan` has something to plan
   * @param onDamaged called if it can't be read; the promise stays pending then
   */
  read<T>(
    read: () => Promise<T>,
    on: {
      readonly onAnswer: (() => void) | undefined
      readonly onRead: () => void
      readonly onDamaged: (error: unknown) => void
    },
  ): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const reading: Reading = { reject }
      this.#reading = reading
      read().then((value) => {
        reading.hand = () => {
          on.onAnswer?.()
          resolve(value)
        }
        on.onRead()
      }, on.onDamaged)
    })
  }

  /** Plans the turn of the answer, if that is there. */
  plan(turns: Turns, isOver: () => boolean): void {
    const hand = this.#reading?.hand
    if (!hand) return
    turns.plan(() => {
      if (isOver()) return
      this.#reading = undefined
      hand()
    })
  }

  /** The task is settled: whoever waits for the answer gets `reason`. */
  interrupt(reason: unknown): void {
    this.#reading?.reject(reason)
  }
}
