/**
 * The transport of one session, around the SDK's. Quick requests are answered as JSON, without a stream: they are not
 * worth an event, and asked again when a connection drops. What the server asks of its client gets an ID that no other
 * process of this session ever used, since the SDK counts from 0 in each, and an answer to a question from before a
 * restart would answer another one.
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
import { DurableTransport, questionIn } from '../transport.js'

/** What answers a question whose own request is gone: asked by an earlier process, or a second time. */
export type LateAnswer = (question: string, response: JSONRPCMessage) => void

// Questions that were asked and never answered; a client that answers none must not fill the memory.
const ASKED_MAX = 1_000

export class SessionTransport extends DurableTransport {
  readonly #answers = new Map<RequestId, (response: JSONRPCMessage) => void>()
  readonly #asked = new Map<RequestId, RequestId>()
  readonly #sentAs = new Map<RequestId, RequestId>()
  #count = 0

  constructor(
    override readonly inner: WebStandardStreamableHTTPServerTransport,
    /** Unlike that of every other process. */
    private readonly incarnation: string,
    private readonly onLateAnswer: LateAnswer,
    /** Called when the client cancels a request: it is not waited for any more, and no answer will come. */
    private readonly onGivenUp: (requestId: RequestId) => void,
    /** Called before an answer that ends a call: the note goes when its client gets the answer. */
    private readonly onDelivers: DurableTransport['delivers'],
  ) {
    super(inner)
  }

  override delivers(requestId: RequestId, rejoinKey: string | undefined): boolean {
    return this.onDelivers(requestId, rejoinKey)
  }

  /** Whether a request waits for its answer, beside those that have a stream. */
  get isAsked(): boolean {
    return this.#answers.size > 0
  }

  /** Hands a request to the server and resolves with its answer; the SDK's transport never sees it. */
  ask(request: JSONRPCRequest, extra: MessageExtraInfo): Promise<JSONRPCMessage> | undefined {
    if (this.#answers.has(request.id)) return undefined
    return new Promise((resolve) => {
      this.#answers.set(request.id, resolve)
      this.receive(request, extra)
    })
  }

  /** What is asked for and not answered when the session ends, nobody will answer. */
  protected override over(): void {
    for (const id of this.#answers.keys()) this.#unanswered(id, 'The session is over')
    super.over()
  }

  #unanswered(id: RequestId, message: string): void {
    const answer = this.#answers.get(id)
    this.#answers.delete(id)
    answer?.({ jsonrpc: '2.0', id, error: { code: -32_000, message } })
  }

  /** Resolves with the answer to a request that the SDK's transport was given. */
  answerTo(requestId: RequestId): Promise<JSONRPCMessage> {
    return new Promise((resolve) => {
      this.#answers.set(requestId, (response) => {
        resolve(response)
        void super.send(response).catch(() => {})
      })
    })
  }

  /** Ends the wait for a request whose client is gone. It did not cancel it: what works on it goes on. */
  abandon(requestId: RequestId): void {
    this.onmessage?.({ jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId } })
  }

  override receive(message: JSONRPCMessage, extra?: MessageExtraInfo): void {
    if ('method' in message || message.id === undefined) {
      super.receive(message, extra)
      if ('method' in message && message.method === 'notifications/cancelled') {
        const requestId = message.params?.['requestId'] as RequestId
        this.#unanswered(requestId, 'The request was cancelled')
        this.onGivenUp(requestId)
      }
      return
    }
    const { id } = message
    const asked = this.#asked.get(id)
    if (asked === undefined) {
      const question = typeof id === 'string' ? id.slice(0, Math.max(0, id.lastIndexOf('.'))) : ''
      if (question !== '') this.onLateAnswer(question, message)
      return
    }
    this.#forget(asked)
    super.receive({ ...message, id: asked }, extra)
  }

  override send(message: JSONRPCMessage, options?: TransportSendOptions): Promise<void> {
    if (isJSONRPCRequest(message)) return super.send(this.#renamed(message), options)
    if ('method' in message) return super.send(this.#ofRenamed(message), options)
    const answer = message.id === undefined ? undefined : this.#answers.get(message.id)
    if (!answer) return super.send(message, options)
    this.#answers.delete(message.id as RequestId)
    answer(message)
    return Promise.resolve()
  }

  #renamed(request: JSONRPCRequest): JSONRPCRequest {
    const id = `${questionIn(request) ?? `request-${this.#count++}`}.${this.incarnation}`
    const [oldest] = this.#asked
    if (oldest && this.#asked.size >= ASKED_MAX) this.#forget(oldest[1])
    this.#asked.set(id, request.id)
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
