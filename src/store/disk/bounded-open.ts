/**
 * Opens databases with a time limit. A healthy database opens within milliseconds. On a network mount that does not
 * respond, an open never returns.
 *
 * bounded-open-1. LevelDB's open cannot be stopped. An abandoned open continues in the background, and its database is
 *   closed once it is open. Until then, no other open may use the directory: this process would drop its own lock of
 *   it.
 * - The next open of the same path waits for the end of the abandoned one, with the same limit.
 */
import type { Clock } from '../../base/clock.js'
import type { Level, OpenLevel } from './level.js'

export const OPEN_MS_MAX = 60_000

export class BoundedOpen {
  #ending: Promise<void> | undefined

  constructor(
    private readonly openLevel: OpenLevel,
    private readonly clock: Clock,
  ) {}

  /** Resolves when the abandoned open has ended and its database is closed; `undefined` if there is none. */
  get ending(): Promise<void> | undefined {
    return this.#ending
  }

  /**
   * Opens the database at `path`.
   * @throws Error if that takes longer than 60 s, or the error of the database
   */
  readonly open: OpenLevel = async (path, options) => {
    if (this.#ending) await this.#within(this.#ending)
    const opening = this.openLevel(path, options)
    try {
      return await this.#within(opening)
    } catch (error) {
      if (error instanceof GivenUp) this.#giveUp(opening)
      throw error
    }
  }

  #giveUp(opening: Promise<Level>): void {
    const ending = opening
      .then((level) => level.close())
      .catch(() => {})
      .finally(() => {
        if (this.#ending === ending) this.#ending = undefined
      })
    this.#ending = ending
  }

  async #within<T>(promise: Promise<T>): Promise<T> {
    const { clock } = this
    let disarm = () => {}
    const late = new Promise<never>((_, reject) => {
      const giveUp = () => reject(new GivenUp(`The database did not open within ${OPEN_MS_MAX} ms`))
      disarm = clock.setTimer(clock.now() + OPEN_MS_MAX, giveUp, { elapsed: true })
    })
    try {
      return await Promise.race([promise, late])
    } finally {
      disarm()
    }
  }
}

class GivenUp extends Error {}
