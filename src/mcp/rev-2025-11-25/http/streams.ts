/** The streams of one session, the state of each, and the requests that they answer. */
import type { JSONRPCMessage, RequestId } from '@modelcontextprotocol/sdk/types.js'
import type { BindingRecord } from '../../../task/changes.js'
import type { Connections } from './connections.js'
import { isWait, type KeptRequest } from './kept-request.js'
import type { EventRecord, OpenRecord } from './session-records.js'

/** Name of the stream of messages without a request. The transport calls it `_GET_stream` in every session. */
export const STANDALONE = 'get'
export const STANDALONE_OF_TRANSPORT = '_GET_stream'

// Number of the position before a stream's first event.
const BEFORE_ALL = -1

/** State of a stream. */
export interface Stream {
  readonly name: string
  next: number
  /** Number of the answer, once there is one. */
  final: number | undefined
  /** Progress that was sent last. */
  progress: number | undefined
  readonly writes: Set<Promise<unknown>>
  /** ID of the stream in the transport. */
  id: string
  /** ID of the request that the stream answers. */
  requestId: RequestId | undefined
  /** True if that request waits for the end of a task. */
  isWait: boolean
  /** Instant at which the last reader disconnected; `undefined` if there was none in this process. */
  leftAt: number | undefined
  /** Key of the record that the answer is not delivered. */
  rejoinKey: string | undefined
  /** True if the next answer is sent before it is stored, because a later process gives the same one. */
  isRepeatable: boolean
  /** True if the response is on its way to the client, which reads it at once. */
  isOwed: boolean
  /** True if an earlier process may have sent an answer under the next number, and not stored it. */
  isResumed: boolean
}

function newStream(name: string): Stream {
  return {
    name,
    next: 0,
    final: undefined,
    progress: undefined,
    writes: new Set(),
    id: name === STANDALONE ? STANDALONE_OF_TRANSPORT : name,
    requestId: undefined,
    isWait: false,
    leftAt: undefined,
    rejoinKey: undefined,
    isRepeatable: false,
    isOwed: false,
    isResumed: false,
  }
}

/** Updates the state of a stream with a message that was sent on it. */
export function note(stream: Stream, number: number, message: JSONRPCMessage): void {
  if (!('method' in message)) {
    if (stream.name !== STANDALONE) stream.final = number
  } else if (isProgress(message)) {
    const progress = message.params?.['progress']
    if (typeof progress === 'number') stream.progress = progress
  }
}

/** ID of an event. */
export function streamIdOf({ stream, number }: Pick<EventRecord, 'stream' | 'number'>): string {
  return `${stream}_${number}`
}

/** True if the message is progress, which is worth nothing once there is an answer. */
export function isProgress(message: JSONRPCMessage | undefined): boolean {
  return message !== undefined && 'method' in message && message.method === 'notifications/progress'
}

/** A request whose stream the transport is about to open. */
export interface StreamOpening {
  /** Stores the beginning of the stream. @returns the ID of its first event */
  open(streamId: string): Promise<string>
}

/**
 * The request that is being handed to the transport. The transport opens its stream in the same turn, so no other request can
 * come between, and none needs an async context.
 */
export class TurnOpening {
  #opening: StreamOpening | undefined
  #isInitialized = false

  /** Hands a request to the transport with `hand`. */
  during<T>(opening: StreamOpening, hand: () => Promise<T>): Promise<T> {
    this.#opening = opening
    try {
      return hand()
    } finally {
      this.#opening = undefined
    }
  }

  /** The request whose stream is being opened; `undefined` for the `initialize`, which is handed over without one. */
  take(): StreamOpening | undefined {
    const opening = this.#opening
    this.#opening = undefined
    if (!opening && this.#isInitialized) throw new Error('The transport opened the stream of a request in a later turn')
    this.#isInitialized ||= !opening
    return opening
  }
}

/** A new stream, in memory only. */
export interface NewStream {
  /** ID of its first event. */
  readonly eventId: string
  /** Makes the records of its first event and its open request. To be called once. */
  records(call?: OpenRecord['call']): BindingRecord[]
  /** Waits for the write of the records. Replays of the stream wait for it too. */
  written<T>(writing: Promise<T>): Promise<T>
  /** Removes the stream, because nothing was written. @returns the event ID of a stream that is not kept */
  refuse(): string
  /** Hands the response of the stream to its reader. */
  attach(response: Response): Response
  /** The transport has no response for the stream. */
  abandon(): void
}

/** Position of a client in a stream. */
export interface Position {
  readonly stream: string
  readonly number: number
  /** Number of the answer, once there is one. */
  readonly final: number | undefined
}

export class Streams {
  readonly #streams = new Map<string, Stream>()
  readonly #names = new Map<string, string>()
  readonly #unanswered = new Map<RequestId, Stream>()

  constructor(private readonly connections: Connections) {}

  get(name: string): Stream | undefined {
    return this.#streams.get(name)
  }

  /** The stream of this name. Without one, a new stream. */
  of(name: string): Stream {
    const stream = this.#streams.get(name) ?? newStream(name)
    this.#streams.set(name, stream)
    return stream
  }

  delete(name: string): void {
    this.#streams.delete(name)
  }

  all(): IterableIterator<Stream> {
    return this.#streams.values()
  }

  /** Position of a client that received this event last; `undefined` for an ID that is not of this session. */
  find(eventId: string): Position | undefined {
    const at = eventId.lastIndexOf('_')
    const [name, number] = [eventId.slice(0, at), Number(eventId.slice(at + 1))]
    const stream = this.#streams.get(name)
    if (!stream || !Number.isInteger(number) || number < BEFORE_ALL) return undefined
    // An earlier process may have sent the next event, the answer, without storing it.
    const end = stream.isResumed && stream.final === undefined ? stream.next + 1 : stream.next
    return number < end ? { stream: name, number, final: stream.final } : undefined
  }

  /** Event ID of a client that has received all events of a stream so far. */
  lastId(name: string): string {
    return streamIdOf({ stream: name, number: this.of(name).next - 1 })
  }

  /** Progress that was sent last on a stream. */
  lastProgress(name: string): number | undefined {
    return this.#streams.get(name)?.progress
  }

  /** Name of the stream that the transport knows under this ID. */
  nameOf(streamId: string): string {
    return this.#names.get(streamId) ?? (streamId === STANDALONE_OF_TRANSPORT ? STANDALONE : streamId)
  }

  /** Continues a stream of an earlier process under a new ID of the transport. */
  resume(name: string, streamId: string, now: number): Stream {
    const stream = this.of(name)
    this.#names.set(streamId, name)
    stream.id = streamId
    stream.isResumed = true
    // The client may have been away for longer, but no earlier instant is known.
    stream.leftAt = now
    return stream
  }

  /** Notes that a stream answers a request. */
  wait(stream: Stream, { id, method }: KeptRequest): void {
    stream.requestId = id
    stream.isWait = isWait(method)
    this.#unanswered.set(id, stream)
  }

  /** The request of a stream is answered, or given up. */
  forgetRequest(stream: Stream): void {
    this.#names.delete(stream.id)
    if (stream.requestId !== undefined && this.#unanswered.get(stream.requestId) === stream) {
      this.#unanswered.delete(stream.requestId)
    }
  }

  /** True if any request is unanswered. */
  get hasUnanswered(): boolean {
    return this.#unanswered.size > 0
  }

  /** Stream of an unanswered request; `undefined` if no request with this ID is. */
  unanswered(requestId: RequestId): Stream | undefined {
    return this.#unanswered.get(requestId)
  }

  /** True if the client of an unanswered request reads its stream. */
  isHeard(requestId: RequestId): boolean {
    const stream = this.#unanswered.get(requestId)
    return stream !== undefined && this.isRead(stream)
  }

  isRead({ name, isOwed }: Stream): boolean {
    return isOwed || this.connections.has(name)
  }

  /** Requests that wait for a task, and whose client has been disconnected for at least `ms`. */
  away(now: number, ms: number): RequestId[] {
    const found: RequestId[] = []
    for (const [requestId, stream] of this.#unanswered) {
      if (!stream.isWait || stream.leftAt === undefined || this.isRead(stream)) continue
      // Without this, a clock that was set back would delay the end.
      stream.leftAt = Math.min(stream.leftAt, now)
      if (stream.leftAt + ms <= now) found.push(requestId)
    }
    return found
  }
}
