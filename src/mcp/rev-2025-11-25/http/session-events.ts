/**
 * The events of one session. Each event is on disk before it is sent, but for some answers. The SDK's transport gets event
 * IDs and the events that a client missed from here.
 *
 * - The first event of a stream, the record of its request, and the task that the request creates are one write
 *   (open-request.ts).
 * - An answer and the deletion of its request's record are one write. So a request is either open or answered. The
 *   progress of the stream is deleted once a client has the answer.
 * - The answer of a call whose outcome is on disk is sent before that write. After a crash in between, the request is open.
 *   It is resumed, and its task gives the same answer under the same number (mcp-core-2).
 * - An answer that ends a call has a record that it is not delivered. The record is deleted once the response with the
 *   answer was handed to the socket: in the write of the answer, if that was sent first (mcp-core-4).
 * - A request that is resumed after a restart gets a new stream from the transport. It continues under the name of the
 *   old one, so that the client's last event ID is found.
 * - A replay ends only after it has sent all numbered events. Without this, an event that is stored meanwhile would be
 *   lost: the transport has no connection for the stream until the replay is over.
 * - A closed session writes nothing more. Without this, events could be written after the session was deleted.
 */
import type { EventStore } from '@modelcontextprotocol/sdk/server/webStandardStreamableHttp.js'
import type { JSONRPCMessage, RequestId } from '@modelcontextprotocol/sdk/types.js'
import { HoldfastError } from '../../../base/errors.js'
import { faultOf } from '../../../base/fault.js'
import type { BindingRecord } from '../../../task/changes.js'
import { isStoreAway } from '../../access/refusal.js'
import type { McpCore } from '../../tools/mcp-core.js'
import type { CallEnd } from '../server/types.js'
import { Connections } from './connections.js'
import { type Kept, KeptEvents } from './kept-events.js'
import type { KeptRequest } from './kept-request.js'
import type { CheckedHttpOptions } from './options.js'
import type { EventRecord, OpenRecord, SessionRecords } from './session-records.js'
import {
  isProgress,
  type NewStream,
  note,
  STANDALONE,
  type Stream,
  Streams,
  streamIdOf,
  TurnOpening,
} from './streams.js'
import { UnwrittenAnswers } from './unwritten-answers.js'

/** Event ID of a stream that is not kept. A client that resumes with it receives nothing, and need not resume again. */
export const UNKEPT_EVENT = 'unkept_0'
export class SessionEvents implements EventStore {
  readonly connections = new Connections({
    onEnd: (name) => this.#handedOver(name),
    onLeave: (name) => {
      const stream = this.streams.get(name)
      if (stream) stream.leftAt = this.core.binding.clock.now()
      this.#unwritten.write(name, false)
    },
  })
  readonly streams = new Streams(this.connections)
  readonly opening = new TurnOpening()
  readonly #unkept = new Set<string>()
  readonly #unwritten = new UnwrittenAnswers()
  readonly #kept: KeptEvents
  #isClosed = false

  constructor(
    private readonly sessionId: string,
    private readonly records: SessionRecords,
    private readonly core: Pick<McpCore, 'binding' | 'undelivered' | 'logger'>,
    options: CheckedHttpOptions,
  ) {
    this.#kept = new KeptEvents(options, (event) => this.#isLastOfOpen(event))
  }

  /** Reads the events that an earlier process stored. */
  async load(): Promise<void> {
    const events = await this.records.readEvents(this.sessionId)
    for (const { stream: name, number, message, rejoinKey } of events) {
      const stream = this.streams.of(name)
      stream.next = number + 1
      stream.rejoinKey = rejoinKey
      if (message) note(stream, number, message)
    }
    this.#kept.load(events.map((event) => ({ ...event, isProgress: isProgress(event.message) })))
  }

  /** True if a client reads a stream, or a request is unanswered. */
  get isInUse(): boolean {
    return this.connections.has() || this.streams.hasUnanswered || this.#unwritten.has()
  }

  /**
   * Announces that the next answer to a request ends its call.
   * @returns true if the stream of the request is kept
   */
  ends(requestId: RequestId, { rejoinKey, isRepeatable }: CallEnd): boolean {
    const stream = this.streams.unanswered(requestId)
    if (!stream) return false
    stream.rejoinKey = rejoinKey
    stream.isRepeatable = isRepeatable
    if (rejoinKey !== undefined && this.streams.isRead(stream)) this.core.undelivered.hold(rejoinKey)
    return true
  }

  /**
   * Deletes what is worth nothing once a client has the answer of a stream: its progress, and the record that the answer is
   * not delivered.
   */
  delivered(name: string): void {
    const stream = this.streams.get(name)
    if (stream?.final === undefined || this.#isClosed) return
    const records = this.#afterDelivery(stream)
    if (records.length > 0) this.#behind(this.#write(stream, this.#writeDelivery(stream, records)))
  }

  /**
   * Stores an event for the SDK's transport.
   * @returns the ID of the event, once it is on disk, or will be. After the store was closed or lost, the event is sent
   * and not kept.
   */
  async storeEvent(streamId: string, message: JSONRPCMessage): Promise<string> {
    if (this.#unkept.has(streamId)) {
      if (!('method' in message)) this.#unkept.delete(streamId)
      return UNKEPT_EVENT
    }
    if (!('jsonrpc' in message)) return this.#open(streamId)
    const name = this.streams.nameOf(streamId)
    return this.append(name, message).catch((error: unknown) => {
      if (isStoreAway(error)) return UNKEPT_EVENT
      throw error
    })
  }

  /** Stores a message of a stream, and returns the ID of its event. */
  async append(name: string, message: JSONRPCMessage): Promise<string> {
    const stream = this.streams.of(name)
    const number = stream.next++
    note(stream, number, message)
    const event = { stream: name, number, at: this.core.binding.clock.now(), message, rejoinKey: stream.rejoinKey }
    if (this.#isClosed) return streamIdOf(event)
    if (stream.final !== number) {
      await this.#write(stream, this.records.records.write(this.#add(event)))
      return streamIdOf(event)
    }
    this.streams.forgetRequest(stream)
    if (!stream.isRepeatable) await this.#writeAnswer(stream, event, false)
    else {
      const write = (isDelivered: boolean) => this.#behind(this.#writeAnswer(stream, event, isDelivered))
      // The request stays open until that is on disk (mcp-core-2).
      if (this.streams.isRead(stream)) this.#unwritten.add(name, write)
      else write(false)
    }
    return streamIdOf(event)
  }

  /** Ends a request that the client cancelled: no answer is kept, and the request is not resumed after a restart. */
  async giveUp(requestId: RequestId): Promise<void> {
    const stream = this.streams.unanswered(requestId)
    if (!stream || this.#isClosed) return
    stream.final = stream.next - 1
    this.streams.forgetRequest(stream)
    this.#kept.release(stream.name)
    this.#unkept.add(stream.id)
    await this.#write(stream, this.records.records.write([this.records.answered(this.sessionId, stream.name)]))
  }

  async replayEventsAfter(
    lastEventId: string,
    { send }: { send: (eventId: string, message: JSONRPCMessage) => Promise<void> },
  ): Promise<string> {
    const found = this.streams.find(lastEventId)
    const stream = found && this.streams.get(found.stream)
    if (!stream) throw new Error('There is no such event')
    this.#unwritten.write(stream.name, false)
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
    this.#unwritten.write(name, false)
    await Promise.all(this.streams.get(name)?.writes ?? [])
    const events = await this.records.readEvents(this.sessionId, name, after)
    return events.flatMap((event) => (event.message ? [{ id: streamIdOf(event), message: event.message }] : []))
  }

  /**
   * Deletes the events that are too old.
   * @returns true if other events can become too old
   */
  async sweep(): Promise<boolean> {
    const isOver = (name: string) => name === STANDALONE || this.streams.get(name)?.final !== undefined
    const old = this.#kept.age(this.core.binding.clock.now(), isOver)
    if (old.length > 0) await this.records.records.write(this.#forget(old))
    return this.#kept.canAge
  }

  /** Stops all writes. Resolves once the current ones are on disk, or have failed. */
  async close(): Promise<void> {
    this.#unwritten.writeAll()
    this.#isClosed = true
    await Promise.allSettled([...this.streams.all()].flatMap(({ writes }) => [...writes]))
  }

  /** Makes the stream of a request. */
  begin(streamId: string, request: KeptRequest): NewStream {
    const stream = this.streams.of(streamId)
    const event = { stream: streamId, number: stream.next++, at: this.core.binding.clock.now() }
    this.streams.wait(stream, request)
    // The client reads the response as soon as there is one.
    stream.isOwed = true
    return {
      eventId: streamIdOf(event),
      records: (call) => {
        const open: OpenRecord = { stream: streamId, request, ...(call ? { call } : {}) }
        return [...this.#add(event), this.records.open(this.sessionId, open)]
      },
      written: (writing) => this.#write(stream, writing),
      refuse: () => {
        this.streams.forgetRequest(stream)
        this.streams.delete(streamId)
        return this.#openUnkept(streamId)
      },
      attach: (response) => {
        stream.isOwed = false
        return this.connections.watch(streamId, response)
      },
      abandon: () => {
        stream.isOwed = false
        this.#unwritten.write(streamId, false)
      },
    }
  }

  /** Continues the stream of a request of an earlier process. @returns the ID of its last event */
  resume(streamId: string, name: string, request: KeptRequest): string {
    const stream = this.streams.resume(name, streamId, this.core.binding.clock.now())
    this.streams.wait(stream, request)
    return streamIdOf({ stream: name, number: stream.next - 1 })
  }

  async #open(streamId: string): Promise<string> {
    const opening = this.opening.take()
    // The transport refuses the request before the server sees it.
    if (this.#isClosed) throw new HoldfastError('CLOSED', 'The session is over')
    return opening ? opening.open(streamId) : this.#openUnkept(streamId)
  }

  /** Writes an answer. */
  #writeAnswer(stream: Stream, event: Omit<EventRecord, 'bytes'>, isDelivered: boolean): Promise<void> {
    const stored = isDelivered ? { ...event, rejoinKey: undefined } : event
    const records = [...this.#add(stored), this.records.answered(this.sessionId, stream.name)]
    if (isDelivered) records.push(...this.#afterDelivery(stream))
    else if (stream.rejoinKey !== undefined) this.core.undelivered.release(stream.rejoinKey)
    return this.#write(stream, isDelivered ? this.#writeDelivery(stream, records) : this.records.records.write(records))
  }

  /** The records to delete once a client has the answer of a stream. */
  #afterDelivery({ name, rejoinKey }: Stream): BindingRecord[] {
    const deleted = this.#forget(this.#kept.dropProgress(name))
    if (rejoinKey !== undefined) deleted.push(this.records.records.own(rejoinKey, undefined))
    return deleted
  }

  /** Writes records of a stream whose answer is delivered. */
  #writeDelivery(stream: Stream, records: readonly BindingRecord[]): Promise<void> {
    const { rejoinKey } = stream
    stream.rejoinKey = undefined
    const writing = this.records.records.write(records)
    if (rejoinKey !== undefined) this.core.undelivered.remove(rejoinKey, writing)
    return writing
  }

  /** A write that no answer waits for. */
  #behind(writing: Promise<void>): void {
    writing.catch((error: unknown) =>
      this.core.logger.debug('A stream could not be written', { error: faultOf(error) }),
    )
  }

  /** The response with the answer of a stream was handed to the socket. */
  #handedOver(name: string): void {
    if (this.#unwritten.has(name)) this.#unwritten.write(name, true)
    else this.delivered(name)
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
    const { stream, number, at, message } = event
    const kept = { stream, number, at, bytes: record.text?.length ?? 0, isProgress: isProgress(message) }
    return [record, ...this.#forget(this.#kept.add(kept))]
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
      if (this.streams.get(name)?.final === number) this.streams.delete(name)
    }
    return old.map((event) => this.records.dropEvent(this.sessionId, event))
  }

  /**
   * True for the newest event on disk of a stream that continues, or whose answer is not written. It is kept, so that the
   * numbers continue from it after a restart.
   */
  #isLastOfOpen({ stream: name, number }: Kept): boolean {
    const stream = this.streams.get(name)
    if (!stream) return false
    if (stream.final === undefined) return number === stream.next - 1
    return number === stream.final - 1 && this.#unwritten.has(name)
  }
}
