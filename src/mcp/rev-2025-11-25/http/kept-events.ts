/**
 * The events of a session that are on disk, oldest first. Decides which of them are deleted, by count, bytes and age.
 */
import type { CheckedHttpOptions } from './options.js'
import type { EventRecord } from './session-records.js'

/** Description of an event on disk, without its message. */
export type Kept = Pick<EventRecord, 'stream' | 'number' | 'at' | 'bytes'>

export class KeptEvents {
  #kept: Kept[] = []
  #bytes = 0

  constructor(
    private readonly options: Pick<CheckedHttpOptions, 'eventsMax' | 'eventBytesMax' | 'eventTtlMs'>,
    /** True if an event must be kept, because the numbers of its stream continue from it. */
    private readonly isNeeded: (event: Kept) => boolean,
  ) {}

  /** True if any event can become too old. */
  get canAge(): boolean {
    return this.#kept.some((event) => !this.isNeeded(event))
  }

  /** Adds the events of an earlier process. */
  load(events: readonly Kept[]): void {
    this.#kept = events
      .map(({ stream, number, at, bytes }) => ({ stream, number, at, bytes }))
      .sort((one, other) => one.at - other.at || one.number - other.number)
    this.#bytes = this.#kept.reduce((sum, { bytes }) => sum + bytes, 0)
  }

  /**
   * Adds an event.
   * @returns the events to delete in exchange
   */
  add(event: Kept): readonly Kept[] {
    this.#kept.push(event)
    this.#bytes += event.bytes
    const { eventsMax, eventBytesMax } = this.options
    let [count, bytes] = [this.#kept.length, this.#bytes]
    if (count <= eventsMax && bytes <= eventBytesMax) return []
    const old: Kept[] = []
    for (const one of this.#kept) {
      // The newest event is kept regardless of its size: it may be the answer.
      if ((count <= eventsMax && bytes <= eventBytesMax) || one === event) break
      if (this.isNeeded(one)) continue
      old.push(one)
      count--
      bytes -= one.bytes
    }
    return this.#drop(old)
  }

  /** @returns the events of ended streams that are older than `eventTtl`; they are to be deleted */
  age(now: number, isOver: (stream: string) => boolean): readonly Kept[] {
    const before = now - this.options.eventTtlMs
    return this.#drop(this.#kept.filter((event) => event.at < before && isOver(event.stream) && !this.isNeeded(event)))
  }

  #drop(old: readonly Kept[]): readonly Kept[] {
    if (old.length === 0) return old
    const gone = new Set(old)
    this.#kept = this.#kept.filter((event) => !gone.has(event))
    for (const { bytes } of old) this.#bytes -= bytes
    return old
  }
}
