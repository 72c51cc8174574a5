/**
 * The events of one session. Each event is on disk before it is sent. The SDK's transport gets event IDs and the events
 * that a client missed from here.
 *
 * - The first event of a stream, the record of its request, and the task that the request creates are one write.
 * - An answer and the deletion of its request's record are one write. So a request is either open or answered.
 * - A request that is resumed after a restart gets a new stream from the transport. It continues under the name of the
 *   old one, so that the client's last event ID is found.
 * - An answer that ends a call has a record that it is not delivered. If a client reads the stream, the record is
 *   deleted in the write of the answer; else when a client fetches the answer.
 * - A replay ends only after it has sent all numbered events. Without this, an event that is stored meanwhile would be
 *   lost: the transport has no connection for the stream until the replay is over.
 * - A closed session writes nothing more. Without this, events could be written after the session was deleted.
 */
import type { EventStore } from '@modelcontextprotocol/sdk/server/webStandardStreamableHttp.js'
import type { JSONRPCMessage, RequestId } from '@modelcontextprotocol/sdk/types.js'
import type { Clock } from '../../../base/clock.js'
import { HoldfastError } from '../../../base/errors.js'
import type { BindingRecord } from '../../../task/changes.js'
import { isStoreAway } from '../../access/refusal.js'
import { Connections } from './connections.js'
import { type Kept, KeptEvents } from './kept-events.js'
import { isWait, type KeptRequest } from './kept-request.js'
import type { CheckedHttpOptions } from './options.js'
import type { EventRecord, OpenRecord, SessionRecords } from './session-records.js'
import {
  newStream,
  note,
  STANDALONE,
  STANDALONE_OF_TRANSPORT,
  type Stream,
  streamIdOf,
  takeOpening,
} from './streams.js'

/** Event ID of a stream that is not kept. A client that resumes with it receives nothing, and need not resume again. */
export const UNKEPT_EVENT = 'unkept_0'
// Number of the position before a stream's first event.
const BEFORE_ALL = -1

export class SessionEvents implements EventStore {
  readonly connections = new Connections((name) => {
    const stream = this.#streams.get(name)
    if (stream) stream.leftAt = this.clock.now()
  })
  readonly #streams = new Map<string, Stream>()
  readonly #names = new Map<string, string>()
  /** Streams of unanswered requests. */
  readonly #unanswered = new Map<RequestId, Stream>()
  readonly #unkept = new Set<string>()
  readonly #kept: KeptEvents
  #isClosed = false

  constructor(
    private readonly sessionId: string,
    private readonly records: SessionRecords,
    private readonly clock: Clock,
    options: CheckedHttpOptions,
  ) {
    this.#kept = new KeptEvents(options, (event) => this.#isLastOfOpen(event))
  }

  /** Reads the events that an earlier process stored. */
  async load(): Promise<void> {
    const events = await this.records.readEvents(this.sessionId)
    for (const { stream: name, number, message, rejoinKey } of events) {
      const stream = this.#streamOf(name)
      stream.next = number + 1
      stream.rejoinKey = rejoinKey
      if (message) note(stream, number, message)
    }
    this.#kept.load(events)
  }

  /** Position of a client that received this event last; `undefined` for an ID that is not of this session. */
  find(eventId: string): { stream: string; number: number; final: number | undefined } | undefined {
    const at = eventId.lastIndexOf('_')
    const [name, number] = [eventId.slice(0, at), Number(eventId.slice(at + 1))]
    const stream = this.#streams.get(name)
    if (!stream || !Number.isInteger(number) || number < BEFORE_ALL || number >= stream.next) return undefined
    return { stream: name, number, final: stream.final }
  }

  /** True if a client reads a stream, or a request is unanswered. */
  get isInUse(): boolean {
    return this.connections.has() || this.#unanswered.size > 0
  }

  /** True if a request with this ID is unanswered. */
  isOpen(requestId: RequestId): boolean {
    return this.#unanswered.has(requestId)
  }

  /** True if the client of a request reads its stream. */
  isRead(requestId: RequestId): boolean {
    const stream = this.#unanswered.get(requestId)
    return stream !== undefined && this.#isRead(stream)
  }

  /** Requests that wait for a task, and whose client has been disconnected for at least `ms`. */
  away(ms: number): RequestId[] {
    const now = this.clock.now()
    const found: RequestId[] = []
    for (const [requestId, stream] of this.#unanswered) {
      if (!stream.isWait || stream.leftAt === undefined || this.#isRead(stream)) continue
      // Without this, a clock that was set back would delay the end.
      stream.leftAt = Math.min(stream.leftAt, now)
      if (stream.leftAt + ms <= now) found.push(requestId)
    }
    return found
  }

  /**
   * Marks the next answer to a request as one that ends a call.
   * @returns true if the stream of the request is kept
   */
  delivers(requestId: RequestId, rejoinKey: string | undefined): boolean {
    const stream = this.#unanswered.get(requestId)
    if (stream) stream.rejoinKey = rejoinKey
    return stream !== undefined
  }

  /** Deletes the record that an answer is not delivered, because its client fetches the answer or has received it. */
  async delivered(name: string): Promise<void> {
    const stream = this.#streams.get(name)
    const key = stream?.rejoinKey
    if (!stream || key === undefined) return
    stream.rejoinKey = undefined
    await this.records.records.write([this.records.records.own(key, undefined)])
  }

  /** Event ID of a client that has received all events of a stream so far. */
  lastId(name: string): string {
    return streamIdOf({ stream: name, number: this.#streamOf(name).next - 1 })
  }

  /** Progress that was sent last on a stream. */
  lastProgress(name: string): number | undefined {
    return this.#streams.get(name)?.progress
  }

  /**
   * Stores an event for the SDK's transport.
   * @returns the ID of the event, once it is on disk. After the store was closed or lost, the event is sent and not
   * kept.
   */
  async storeEvent(streamId: string, message: JSONRPCMessage): Promise<string> {
    if (this.#unkept.has(streamId)) {
      if (!('method' in message)) this.#unkept.delete(streamId)
      return UNKEPT_EVENT
    }
    if (!('jsonrpc' in message)) return this.#open(streamId)
    const name = this.#nameOf(streamId)
    return this.append(name, message).catch((error: unknown) => {
      if (isStoreAway(error)) return UNKEPT_EVENT
      throw error
    })
  }

  /** Stores a message of a stream, and returns the ID of its event. */
  async append(name: string, message: JSONRPCMessage): Promise<string> {
    const stream = this.#streamOf(name)
    const number = stream.next++
    note(stream, number, message)
    const { rejoinKey } = stream
    const event = { stream: name, number, at: this.clock.now(), message, rejoinKey }
    if (this.#isClosed) return streamIdOf(event)
    if (stream.final !== number) {
      await this.#write(stream, this.records.records.write(this.#add(event)))
      return streamIdOf(event)
    }
    this.#forgetRequest(stream)
    const answered = [this.records.answered(this.sessionId, name)]
    if (rejoinKey !== undefined && this.#isRead(stream)) {
      stream.rejoinKey = event.rejoinKey = undefined
      answered.push(this.records.records.own(rejoinKey, undefined))
    }
    await this.#write(stream, this.records.records.write([...this.#add(event), ...answered]))
    return streamIdOf(event)
  }

  /** Ends a request that the client cancelled: no answer is kept, and the request is not resumed after a restart. */
  async giveUp(requestId: RequestId): Promise<void> {
    const stream = this.#unanswered.get(requestId)
    if (!stream || this.#isClosed) return
    stream.final = stream.next - 1
    this.#forgetRequest(stream)
    this.#unkept.add(stream.id)
    await this.#write(stream, this.records.records.write([this.records.answered(this.sessionId, stream.name)]))
  }

  async replayEventsAfter(
    lastEventId: string,
    { send }: { send: (eventId: string, message: JSONRPCMessage) => Promise<void> },
  ): Promise<string> {
    const found = this.find(lastEventId)
    const stream = found && this.#streams.get(found.stream)
    if (!stream) throw new Error('There is no such event')
    let { number } = found
    for (;;) {
      await Promise.all(stream.writes)
      const newest = stream.next - 1
      if (number >= newest) return stream.id
      for (const event of await this.records.readEvents(this.sessionId, stream.name, number)) {
        if (event.number <= newest && event.message) await send(streamIdOf(event), event.message)
      }
      number = newest
    }
  }

  /** Reads the events of an ended stream after a number. */
  async rest(name: string, after: number): Promise<{ id: string; message: JSONRPCMessage }[]> {
    const stream = this.#streams.get(name)
    await Promise.all(stream?.writes ?? [])
    const events = await this.records.readEvents(this.sessionId, name, after)
    return events.flatMap((event) => (event.message ? [{ id: streamIdOf(event), message: event.message }] : []))
  }

  /**
   * Deletes the events that are too old.
   * @returns true if other events can become too old
   */
  async sweep(): Promise<boolean> {
    const isOver = (name: string) => name === STANDALONE || this.#streams.get(name)?.final !== undefined
    const old = this.#kept.age(this.clock.now(), isOver)
    if (old.length > 0) await this.records.records.write(this.#forget(old))
    return this.#kept.canAge
  }

  /** Stops all writes. Resolves once the current ones are on disk, or have failed. */
  async close(): Promise<void> {
    this.#isClosed = true
    await Promise.allSettled([...this.#streams.values()].flatMap(({ writes }) => [...writes]))
  }

  async #open(streamId: string): Promise<string> {
    const what = takeOpening()
    // The transport refuses the request before the server sees it.
    if (this.#isClosed) throw new HoldfastError('CLOSED', 'The session is over')
    if (what.kind === 'unkept') return this.#openUnkept(streamId)
    if (what.kind === 'again') {
      const stream = this.#streamOf(what.stream)
      this.#names.set(streamId, stream.name)
      stream.id = streamId
      // The client may have been away for longer, but no earlier instant is known.
      stream.leftAt = this.clock.now()
      this.#wait(stream, what.request)
      return streamIdOf({ stream: stream.name, number: stream.next - 1 })
    }
    const stream = this.#streamOf(streamId)
    const event = { stream: streamId, number: stream.next++, at: this.clock.now() }
    const { request } = what
    this.#wait(stream, request)
    what.onOpen(this.#owe(stream))
    const begun = what.begin((call) => {
      const open: OpenRecord = { stream: streamId, request, ...(call ? { call } : {}) }
      return [...this.#add(event), this.records.open(this.sessionId, open)]
    })
    if (await this.#write(stream, begun)) return streamIdOf(event)
    this.#forgetRequest(stream)
    this.#streams.delete(streamId)
    return this.#openUnkept(streamId)
  }

  #wait(stream: Stream, { id, method }: KeptRequest): void {
    stream.requestId = id
    stream.isWait = isWait(method)
    this.#unanswered.set(id, stream)
  }

  /** Marks the stream as read until its response exists and is sent to the waiting client. */
  #owe(stream: Stream): (response: Response) => Response {
    stream.isOwed = true
    return (response) => {
      stream.isOwed = false
      return this.connections.watch(stream.name, response)
    }
  }

  #isRead({ name, isOwed }: Stream): boolean {
    return isOwed || this.connections.has(name)
  }

  #forgetRequest(stream: Stream): void {
    this.#names.delete(stream.id)
    if (stream.requestId !== undefined && this.#unanswered.get(stream.requestId) === stream) {
      this.#unanswered.delete(stream.requestId)
    }
  }

  #openUnkept(streamId: string): string {
    this.#unkept.add(streamId)
    return UNKEPT_EVENT
  }

  /**
   * Adds an event.
   * @returns the records to write: the event, and the deletion of events that exceed the limits
   */
  #add(event: Omit<EventRecord, 'bytes'>): BindingRecord[] {
    const record = this.records.event(this.sessionId, event)
    const { stream, number, at } = event
    return [record, ...this.#forget(this.#kept.add({ stream, number, at, bytes: record.text?.length ?? 0 }))]
  }

  /** Waits for a write of a stream. A replay waits for these writes too. */
  async #write<T>(stream: Stream, writing: Promise<T>): Promise<T> {
    stream.writes.add(writing)
    try {
      return await writing
    } finally {
      stream.writes.delete(writing)
    }
  }

  #forget(old: readonly Kept[]): BindingRecord[] {
    for (const { stream: name, number } of old) {
      if (this.#streams.get(name)?.final === number) this.#streams.delete(name)
    }
    return old.map((event) => this.records.dropEvent(this.sessionId, event))
  }

  #nameOf(streamId: string): string {
    return this.#names.get(streamId) ?? (streamId === STANDALONE_OF_TRANSPORT ? STANDALONE : streamId)
  }

  /**
   * True for the newest event of a stream that continues. It is kept, so that the numbers continue from it after a
   * restart.
   */
  #isLastOfOpen({ stream: name, number }: Kept): boolean {
    const stream = this.#streams.get(name)
    return stream !== undefined && stream.final === undefined && number === stream.next - 1
  }

  #streamOf(name: string): Stream {
    const stream = this.#streams.get(name) ?? newStream(name)
    this.#streams.set(name, stream)
    return stream
  }
}
