/**
 * The read of a `restoreCheckpoint` call. The body receives the result in a turn of its own, which is planned when the
 * body only waits and no other turn is planned. So the speed of the disk changes no order.
 */
import type { Turns } from './turns.js'

interface Reading {
  readonly reject: (error: unknown) => void
  /** Resolves the call. Set when the read is done. */
  hand?: () => void
}

export class RestoreRead {
  #reading: Reading | undefined

  /** True from the call until the body receives its answer. */
  get isPending(): boolean {
    return this.#reading !== undefined
  }

  /**
   * Begins the read of a restore.
   * @param onAnswer called in the turn of the answer, before the body continues
   * @param onRead called when the read is done, so that `plan` can plan the turn
   * @param onDamaged called if the read fails. The promise then stays pending
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

  /** Plans the turn of the answer, if the read is done. */
  plan(turns: Turns, isOver: () => boolean): void {
    const hand = this.#reading?.hand
    if (!hand) return
    turns.plan(() => {
      if (isOver()) return
      this.#reading = undefined
      hand()
    })
  }

  /** Rejects the call with `reason`, because the task is settled. */
  interrupt(reason: unknown): void {
    this.#reading?.reject(reason)
  }
}
