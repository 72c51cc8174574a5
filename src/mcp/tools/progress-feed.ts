/**
 * Forwards a task's progress to one client: the latest value, at most one per interval, the first and the last at once.
 * What is sent rises strictly, also over a restart: a body that is replayed says again what its client knows already.
 */
import type { Clock } from '../../base/clock.js'
import type { Progress } from '../../task/head.js'
import { cleanText } from '../access/clean-text.js'

/** A value as the protocol wants it. */
export interface SentProgress {
  readonly progress: number
  readonly total?: number | undefined
  readonly message?: string | undefined
}

/** What a feed needs. */
export interface FeedOptions {
  readonly clock: Clock
  readonly intervalMs: number
  /** What the client was sent last, before a restart. */
  readonly last?: number | undefined
  /** Must keep the order of its calls. */
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
    // A body that only says words makes one step with each.
    const progress = done ?? Math.max(0, Math.floor(Math.max(this.#last, this.#waiting?.progress ?? 0))) + 1
    if (progress <= this.#last) return
    this.#waiting = {
      progress,
      ...(total === undefined ? {} : { total }),
      ...(message === undefined ? {} : { message: cleanText(message, MESSAGE_BYTES_MAX) }),
    }
    const { clock, intervalMs } = this.options
    const now = clock.now()
    // Not later because the clock was set back.
    const dueAt = this.#sentAt === undefined ? now : Math.min(this.#sentAt, now) + intervalMs
    this.#disarm()
    if (dueAt <= now) this.#send()
    else this.#disarm = clock.setTimer(dueAt, () => this.#send(), { background: true, elapsed: true })
  }

  /** Sends what is waiting, and resolves once everything is handed to the transport. */
  async end(): Promise<void> {
    this.#send()
    await Promise.all(this.#sending)
  }

  /** Nobody listens any more. */
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
    const sending = this.options.send(waiting).catch(() => {}) // The connection is gone; the task is not.
    this.#sending.add(sending)
    void sending.then(() => this.#sending.delete(sending))
  }
}
