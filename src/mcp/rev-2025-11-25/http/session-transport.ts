/**
 * Transport of one session, around the SDK's. Quick requests are answered as JSON, without a stream: they are not worth
 * an event, and a client repeats them when a connection is lost. A request of the server to its client gets an ID that
 * no other process of this session has used. The SDK counts from 0 in each process, so an answer to a question from
 * before a restart would answer another one.
 */
import type { WebStandardStreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/webStandardStreamableHttp.js'
import type { TransportSendOptions } from '@modelcontextprotocol/sdk/shared/transport.js'
import {
  isJSONRPCRequest,
  type JSONRPCMessage,
  type JSONRPCRequest,
  type MessageExtraInfo,
  type RequestId,
} from '@modelcontextprotocol/sdk/types.js'
import { HoldfastError } from '../../../base/errors.js'
import { type Deferred, deferred } from '../../../base/promises.js'
import { isStoreAway } from '../../access/refusal.js'
import { DurableTransport, questionIn } from '../server/transport.js'
import type { CallEnd, OpenCall } from '../server/types.js'
import type { OpenRequests } from './open-requests.js'

/**
 * Accepts an answer to a question whose own request has ended: asked by an earlier process, or a second time. Resolves
 * once the answer is on disk, or was dropped.
 */
export type LateAnswer = (question: string, response: JSONRPCMessage) => Promise<void>

// Number of unanswered questions that are kept. A client that answers none must not fill the memory.
const ASKED_MAX = 1_000

export class SessionTransport extends DurableTransport {
  readonly #answers = new Map<RequestId, (response: JSONRPCMessage) => void>()
  readonly #asked = new Map<RequestId, { readonly requestId: RequestId; readonly question: string | undefined }>()
  /** Answers to questions of tasks that are being written to disk, by question. */
  readonly #answering = new Map<string, Deferred<void>>()
  readonly #cancelling = new Map<RequestId, Promise<void>>()
  readonly #sentAs = new Map<RequestId, RequestId>()
  #count = 0

  constructor(
    override readonly inner: WebStandardStreamableHTTPServerTransport,
    /** A text that no other process has. */
    private readonly incarnation: string,
    /** Requests of the session that have a stream. */
    private readonly requests: OpenRequests,
    private readonly onLateAnswer: LateAnswer,
    /** Called when the client cancels a request: it gets no answer. */
    private readonly onGivenUp: (requestId: RequestId) => void,
    /** Called before an answer that ends a call. */
    private readonly onEnds: DurableTransport['ends'],
    /**
     * Called when the client cancels an open call, before the server sees that. Resolves once the cancel is on disk.
     */
    private readonly onCancels: (call: OpenCall) => Promise<void>,
  ) {
    super(inner)
  }

  override ends(requestId: RequestId, end: CallEnd): void {
    this.onEnds(requestId, end)
  }

  /** True if a request without a stream is unanswered. */
  get isAsked(): boolean {
    return this.#answers.size > 0
  }

  /** True if a request with this ID and without a stream is unanswered. */
  asks(id: RequestId): boolean {
    return this.#answers.has(id)
  }

  /** Hands a request to the server and resolves with its answer. The SDK's transport never sees the request. */
  ask(request: JSONRPCRequest, extra: MessageExtraInfo): Promise<JSONRPCMessage> {
    return new Promise((resolve) => {
      this.#answers.set(request.id, resolve)
      this.receive(request, extra)
    })
  }

  /** Answers all waiting requests with an error, because the session is over. */
  protected override over(): void {
    this.requests.endAll()
    for (const id of this.#answers.keys()) this.#unanswered(id, 'The session is over')
    for (const question of this.#answering.keys())
      this.answered(question, new HoldfastError('CLOSED', 'The session is over'))
    super.over()
  }

  #unanswered(id: RequestId, message: string): void {
    const answer = this.#answers.get(id)
    this.#answers.delete(id)
    answer?.({ jsonrpc: '2.0', id, error: { code: -32_000, message } })
  }

  /** Resolves with the answer to a request that the SDK's transport received. */
  answerTo(requestId: RequestId): Promise<JSONRPCMessage> {
    return new Promise((resolve) => {
      this.#answers.set(requestId, (response) => {
        resolve(response)
        void super.send(response).catch(() => {})
      })
    })
  }

  /**
   * Ends the wait for a request whose client has disconnected. It did not cancel the request, so its task continues.
   */
  abandon(requestId: RequestId): void {
    this.requests.end(requestId)
    this.onmessage?.({ jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId } })
  }

  /**
   * Accepts a notification, or an answer to a question of the server. Resolves once its effect is on disk: the answer
   * to a task's question, or the cancel of a call that cancels its task.
   * @throws HoldfastError `STORE_UNAVAILABLE`, `CLOSED`. The client may send it again.
   */
  async take(message: JSONRPCMessage, extra?: MessageExtraInfo): Promise<void> {
    const requestId = cancelledBy(message)
    if (requestId !== undefined) await this.#cancel(requestId, message, extra)
    else if ('method' in message || message.id === undefined) this.receive(message, extra)
    else await this.#takeAnswer(message, message.id, extra)
  }

  override receive(message: JSONRPCMessage, extra?: MessageExtraInfo): void {
    super.receive(message, extra)
    const requestId = cancelledBy(message)
    if (requestId === undefined) return
    this.requests.end(requestId)
    this.#unanswered(requestId, 'The request was cancelled')
    this.onGivenUp(requestId)
  }

  /**
   * Closes the stream of a request that gets no answer, and makes the SDK's transport forget the request. The transport
   * only forgets answered requests, so it gets an answer that is not sent.
   */
  async release(id: RequestId): Promise<void> {
    this.inner.closeSSEStream(id)
    await this.inner.send({ jsonrpc: '2.0', id, error: { code: -32_000, message: 'Given up' } }).catch(() => {})
  }

  override answered(question: string, error?: unknown): void {
    const answering = this.#answering.get(question)
    this.#answering.delete(question)
    if (isStoreAway(error)) answering?.reject(error)
    else answering?.resolve()
  }

  override cancelling(requestId: RequestId): Promise<void> | undefined {
    return this.#cancelling.get(requestId)
  }

  #takeAnswer(message: JSONRPCMessage, id: RequestId, extra?: MessageExtraInfo): Promise<void> | undefined {
    const asked = this.#asked.get(id)
    if (!asked) {
      const question = typeof id === 'string' ? id.slice(0, Math.max(0, id.lastIndexOf('.'))) : ''
      return question === '' ? undefined : this.onLateAnswer(question, message)
    }
    const { requestId, question } = asked
    this.#forget(requestId)
    const answering = question === undefined ? undefined : (this.#answering.get(question) ?? deferred<void>())
    if (question !== undefined && answering) this.#answering.set(question, answering)
    super.receive({ ...message, id: requestId } as JSONRPCMessage, extra)
    return answering?.promise
  }

  /**
   * Cancels the task first. If the task cannot be cancelled now, the call continues, and the client may cancel it
   * again.
   */
  async #cancel(requestId: RequestId, message: JSONRPCMessage, extra?: MessageExtraInfo): Promise<void> {
    const call = this.preflights.get(requestId)
    if (!call) return this.receive(message, extra)
    const cancelling = call
      // A refused call has no task.
      .then(this.onCancels, () => {})
      .then(() => this.receive(message, extra))
    const over = cancelling.catch(() => {})
    this.#cancelling.set(requestId, over)
    try {
      await cancelling
    } finally {
      if (this.#cancelling.get(requestId) === over) this.#cancelling.delete(requestId)
    }
  }

  override send(message: JSONRPCMessage, options?: TransportSendOptions): Promise<void> {
    if (isJSONRPCRequest(message)) return super.send(this.#renamed(message), options)
    if ('method' in message) return super.send(this.#ofRenamed(message), options)
    if (message.id !== undefined) this.requests.end(message.id)
    const answer = message.id === undefined ? undefined : this.#answers.get(message.id)
    if (!answer) return super.send(message, options)
    this.#answers.delete(message.id as RequestId)
    answer(message)
    return Promise.resolve()
  }

  #renamed(request: JSONRPCRequest): JSONRPCRequest {
    const question = questionIn(request)
    const id = `${question ?? `request-${this.#count++}`}.${this.incarnation}`
    const [oldest] = this.#asked
    if (oldest && this.#asked.size >= ASKED_MAX) this.#forget(oldest[1].requestId)
    this.#asked.set(id, { requestId: request.id, question })
    this.#sentAs.set(request.id, id)
    return { ...request, id }
  }

  #ofRenamed<T extends JSONRPCMessage>(message: T): T {
    if (!('method' in message) || message.method !== 'notifications/cancelled') return message
    const requestId = this.#sentAs.get(message.params?.['requestId'] as RequestId)
    if (requestId === undefined) return message
    this.#forget(message.params?.['requestId'] as RequestId)
    return { ...message, params: { ...message.params, requestId } }
  }

  #forget(requestId: RequestId): void {
    this.#asked.delete(this.#sentAs.get(requestId) as RequestId)
    this.#sentAs.delete(requestId)
  }
}

/** ID of the request that a message cancels; `undefined` for any other message. */
function cancelledBy(message: JSONRPCMessage): RequestId | undefined {
  if (!('method' in message) || message.method !== 'notifications/cancelled') return undefined
  return message.params?.['requestId'] as RequestId | undefined
}
