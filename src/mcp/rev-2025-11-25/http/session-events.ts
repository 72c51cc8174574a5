/**
 * The events of one session, on disk before they are on the wire. The SDK's transport asks it for event IDs and for what
 * a client missed.
 *
 * V1. The stream's first event, the record of its request, and the task that the request makes are one write.
 * V2. An answer and the end of its request's record are one write: a request is open or answered, and never both.
 * V3. A request that is taken up again gets a new stream from the transport; it goes on under the name of the old one,
 *     so the client's last event ID finds it.
 * V4. A replay ends only when it has sent everything that was given a number: what is stored in between would be lost,
 *     since the transport has no connection for the stream until the replay is over.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import type { EventStore } from '@modelcontextprotocol/sdk/server/webStandardStreamableHttp.js'
import type { JSONRPCMessage, JSONRPCRequest, RequestId } from '@modelcontextprotocol/sdk/types.js'
import type { Clock } from '../../../clock.js'
import type { BindingRecord } from '../../../task/changes.js'
import type { CheckedHttpOptions } from './options.js'
import type { EventRecord, OpenRecord, SessionRecords } from './session-records.js'

/** The stream that is no request's answer; the transport calls it `_GET_stream` in every session. */
export const STANDALONE = 'get'
const STANDALONE_OF_TRANSPORT = '_GET_stream'

/** What a stream is opened for. */
export type Opening =
  /** Nothing is kept of it: its client can simply ask again. */
  | { readonly kind: 'unkept' }
  /** A request. `begin` writes what is given to it with what it writes itself. */
  | {
      readonly kind: 'request'
      readonly request: JSONRPCRequest
      readonly begin: (beside: (call?: OpenRecord['call']) => BindingRecord[]) => Promise<void>
    }
  /** A request of an earlier process. */
  | { readonly kind: 'again'; readonly request: JSONRPCRequest; readonly stream: string }

/** Tells `storeEvent` which request it opens a stream for: the transport doesn't. */
export const opening = new AsyncLocalStorage<Opening>()

interface Stream {
  readonly name: string
  next: number
  /** The number of the answer, once there is one. */
  final: number | undefined
  /** The progress that was sent last. */
  progress: number | undefined
  readonly writes: Set<Promise<void>>
  /** What the transport calls it. */
  id: string
  /** The request that it answers. */
  requestId: RequestId | undefined
}

type Kept = Pick<EventRecord, 'stream' | 'number' | 'at' | 'bytes'>

export class SessionEvents implements EventStore {
  readonly #streams = new Map<string, Stream>()
  readonly #names = new Map<string, string>()
  readonly #unkept = new Set<string>()
  /** What is on disk, oldest first. */
  #kept: Kept[] = []
  #bytes = 0

  constructor(
    private readonly sessionId: string,
    private readonly records: SessionRecords,
    private readonly clock: Clock,
    private readonly options: CheckedHttpOptions,
  ) {}

  /** Reads what an earlier process left. */
  async load(): Promise<void> {
    const events = await this.records.readEvents(this.sessionId)
    for (const { stream: name, number, message } of events) {
      const stream = this.#streamOf(name)
      stream.next = number + 1
      if (message) note(stream, number, message)
    }
    this.#kept = events.map(({ stream, number, at, bytes }) => ({ stream, number, at, bytes }))
    this.#kept.sort((one, other) => one.at - other.at || one.number - other.number)
    this.#bytes = this.#kept.reduce((sum, { bytes }) => sum + bytes, 0)
  }

  /** Where a client stands that saw this event last: `undefined` for one that is none of this session's. */
  find(eventId: string): { stream: string; number: number; final: number | undefined } | undefined {
    const at = eventId.lastIndexOf('_')
    const [name, number] = [eventId.slice(0, at), Number(eventId.slice(at + 1))]
    const stream = this.#streams.get(name)
    if (!stream || !Number.isInteger(number) || number < 0 || number >= stream.next) return undefined
    return { stream: name, number, final: stream.final }
  }

  /** The progress that the client was sent last on a stream. */
  lastProgress(name: string): number | undefined {
    return this.#streams.get(name)?.progress
  }

  /** @returns the event's ID, once it is on disk */
  async storeEvent(streamId: string, message: JSONRPCMessage): Promise<string> {
    if (this.#unkept.has(streamId)) return `${streamId}_0`
    if (!('jsonrpc' in message)) return this.#open(streamId)
    const name = this.#nameOf(streamId)
    return this.append(name, message)
  }

  /** Stores a message of a stream. */
  async append(name: string, message: JSONRPCMessage): Promise<string> {
    const stream = this.#streamOf(name)
    const event = { stream: name, number: stream.next++, at: this.clock.now(), message }
    note(stream, event.number, message)
    const answered = stream.final === event.number ? [this.records.answered(this.sessionId, name)] : []
    if (answered.length > 0) this.#names.delete(stream.id)
    await this.#write(stream, event, (records) => this.records.records.write([...records, ...answered]))
    return idOf(event)
  }

  /** The client cancelled a request: there will be no answer, and nothing to take up. */
  async giveUp(requestId: RequestId): Promise<void> {
    for (const stream of this.#streams.values()) {
      if (stream.requestId !== requestId || stream.final !== undefined) continue
      stream.final = stream.next - 1
      this.#names.delete(stream.id)
      await this.records.records.write([this.records.answered(this.sessionId, stream.name)])
    }
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
        if (event.number <= newest && event.message) await send(idOf(event), event.message)
      }
      number = newest
    }
  }

  /** The rest of a stream that is over. */
  async rest(name: string, after: number): Promise<{ id: string; message: JSONRPCMessage }[]> {
    const stream = this.#streams.get(name)
    await Promise.all(stream?.writes ?? [])
    const events = await this.records.readEvents(this.sessionId, name, after)
    return events.flatMap((event) => (event.message ? [{ id: idOf(event), message: event.message }] : []))
  }

  /** Forgets what is older than it has to be kept. */
  async sweep(): Promise<void> {
    const before = this.clock.now() - this.options.eventTtlMs
    const isOld = ({ stream: name, number, at }: Kept) => {
      const stream = this.#streams.get(name)
      if (at >= before) return false
      // The newest of the stream that never ends stays: the numbers go on from it.
      return name === STANDALONE ? number < (stream?.next ?? 0) - 1 : stream?.final !== undefined
    }
    const old = this.#kept.filter(isOld)
    if (old.length > 0) await this.records.records.write(this.#forget(old))
  }

  async #open(streamId: string): Promise<string> {
    const what = opening.getStore() ?? { kind: 'unkept' }
    if (what.kind === 'unkept') {
      this.#unkept.add(streamId)
      return `${streamId}_0`
    }
    if (what.kind === 'again') {
      const stream = this.#streamOf(what.stream)
      this.#names.set(streamId, stream.name)
      stream.id = streamId
      stream.requestId = what.request.id
      return idOf({ stream: stream.name, number: stream.next - 1 })
    }
    const stream = this.#streamOf(streamId)
    const event = { stream: streamId, number: stream.next++, at: this.clock.now() }
    const { request } = what
    stream.requestId = request.id
    await this.#write(stream, event, (records) =>
      what.begin((call) => {
        const open: OpenRecord = { stream: streamId, request, ...(call ? { call } : {}) }
        return [...records, this.records.open(this.sessionId, open)]
      }),
    )
    return idOf(event)
  }

  async #write(
    stream: Stream,
    event: Omit<EventRecord, 'bytes'>,
    write: (records: BindingRecord[]) => Promise<void>,
  ): Promise<void> {
    const record = this.records.event(this.sessionId, event)
    const bytes = record.text?.length ?? 0
    this.#kept.push({ stream: event.stream, number: event.number, at: event.at, bytes })
    this.#bytes += bytes
    const writing = write([record, ...this.#forget(this.#tooMany())])
    stream.writes.add(writing)
    try {
      await writing
    } finally {
      stream.writes.delete(writing)
    }
  }

  #tooMany(): readonly Kept[] {
    const { eventsMax, eventBytesMax } = this.options
    let [count, bytes] = [this.#kept.length, this.#bytes]
    const old: Kept[] = []
    for (const event of this.#kept) {
      // The newest stays, whatever it takes: it may be the answer.
      if ((count <= eventsMax && bytes <= eventBytesMax) || count === 1) break
      old.push(event)
      count--
      bytes -= event.bytes
    }
    return old
  }

  #forget(old: readonly Kept[]): BindingRecord[] {
    if (old.length === 0) return []
    const gone = new Set(old)
    this.#kept = this.#kept.filter((event) => !gone.has(event))
    for (const { bytes, stream: name, number } of old) {
      this.#bytes -= bytes
      if (this.#streams.get(name)?.final === number) this.#streams.delete(name)
    }
    return old.map((event) => this.records.dropEvent(this.sessionId, event))
  }

  #nameOf(streamId: string): string {
    return this.#names.get(streamId) ?? (streamId === STANDALONE_OF_TRANSPORT ? STANDALONE : streamId)
  }

  #streamOf(name: string): Stream {
    const id = name === STANDALONE ? STANDALONE_OF_TRANSPORT : name
    const stream = this.#streams.get(name) ?? {
      name,
      next: 0,
      final: undefined,
      progress: undefined,
      writes: new Set(),
      id,
      requestId: undefined,
    }
    this.#streams.set(name, stream)
    return stream
  }
}

/** What is known of a stream from what was sent on it. */
function note(stream: Stream, number: number, message: JSONRPCMessage): void {
  if (!('method' in message)) {
    if (stream.name !== STANDALONE) stream.final = number
  } else if (message.method === 'notifications/progress') {
    const progress = message.params?.['progress']
    if (typeof progress === 'number') stream.progress = progress
  }
}

function idOf({ stream, number }: Pick<EventRecord, 'stream' | 'number'>): string {
  return `${stream}_${number}`
}
