/**
 * A transport around the author's, between it and the SDK's protocol. It notes what the protocol doesn't tell handlers
 * (that a request was cancelled by its client, and not by a lost connection), and takes the related-task hint off
 * requests whose `taskId` is the truth: with a message queue the SDK would queue their answers instead of sending them.
 */

import type { Transport, TransportSendOptions } from '@modelcontextprotocol/sdk/shared/transport.js'
import type { JSONRPCMessage, JSONRPCRequest, MessageExtraInfo, RequestId } from '@modelcontextprotocol/sdk/types.js'
import { isJSONRPCNotification, isJSONRPCRequest, RELATED_TASK_META_KEY } from '@modelcontextprotocol/sdk/types.js'
import { UNLIMITED_MS } from '../../access/ttl.js'
import type { OpenCall } from './types.js'

const OWN_TASK_ID = new Set(['tasks/get', 'tasks/result', 'tasks/cancel', 'tasks/list'])
// A client can cancel what it never asked for; what is noted of that stays small.
const CANCELLED_MAX = 1_000
const CANCELLED_ID_LENGTH_MAX = 1_000

/** In the `_meta` of a request to the client: which question of which task it is. Never sent. */
export const INPUT_META = 'holdfast/input'

/** Names a question of a task, among all that a client is asked. */
export function questionId(taskId: string, key: string): string {
  return `${taskId}:${key}`
}

/** Which question a request to the client is, if it is one of a task. */
export function questionIn(request: JSONRPCRequest): string | undefined {
  const question = request.params?._meta?.[INPUT_META]
  return typeof question === 'string' ? question : undefined
}

export class DurableTransport implements Transport {
  onclose?: () => void
  onerror?: (error: Error) => void
  onmessage?: <T extends JSONRPCMessage>(message: T, extra?: MessageExtraInfo) => void
  /** Called when the connection is over, whatever the author hangs on to the server's own `onclose`. */
  onOver: () => void = () => {}
  readonly #cancelled = new Set<RequestId>()

  /** Open calls of durable tools whose task was made before the SDK saw the request. */
  readonly preflights = new Map<RequestId, Promise<OpenCall>>()

  constructor(readonly inner: Transport) {}

  get sessionId(): string | undefined {
    return this.inner.sessionId
  }

  /** True if the client itself cancelled the request. Asked once. */
  wasCancelled(requestId: RequestId): boolean {
    return this.#cancelled.delete(requestId)
  }

  /**
   * The next answer to a request ends its call, and the note `rejoinKey`, that nobody got it, is to go once somebody has.
   * @returns whether the transport sees to that
   */
  delivers(_requestId: RequestId, _rejoinKey: string | undefined): boolean {
    return false
  }

  /** What became of the answer to a task's question: it is on disk or counts for nothing, or `error` kept it from the disk. */
  answered(_question: string, _error?: unknown): void {}

  /** Resolves once a cancel of the request is on disk or has failed; `undefined` if none is on its way. */
  cancelling(_requestId: RequestId): Promise<void> | undefined {
    return undefined
  }

  async start(): Promise<void> {
    const { onclose, onerror } = this.inner
    this.inner.onclose = () => {
      this.over()
      onclose?.()
      this.onclose?.()
    }
    this.inner.onerror = (error) => {
      onerror?.(error)
      this.onerror?.(error)
    }
    this.inner.onmessage = (message, extra) => this.receive(message, extra)
    await this.inner.start()
  }

  /** The connection is over. */
  protected over(): void {
    this.onOver()
  }

  /** A message of the client's. */
  receive(message: JSONRPCMessage, extra?: MessageExtraInfo): void {
    if (isJSONRPCNotification(message) && message.method === 'notifications/cancelled') {
      const requestId = message.params?.['requestId']
      if (typeof requestId === 'string' || typeof requestId === 'number') this.#note(requestId)
    }
    this.onmessage?.(withTtl(withoutHint(message)), extra)
  }

  send(message: JSONRPCMessage, options?: TransportSendOptions): Promise<void> {
    return this.inner.send(withoutTasks(withoutQuestion(message)), options)
  }

  close(): Promise<void> {
    return this.inner.close()
  }

  setProtocolVersion(version: string): void {
    this.inner.setProtocolVersion?.(version)
  }

  #note(requestId: RequestId): void {
    if (typeof requestId === 'string' && requestId.length > CANCELLED_ID_LENGTH_MAX) return
    if (this.#cancelled.size >= CANCELLED_MAX) this.#cancelled.clear()
    this.#cancelled.add(requestId)
  }
}

/**
 * The message with a number where its client asks for a task without a `ttl` (`null`). That is what such a task says it has,
 * but the SDK's schema of the request knows numbers only.
 */
export function withTtl<Message extends JSONRPCMessage>(message: Message): Message {
  if (!isJSONRPCRequest(message)) return message
  const task = message.params?.['task'] as { ttl?: unknown } | undefined
  if (task?.ttl !== null) return message
  return { ...message, params: { ...message.params, task: { ...task, ttl: UNLIMITED_MS } } }
}

function withoutHint(message: JSONRPCMessage): JSONRPCMessage {
  if (!isJSONRPCRequest(message) || !OWN_TASK_ID.has(message.method)) return message
  const meta = message.params?._meta
  if (!meta || !(RELATED_TASK_META_KEY in meta)) return message
  const { [RELATED_TASK_META_KEY]: _, ...rest } = meta
  return { ...message, params: { ...message.params, _meta: rest } }
}

// The revision that brought tasks. Revisions are dates, so that their texts sort.
const TASKS_SINCE = '2025-11-25'

/** The message without the capability `tasks` where it agrees with a client on a revision that has none. */
function withoutTasks(message: JSONRPCMessage): JSONRPCMessage {
  if (!('result' in message)) return message
  const { protocolVersion, capabilities } = message.result as { protocolVersion?: unknown; capabilities?: object }
  if (typeof protocolVersion !== 'string' || protocolVersion >= TASKS_SINCE) return message
  if (!capabilities || !('tasks' in capabilities)) return message
  const { tasks: _, ...rest } = capabilities
  return { ...message, result: { ...message.result, capabilities: rest } }
}

function withoutQuestion(message: JSONRPCMessage): JSONRPCMessage {
  if (!isJSONRPCRequest(message) || questionIn(message) === undefined) return message
  const { [INPUT_META]: _, ...meta } = (message.params?._meta ?? {}) as Record<string, unknown>
  return { ...message, params: { ...message.params, _meta: meta } }
}
