/**
 * Forwards a task's progress to one client: the latest value, at most one in each interval, the first and the last at
 * once. The sent values always rise, also over a restart: a replayed body reports values that its client has received
 * already.
 */
import type { Clock } from '../../base/clock.js'
import { cleanText } from '../../http/clean-text.js'
import type { Progress } from '../../task/head.js'

/** Progress in the form of the protocol. */
export interface SentProgress {
  readonly progress: number
  readonly total?: number | undefined
  readonly message?: string | undefined
}

/** Options of a feed. */
export interface FeedOptions {
  readonly clock: Clock
  readonly intervalMs: number
  /** Value that the client received last, before a restart. */
  readonly last?: number | undefined
  /** Sends a value. It must keep the order of its calls. */
  readonly send: (progress: SentProgress) => Promise<void>
}

const MESSAGE_BYTES_MAX = 500

export class ProgressFeed {
  #last: number
  #sentAt: number | undefined
  #waiting: SentProgress | undefined
  #disarm = () => {}
  readonly #sending = new Set<Promise<void>>()

  constructor(private readonly options: FeedOptions) {
    this.#last = options.last ?? Number.NEGATIVE_INFINITY
  }

  push({ done, total, message }: Progress): void {
    // Progress without a number counts as one more step.
    const progress = done ?? Math.max(0, Math.floor(Math.max(this.#last, this.#waiting?.progress ?? 0))) + 1
    if (progress <= this.#last) return
    this.#waiting = {
      progress,
      ...(total === undefined ? {} : { total }),
      ...(message === undefined ? {} : { message: cleanText(message, MESSAGE_BYTES_MAX) }),
    }
    const { clock, intervalMs } = this.options
    const now = clock.now()
    // Without this, a clock that was set back would delay the value.
    const dueAt = this.#sentAt === undefined ? now : Math.min(this.#sentAt, now) + intervalMs
    this.#disarm()
    if (dueAt <= now) this.#send()
    else this.#disarm = clock.setTimer(dueAt, () => this.#send(), { background: true, elapsed: true })
  }

  /** Sends the waiting value, and resolves once all values are passed to the transport. */
  async end(): Promise<void> {
    this.#send()
    await Promise.all(this.#sending)
  }

  /** Stops the feed without sending the waiting value. */
  stop(): void {
    this.#disarm()
    this.#waiting = undefined
  }

  #send(): void {
    this.#disarm()
    const waiting = this.#waiting
    if (!waiting) return
    this.#waiting = undefined
    this.#last = waiting.progress
    this.#sentAt = this.options.clock.now()
    const sending = this.options.send(waiting).catch(() => {}) // The connection is lost. The task continues.
    this.#sending.add(sending)
    void sending.then(() => this.#sending.delete(sending))
  }
}
