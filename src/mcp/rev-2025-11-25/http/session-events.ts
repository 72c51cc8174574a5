/**
 * The events of one session, on disk before they are on the wire. The SDK's transport asks it for event IDs and for what
 * a client missed.
 *
 * - The stream's first event, the record of its request, and the task that the request makes are one write.
 * - An answer and the end of its request's record are one write: a request is open or answered, and never both.
 * - A request that is taken up again gets a new stream from the transport; it goes on under the name of the old one,
 *     so the client's last event ID finds it.
 * - An answer that ends a call, and goes where its client reads, takes the note with it that says that nobody got it;
 *     else the note goes when the client fetches the answer.
 * - A replay ends only when it has sent everything that was given a number: what is stored in between would be lost,
 *     since the transport has no connection for the stream until the replay is over.
 * - Once it is closed it writes nothing more: what would be written after the session was deleted belonged to nobody.
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

/** The event of a stream of which nothing is kept: whoever comes back with it finds nothing, and need not come again. */
export const UNKEPT_EVENT = 'unkept_0'
// The number of what comes before a stream's first event.
const BEFORE_ALL = -1

export class SessionEvents implements EventStore {
  readonly connections = new Connections((name) => {
    const stream = this.#streams.get(name)
    if (stream) stream.leftAt = this.clock.now()
  })
  readonly #streams = new Map<string, Stream>()
  readonly #names = new Map<string, string>()
  /** The streams of requests that are not answered. */
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

  /** Reads what an earlier process left. */
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

  /** Where a client stands that saw this event last: `undefined` for one that is none of this session's. */
  find(eventId: string): { stream: string; number: number; final: number | undefined } | undefined {
    const at = eventId.lastIndexOf('_')
    const [name, number] = [eventId.slice(0, at), Number(eventId.slice(at + 1))]
    const stream = this.#streams.get(name)
    if (!stream || !Number.isInteger(number) || number < BEFORE_ALL || number >= stream.next) return undefined
    return { stream: name, number, final: stream.final }
  }

  /** True if anybody reads, or a request is to be answered. */
  get isInUse(): boolean {
    return this.connections.has() || this.#unanswered.size > 0
  }

  /** True if a request of this ID is to be answered. */
  isOpen(requestId: RequestId): boolean {
    return this.#unanswered.has(requestId)
  }

  /** True if the client of a request reads its stream. */
  isRead(requestId: RequestId): boolean {
    const stream = this.#unanswered.get(requestId)
    return stream !== undefined && this.#isRead(stream)
  }

  /** The requests that wait for a task, and whose client has been away for so long. */
  away(ms: number): RequestId[] {
    const now = this.clock.now()
    const found: RequestId[] = []
    for (const [requestId, stream] of this.#unanswered) {
      if (!stream.isWait || stream.leftAt === undefined || this.#isRead(stream)) continue
      // Not later because the clock was set back.
      stream.leftAt = Math.min(stream.leftAt, now)
      if (stream.leftAt + ms <= now) found.push(requestId)
    }
    return found
  }

  /** The next answer to a request ends a call. @returns whether the request has a stream that is kept */
  delivers(requestId: RequestId, rejoinKey: string | undefined): boolean {
    const stream = this.#unanswered.get(requestId)
    if (stream) stream.rejoinKey = rejoinKey
    return stream !== undefined
  }

  /** The client fetches the answer on a stream, or says that it has it. */
  async delivered(name: string): Promise<void> {
    const stream = this.#streams.get(name)
    const key = stream?.rejoinKey
    if (!stream || key === undefined) return
    stream.rejoinKey = undefined
    await this.records.records.write([this.records.records.own(key, undefined)])
  }

  /** Where a client stands that has everything of a stream so far. */
  lastId(name: string): string {
    return streamIdOf({ stream: name, number: this.#streamOf(name).next - 1 })
  }

  /** The progress that the client was sent last on a stream. */
  lastProgress(name: string): number | undefined {
    return this.#streams.get(name)?.progress
  }

  /** @returns the event's ID, once it is on disk. After the store was closed or lost it is sent all the same, and not kept. */
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

  /** Stores a message of a stream. */
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

  /** The client cancelled a request: no answer to it is kept, and there is nothing to take up. */
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

  /** The rest of a stream that is over. */
  async rest(name: string, after: number): Promise<{ id: string; message: JSONRPCMessage }[]> {
    const stream = this.#streams.get(name)
    await Promise.all(stream?.writes ?? [])
    const events = await this.records.readEvents(this.sessionId, name, after)
    return events.flatMap((event) => (event.message ? [{ id: streamIdOf(event), message: event.message }] : []))
  }

  /** Forgets what is older than it has to be kept. @returns whether there is something left that will be too old */
  async sweep(): Promise<boolean> {
    const isOver = (name: string) => name === STANDALONE || this.#streams.get(name)?.final !== undefined
    const old = this.#kept.age(this.clock.now(), isOver)
    if (old.length > 0) await this.records.records.write(this.#forget(old))
    return this.#kept.canAge
  }

  /** V6. Resolves once what is being written is on disk, or has failed. */
  async close(): Promise<void> {
    this.#isClosed = true
    await Promise.allSettled([...this.#streams.values()].flatMap(({ writes }) => [...writes]))
  }

  async #open(streamId: string): Promise<string> {
    const what = takeOpening()
    // Refused by the transport, before anybody works on it.
    if (this.#isClosed) throw new HoldfastError('CLOSED', 'The session is over')
    if (what.kind === 'unkept') return this.#openUnkept(streamId)
    if (what.kind === 'again') {
      const stream = this.#streamOf(what.stream)
      this.#names.set(streamId, stream.name)
      stream.id = streamId
      // Its client has been away for as long as anybody knows.
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

  /** Until the response is there, which goes to the client that waits for it. */
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

  /** @returns what is to be written of an event, and of those that go because it comes */
  #add(event: Omit<EventRecord, 'bytes'>): BindingRecord[] {
    const record = this.records.event(this.sessionId, event)
    const { stream, number, at } = event
    return [record, ...this.#forget(this.#kept.add({ stream, number, at, bytes: record.text?.length ?? 0 }))]
  }

  /** Waits for a write of a stream; a replay does too. */
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

  /** The numbers of a stream that continues, continue from its newest event: after a restart too. */
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
