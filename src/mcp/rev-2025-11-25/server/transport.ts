/**
 * A transport between the author's transport and the SDK's protocol. It records facts that the SDK does not pass to
 * handlers, such as a cancel by the client (a lost connection looks the same to them). It removes the related-task hint
 * from requests whose `taskId` names the task: with a message queue, the SDK would queue their answers instead of
 * sending them.
 */

import type { Transport, TransportSendOptions } from '@modelcontextprotocol/sdk/shared/transport.js'
import type { JSONRPCMessage, JSONRPCRequest, MessageExtraInfo, RequestId } from '@modelcontextprotocol/sdk/types.js'
import { isJSONRPCNotification, isJSONRPCRequest, RELATED_TASK_META_KEY } from '@modelcontextprotocol/sdk/types.js'
import type { TelemetrySpan } from '../../../task/telemetry.js'
import { UNLIMITED_MS } from '../../access/ttl.js'
import type { CallEnd, OpenCall } from './types.js'

const OWN_TASK_ID = new Set(['tasks/get', 'tasks/result', 'tasks/cancel', 'tasks/list'])
// A client can cancel requests that it never made. This limits the IDs that are kept of them.
const CANCELLED_MAX = 1_000
const CANCELLED_ID_LENGTH_MAX = 1_000

/** Key in the `_meta` of a request to the client, with the question of a task. Removed before the request is sent. */
export const INPUT_META = 'holdfast/input'

/** Identifies a question of a task, among all questions to a client. */
export function questionId(taskId: string, key: string): string {
  return `${taskId}:${key}`
}

/** Question of a task that a request to the client asks; `undefined` for any other request. */
export function questionIn(request: JSONRPCRequest): string | undefined {
  const question = request.params?._meta?.[INPUT_META]
  return typeof question === 'string' ? question : undefined
}

export class DurableTransport implements Transport {
  onclose?: () => void
  onerror?: (error: Error) => void
  onmessage?: <T extends JSONRPCMessage>(message: T, extra?: MessageExtraInfo) => void
  /** Called when the connection is over, regardless of the server's own `onclose`. */
  onOver: () => void = () => {}
  readonly #cancelled = new Set<RequestId>()
  readonly #ends = new Map<RequestId, CallEnd>()

  /** Open calls of durable tools whose task was created before the SDK received the request. */
  readonly preflights = new Map<RequestId, Promise<OpenCall>>()
  /** Spans of these calls, if telemetry is on. The handler of the request ends its span. */
  readonly spans = new Map<RequestId, TelemetrySpan>()
  /** Revision that was agreed on; `undefined` before the answer to `initialize`. */
  protocolVersion: string | undefined

  constructor(readonly inner: Transport) {}

  get sessionId(): string | undefined {
    return this.inner.sessionId
  }

  /** True if the client itself cancelled the request. The answer can be read once. */
  wasCancelled(requestId: RequestId): boolean {
    return this.#cancelled.delete(requestId)
  }

  /** Announces that the next answer to a request ends its call. Once that was sent, its client has it (mcp-core-4). */
  ends(requestId: RequestId, end: CallEnd): void {
    this.#ends.set(requestId, end)
  }

  /** Reports the answer to a task's question: it is on disk or was dropped, or `error` kept it from the disk. */
  answered(_question: string, _error?: unknown): void {}

  /** Resolves once a cancel of the request is on disk or has failed; `undefined` if there is none. */
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

  /** Ends the connection. */
  protected over(): void {
    this.onOver()
  }

  /** Receives a message of the client. */
  receive(message: JSONRPCMessage, extra?: MessageExtraInfo): void {
    if (isJSONRPCNotification(message) && message.method === 'notifications/cancelled') {
      const requestId = message.params?.['requestId']
      if (typeof requestId === 'string' || typeof requestId === 'number') this.#note(requestId)
      this.#ends.delete(requestId as RequestId)
    }
    this.onmessage?.(withTtl(withoutHint(message)), extra)
  }

  send(message: JSONRPCMessage, options?: TransportSendOptions): Promise<void> {
    this.protocolVersion ??= agreedIn(message)
    const sent = this.inner.send(withoutTasks(withoutQuestion(message)), options)
    if ('method' in message || message.id === undefined) return sent
    const end = this.#ends.get(message.id)
    if (!end) return sent
    this.#ends.delete(message.id)
    return sent.then(end.deliver)
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
 * Replaces a requested `ttl` of `null` by a number. `null` is the `ttl` of a task without one, but the SDK's schema of
 * the request accepts only numbers.
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

/** Revision in the answer to `initialize`; `undefined` for any other message. */
function agreedIn(message: JSONRPCMessage): string | undefined {
  if (!('result' in message)) return undefined
  const { protocolVersion } = message.result as { protocolVersion?: unknown }
  return typeof protocolVersion === 'string' ? protocolVersion : undefined
}

// The first revision with tasks. Revisions are dates, so that their texts sort.
const TASKS_SINCE = '2025-11-25'

/** Removes the capability `tasks` from the answer to a client, if the agreed revision has no tasks. */
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
