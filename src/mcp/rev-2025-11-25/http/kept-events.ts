/** Which events of a session are on disk, oldest first, and which have to go: by count, by bytes, by age. */
import type { CheckedHttpOptions } from './options.js'
import type { EventRecord } from './session-records.js'

/** What is remembered of an event that is on disk. */
export type Kept = Pick<EventRecord, 'stream' | 'number' | 'at' | 'bytes'>

export class KeptEvents {
  #kept: Kept[] = []
  #bytes = 0

  constructor(
    private readonly options: Pick<CheckedHttpOptions, 'eventsMax' | 'eventBytesMax' | 'eventTtlMs'>,
    /** True if an event stays whatever happens: the numbers of its stream continue from it. */
    private readonly isNeeded: (event: Kept) => boolean,
  ) {}

  /** True if any of them goes some time. */
  get canAge(): boolean {
    return this.#kept.some((event) => !this.isNeeded(event))
  }

  /** What an earlier process left. */
  load(events: readonly Kept[]): void {
    this.#kept = events
      .map(({ stream, number, at, bytes }) => ({ stream, number, at, bytes }))
      .sort((one, other) => one.at - other.at || one.number - other.number)
    this.#bytes = this.#kept.reduce((sum, { bytes }) => sum + bytes, 0)
  }

  /** @returns the events that go because this one comes */
  add(event: Kept): readonly Kept[] {
    this.#kept.push(event)
    this.#bytes += event.bytes
    const { eventsMax, eventBytesMax } = this.options
    let [count, bytes] = [this.#kept.length, this.#bytes]
    if (count <= eventsMax && bytes <= eventBytesMax) return []
    const old: Kept[] = []
    for (const one of this.#kept) {
      // The newest stays, whatever it takes: it may be the answer.
      if ((count <= eventsMax && bytes <= eventBytesMax) || one === event) break
      if (this.isNeeded(one)) continue
      old.push(one)
      count--
      bytes -= one.bytes
    }
    return this.#drop(old)
  }

  /** @returns the events that are older than they have to be kept, of streams that are over */
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
