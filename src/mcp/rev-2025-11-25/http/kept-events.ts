/**
 * The events of a session that are on disk, oldest first. Decides which of them are deleted, by count, bytes and age, and
 * once a client has the answer of their stream.
 *
 * They are a queue: an event costs the same, however many events and open streams there are. An event that reaches the
 * front and is still needed is held apart until its stream continues.
 */
import { Queue } from '../../../base/collections.js'
import type { CheckedHttpOptions } from './options.js'
import type { EventRecord } from './session-records.js'

/** Description of an event on disk, without its message. */
export interface Kept extends Pick<EventRecord, 'stream' | 'number' | 'at' | 'bytes'> {
  /** True if the event is worth nothing to a client that has the answer. */
  readonly isProgress?: boolean
}

interface Entry {
  readonly event: Kept
  /** True if the event is deleted. The queue may still contain the entry. */
  isGone: boolean
  isInQueue: boolean
}

// Entries of deleted events are taken out of the queue once they are more than half of it, and more than this.
const GONE_MAX = 64

export class KeptEvents {
  #queue = new Queue<Entry>()
  /** Number of entries in the queue whose event is deleted. */
  #goneInQueue = 0
  /** Needed events that were at the front, by stream. Each is the newest one of a stream that continues. */
  readonly #held = new Map<string, Entry>()
  /** Events that were held and are not needed any more. They are the next to be deleted. */
  #released = new Queue<Entry>()
  readonly #progress = new Map<string, Queue<Entry>>()
  #count = 0
  #bytes = 0

  constructor(
    private readonly options: Pick<CheckedHttpOptions, 'eventsMax' | 'eventBytesMax' | 'eventTtlMs'>,
    /** True if an event must be kept, because the numbers of its stream continue from it. */
    private readonly isNeeded: (event: Kept) => boolean,
  ) {}

  /** True if any event can become too old. */
  get canAge(): boolean {
    for (const { event } of this.#entries()) if (!this.isNeeded(event)) return true
    return false
  }

  /** Adds the events of an earlier process. */
  load(events: readonly Kept[]): void {
    const sorted = [...events].sort((one, other) => one.at - other.at || one.number - other.number)
    for (const { stream, number, at, bytes, isProgress } of sorted) {
      this.#push({ stream, number, at, bytes, ...(isProgress ? { isProgress } : {}) })
    }
  }

  /**
   * Adds an event.
   * @returns the events to delete in exchange
   */
  add(event: Kept): readonly Kept[] {
    this.release(event.stream)
    const newest = this.#push(event)
    const old: Kept[] = []
    while (this.#isOver) {
      const entry = this.#oldest(newest)
      if (!entry) break
      this.#drop(entry)
      old.push(entry.event)
    }
    return old
  }

  /** Allows the deletion of a stream's newest event, because the stream continued or ended. */
  release(stream: string): void {
    const held = this.#held.get(stream)
    if (!held) return
    this.#held.delete(stream)
    this.#released.push(held)
  }

  /** @returns the progress of a stream whose answer a client has; it is to be deleted */
  dropProgress(stream: string): readonly Kept[] {
    const old: Kept[] = []
    for (const entry of [...(this.#progress.get(stream) ?? [])]) {
      if (entry.isGone) continue
      this.#drop(entry)
      if (entry.isInQueue) this.#goneInQueue++
      old.push(entry.event)
    }
    this.#progress.delete(stream)
    this.#takeOutGone()
    return old
  }

  /** @returns the events of ended streams that are older than `eventTtl`; they are to be deleted */
  age(now: number, isOver: (stream: string) => boolean): readonly Kept[] {
    const before = now - this.options.eventTtlMs
    const old: Kept[] = []
    for (const entry of this.#entries()) {
      const { event } = entry
      if (event.at >= before || !isOver(event.stream) || this.isNeeded(event)) continue
      this.#drop(entry)
      old.push(event)
    }
    const isKept = ({ isGone }: Entry) => !isGone
    this.#queue.filter(isKept)
    this.#released.filter(isKept)
    for (const [stream, { isGone }] of this.#held) if (isGone) this.#held.delete(stream)
    this.#goneInQueue = 0
    return old
  }

  get #isOver(): boolean {
    const { eventsMax, eventBytesMax } = this.options
    return this.#count > eventsMax || this.#bytes > eventBytesMax
  }

  /** Takes out the oldest event that is not needed. The newest event is kept regardless of its size: it may be the answer. */
  #oldest(newest: Entry): Entry | undefined {
    for (let entry = this.#released.shift(); entry; entry = this.#released.shift()) {
      if (this.#mayGo(entry)) return entry
    }
    for (let entry = this.#queue.first; entry && entry !== newest; entry = this.#queue.first) {
      this.#queue.shift()
      entry.isInQueue = false
      if (entry.isGone) this.#goneInQueue--
      if (this.#mayGo(entry)) return entry
    }
    return undefined
  }

  /** True for an event that may be deleted. One that is needed is held. */
  #mayGo(entry: Entry): boolean {
    if (entry.isGone) return false
    const isNeeded = this.isNeeded(entry.event)
    if (isNeeded) this.#held.set(entry.event.stream, entry)
    return !isNeeded
  }

  #push(event: Kept): Entry {
    const entry: Entry = { event, isGone: false, isInQueue: true }
    this.#queue.push(entry)
    this.#count++
    this.#bytes += event.bytes
    if (!event.isProgress) return entry
    const progress = this.#progress.get(event.stream) ?? new Queue()
    this.#progress.set(event.stream, progress)
    progress.push(entry)
    return entry
  }

  #drop(entry: Entry): void {
    entry.isGone = true
    this.#count--
    this.#bytes -= entry.event.bytes
    const progress = entry.event.isProgress ? this.#progress.get(entry.event.stream) : undefined
    while (progress?.first?.isGone) progress.shift()
    if (progress?.size === 0) this.#progress.delete(entry.event.stream)
  }

  #takeOutGone(): void {
    if (this.#goneInQueue <= GONE_MAX || this.#goneInQueue * 2 <= this.#queue.size) return
    this.#queue.filter(({ isGone }) => !isGone)
    this.#goneInQueue = 0
  }

  *#entries(): Generator<Entry> {
    for (const entries of [this.#released, this.#held.values(), this.#queue]) {
      for (const entry of entries) if (!entry.isGone) yield entry
    }
  }
}
