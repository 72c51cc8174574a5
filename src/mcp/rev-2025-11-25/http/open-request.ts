/**
 * One request of a client over HTTP, from its arrival to its response. Its phases follow each other:
 *
 *   prepare        counts the request, and reduces it to what its answer needs; nothing is written
 *   open           called by the transport in the turn in which it gets the request: one write has the first event of the
 *                  stream, the record of the open request and, for a durable call, its task
 *   attachStream   gives the response to the client, and notices when that has read it
 *
 * docs/internals/mcp-calls.md has the sequence of a call. A request of an earlier process has no `OpenRequest`
 * (session.ts): its records are on disk already, and it has no response.
 */
import type { CallToolRequest, JSONRPCMessage, JSONRPCRequest, RequestId } from '@modelcontextprotocol/sdk/types.js'
import { isStoreAway } from '../../access/refusal.js'
import type { IsHeard } from '../../tools/join-call.js'
import { openCall } from '../server/call-tool.js'
import { beginEarly } from '../server/request-span.js'
import type { CallEnd, DurableBinding, OpenCall } from '../server/types.js'
import { isWait, keptOf, withoutArguments, withoutRest } from './kept-request.js'
import type { OpenRequests } from './open-requests.js'
import type { SessionEvents } from './session-events.js'
import type { SessionRecords } from './session-records.js'
import type { SessionTransport } from './session-transport.js'
import type { NewStream, StreamOpening } from './streams.js'

/** The session of a request. */
export interface RequestSession {
  readonly sessionId: string
  readonly durable: DurableBinding
  readonly records: SessionRecords
  readonly events: SessionEvents
  readonly requests: OpenRequests
  readonly transport: SessionTransport
  /** Requests whose stream is not kept and that have no response yet, or one that is being read. */
  readonly unkept: Map<RequestId, OpenRequest>
}

/** A request to open, and the call in it if it calls a durable tool. */
export interface GivenRequest {
  readonly message: JSONRPCRequest
  readonly call: CallToolRequest | undefined
  /** True if the client's revision knows events without data. The SDK keeps no stream for an older client. */
  readonly isKept: boolean
}

type Phase =
  /** Not handed to the transport. */
  | { readonly kind: 'prepared'; readonly call: CallToolRequest | undefined; readonly message: JSONRPCRequest }
  /** The transport has the request, and its stream is kept or not. */
  | { readonly kind: 'kept'; readonly stream: NewStream }
  | { readonly kind: 'unkept'; readonly end: CallEnd | undefined }
  /** The response was given away, or there is none. */
  | { readonly kind: 'over' }

export class OpenRequest implements StreamOpening {
  readonly id: RequestId
  readonly #isWait: boolean
  #phase: Phase

  private constructor(
    private readonly session: RequestSession,
    { message, call }: GivenRequest,
  ) {
    this.id = message.id
    this.#isWait = isWait(message.method)
    this.#phase = { kind: 'prepared', call, message }
  }

  /**
   * Counts a request.
   * @returns the request, and the part of its message that the SDK needs; or the refusal of a request over a limit
   */
  static prepare(
    session: RequestSession,
    given: GivenRequest,
  ): { request: OpenRequest; body: JSONRPCRequest } | { refusal: JSONRPCMessage } {
    const { message, call, isKept } = given
    const refusal = session.requests.begin(message.id)
    if (refusal) return { refusal }
    const request = new OpenRequest(session, given)
    if (isWait(message.method)) return { request, body: withoutRest(message) }
    // The message stays in memory for as long as the request waits, so it is reduced. Without a kept stream, the SDK needs
    // the arguments of a call.
    return { request, body: call && isKept ? withoutArguments(message) : message }
  }

  /** Hands the request to the transport. Resolves with the response. */
  async send(hand: () => Promise<Response>): Promise<Response> {
    const { events, requests } = this.session
    try {
      const response = await events.opening.during(this, hand)
      if (response.status !== 200) requests.end(this.id)
      return this.attachStream(response)
    } catch (error) {
      requests.end(this.id)
      this.#abandon()
      throw error
    }
  }

  /**
   * Writes the beginning of the stream, together with the task of a durable call. If nothing was written, because the
   * call is refused, the disk is full or the store is closed, the stream is not kept.
   */
  async open(streamId: string): Promise<string> {
    const phase = this.#phase
    if (phase.kind !== 'prepared') throw new Error(`The request ${this.id} was opened already`)
    const stream = this.session.events.begin(streamId, keptOf(phase.message))
    this.#phase = { kind: 'kept', stream }
    if (await stream.written(phase.call ? this.#openCall(phase.call, stream) : this.#keep(stream)))
      return stream.eventId
    this.#becomeUnkept()
    return stream.refuse()
  }

  /** Gives the response to the client. The request is over once the response is read or its reader is gone. */
  attachStream(response: Response): Response {
    const phase = this.#phase
    if (phase.kind === 'kept') {
      this.#phase = { kind: 'over' }
      return phase.stream.attach(response)
    }
    if (phase.kind === 'prepared') this.#becomeUnkept()
    return this.session.events.connections.watch(`unkept ${this.id}`, response, {
      onEnd: () => this.#endUnkept(true),
      onHangUp: () => {
        this.#endUnkept(false)
        // The client cannot return for the answer of a wait.
        if (this.#isWait && this.session.requests.has(this.id)) this.session.transport.abandon(this.id)
      },
    })
  }

  /** Announces the last answer of a call whose stream is not kept. */
  ends(end: CallEnd): void {
    if (this.#phase.kind === 'unkept') this.#phase = { kind: 'unkept', end }
  }

  /** Creates the task of a durable call. The beginning of the stream is written with it. */
  async #openCall(call: CallToolRequest, stream: NewStream): Promise<boolean> {
    const { durable, sessionId, transport } = this.session
    const { id } = this
    const beside = ({ tool, kind, started }: OpenCall) => {
      const { taskId, created, rejoinKey } = started
      return stream.records({ taskId, created, rejoinKey, tool: tool.name, kind })
    }
    const open = () => openCall(durable, call, { sessionId }, isHeardOn(this.session, id), beside)
    const span = beginEarly(durable, { ...call, id, sessionId, version: transport.protocolVersion })
    if (span) transport.spans.set(id, span)
    const opened = span ? span.within(open) : open()
    transport.preflights.set(this.id, opened)
    return opened.then(
      () => true,
      () => false,
    )
  }

  /** Writes the beginning of the stream of any other request. One that needs no disk is also answered without one. */
  async #keep(stream: NewStream): Promise<boolean> {
    try {
      await this.session.records.records.write(stream.records(), { patient: false })
      return true
    } catch (error) {
      if (isStoreAway(error)) return false
      throw error
    }
  }

  #becomeUnkept(): void {
    this.#phase = { kind: 'unkept', end: undefined }
    this.session.unkept.set(this.id, this)
  }

  /** The response of a stream that is not kept was read to its end, or its reader is gone. */
  #endUnkept(isHandedOver: boolean): void {
    const phase = this.#phase
    this.#phase = { kind: 'over' }
    if (this.session.unkept.get(this.id) === this) this.session.unkept.delete(this.id)
    if (isHandedOver && phase.kind === 'unkept') phase.end?.deliver()
  }

  #abandon(): void {
    if (this.#phase.kind === 'kept') this.#phase.stream.abandon()
    this.#endUnkept(false)
  }
}

/**
 * True while the client of a request reads its stream. Made in a function of its own: within `OpenRequest`, it would keep
 * the parameters of the request in memory for as long as the call is open.
 */
export function isHeardOn({ events }: Pick<RequestSession, 'events'>, id: RequestId): IsHeard {
  return () => events.streams.isHeard(id)
}
