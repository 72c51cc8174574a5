/**
 * A transport between the wire and the SDK that adds tasks to `subscriptions/listen`. The SDK checks and answers the
 * request, and knows no `taskIds`. So they are added to its acknowledgement on the way out.
 */
import {
  isJSONRPCNotification,
  isJSONRPCRequest,
  type JSONRPCMessage,
  type JSONRPCRequest,
  SUBSCRIPTION_ID_META_KEY,
  type Transport,
  type TransportSendOptions,
} from '@modelcontextprotocol/server'
import { ProtocolError } from '../../../base/errors.js'
import { callerOf } from '../../access/caller.js'
import { errorOf } from '../http/handler.js'
import { knowsTasks, tasksNotDeclared } from '../server/extension.js'
import { acceptTasks, type Notification, TaskSubscription, taskIdsIn } from '../server/subscription.js'
import type { DurableBinding } from '../server/types.js'

const VERSION_META = 'io.modelcontextprotocol/protocolVersion'
const CAPABILITIES_META = 'io.modelcontextprotocol/clientCapabilities'
const SUBSCRIPTIONS_MAX = 1_024

interface Listening {
  readonly taskIds: readonly string[]
  subscription?: TaskSubscription
}

export class ListeningTransport implements Transport {
  onclose?: () => void
  onerror?: (error: Error) => void
  onmessage?: Transport['onmessage']
  /** Subscriptions by the IDs of their requests. */
  readonly #listening = new Map<string | number, Listening>()

  constructor(
    private readonly durable: DurableBinding,
    private readonly wire: Transport,
  ) {}

  async start(): Promise<void> {
    this.wire.onmessage = (message, extra) => {
      if (this.#receive(message)) this.onmessage?.(message, extra)
    }
    this.wire.onclose = () => {
      for (const id of [...this.#listening.keys()]) this.#forget(id)
      this.onclose?.()
    }
    this.wire.onerror = (error) => this.onerror?.(error)
    await this.wire.start()
  }

  async send(message: JSONRPCMessage, options?: TransportSendOptions): Promise<void> {
    if (isJSONRPCNotification(message) && message.method === 'notifications/subscriptions/acknowledged') {
      const id = (message.params?._meta as Record<string, unknown> | undefined)?.[SUBSCRIPTION_ID_META_KEY]
      const listening = this.#listening.get(id as string | number)
      if (listening) return this.#acknowledge(id as string | number, listening, message as Notification)
    }
    // The answer to a `listen` ends the subscription.
    if (!('method' in message) && message.id !== undefined) this.#forget(message.id)
    await this.wire.send(message, options)
  }

  close(): Promise<void> {
    return this.wire.close()
  }

  setProtocolVersion = (version: string): void => this.wire.setProtocolVersion?.(version)

  /**
   * Handles a message of the client.
   * @returns true if the SDK is to receive the message
   */
  #receive(message: JSONRPCMessage): boolean {
    if (isJSONRPCNotification(message) && message.method === 'notifications/cancelled') {
      const requestId = message.params?.['requestId']
      if (typeof requestId === 'string' || typeof requestId === 'number') this.#forget(requestId)
    }
    if (!isJSONRPCRequest(message) || message.method !== 'subscriptions/listen') return true
    const meta = message.params?._meta as Record<string, unknown> | undefined
    // A request without an envelope is refused by the SDK.
    if (meta?.[VERSION_META] === undefined) return true
    try {
      const taskIds = taskIdsIn(message.params)
      if (taskIds === undefined) return true
      if (!knowsTasks(meta[CAPABILITIES_META])) throw tasksNotDeclared()
      if (this.#listening.size >= SUBSCRIPTIONS_MAX) throw new ProtocolError(-32_603, 'Subscription limit reached')
      this.#listening.set(message.id, { taskIds })
      return true
    } catch (error) {
      this.#refuse(message, error)
      return false
    }
  }

  async #acknowledge(id: string | number, listening: Listening, message: Notification): Promise<void> {
    const { durable } = this
    try {
      const caller = await callerOf(durable.core.options)
      const taskIds = await acceptTasks(durable, caller, listening.taskIds)
      const notifications = {
        ...(message.params['notifications'] as object),
        taskIds,
      }
      await this.wire.send({ ...message, params: { ...message.params, notifications } } as unknown as JSONRPCMessage)
      if (this.#listening.get(id) !== listening) return
      const send = async (notification: Notification) => {
        await this.wire
          .send({ jsonrpc: '2.0', ...notification } as unknown as JSONRPCMessage)
          .catch((error: unknown) => this.onerror?.(error as Error))
      }
      listening.subscription = new TaskSubscription({ durable, subscriptionId: id, taskIds, caller, send })
      listening.subscription.start()
    } catch (error) {
      this.#forget(id)
      this.onmessage?.({ jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: id } })
      this.#refuse({ id }, error)
    }
  }

  #forget(id: string | number): void {
    this.#listening.get(id)?.subscription?.stop()
    this.#listening.delete(id)
  }

  #refuse({ id }: Pick<JSONRPCRequest, 'id'>, error: unknown): void {
    const { code, message, data } = errorOf(error, this.durable.core.logger)
    this.wire
      .send({ jsonrpc: '2.0', id, error: { code, message, ...(data ? { data } : {}) } })
      .catch((failed: unknown) => this.onerror?.(failed as Error))
  }
}
