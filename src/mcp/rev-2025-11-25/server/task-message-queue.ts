/**
 * The SDK's `TaskMessageQueue` in the store: messages that wait for a client's `tasks/result`, in order. A message is
 * on disk before `enqueue` resolves.
 *
 * - A question of an earlier process is not sent any more: its asker is gone. The SDK counts IDs from 0 in each
 *   process, so its ID may belong to another question now.
 */
import type { QueuedMessage, TaskMessageQueue } from '@modelcontextprotocol/sdk/experimental/tasks/interfaces.js'
import { KeyedMutex } from '../../../base/mutex.js'
import type { Attachment, DurableBinding, Extra } from './types.js'

interface Queued {
  /** Process that queued the message. */
  readonly by: string
  readonly message: QueuedMessage
}

export class DurableTaskMessageQueue implements TaskMessageQueue {
  readonly #serial = new KeyedMutex()
  /** Random text that identifies this process. */
  #self: string | undefined
  readonly #old = new WeakSet<QueuedMessage>()

  constructor(private readonly durable: DurableBinding) {}

  enqueue(taskId: string, message: QueuedMessage, _sessionId?: string, maxSize?: number): Promise<void> {
    return this.#serial.run(taskId, async () => {
      await this.durable.core.ready()
      const { binding } = this.durable.core
      if (maxSize !== undefined && (await this.#read(taskId)).length >= maxSize) {
        throw new Error(`Task message queue overflow: ${maxSize} messages are waiting`)
      }
      const name = `queue/${binding.ids.orderedId(binding.clock.now())}`
      const queued: Queued = { by: this.#by, message }
      await this.#records.write([this.#records.beside(taskId, name, JSON.stringify(queued))])
      this.durable.core.hub.tell(taskId, { kind: 'changed' })
    })
  }

  dequeue(taskId: string): Promise<QueuedMessage | undefined> {
    return this.#serial.run(taskId, async () => {
      await this.durable.core.ready()
      const [first] = await this.#read(taskId)
      if (first) await this.#records.write([this.#records.beside(taskId, first.key, undefined)])
      return first && this.#messageIn(first.text)
    })
  }

  dequeueAll(taskId: string): Promise<QueuedMessage[]> {
    return this.#serial.run(taskId, async () => {
      await this.durable.core.ready()
      const all = await this.#read(taskId)
      await this.#records.write(all.map(({ key }) => this.#records.beside(taskId, key, undefined)))
      return all.map(({ text }) => this.#messageIn(text))
    })
  }

  /** Deletes the questions of processes that have ended. */
  async dropQuestions(taskId: string): Promise<void> {
    const questions = (await this.#read(taskId)).filter(({ text }) => this.#messageIn(text).type === 'request')
    await this.#records.write(questions.map(({ key }) => this.#records.beside(taskId, key, undefined)))
  }

  /** Sends the queued messages on the stream of the request that waits for the task. */
  async relay(taskId: string, { transport }: Attachment, { requestId }: Extra): Promise<void> {
    for (let next = await this.dequeue(taskId); next; next = await this.dequeue(taskId)) {
      if (next.type === 'request' && this.#old.has(next)) continue
      const isAnswer = next.type === 'response' || next.type === 'error'
      await transport?.send(next.message, isAnswer ? {} : { relatedRequestId: requestId })
    }
  }

  #messageIn(text: string): QueuedMessage {
    const { by, message } = JSON.parse(text) as Queued
    if (by !== this.#by) this.#old.add(message)
    return message
  }

  #read(taskId: string) {
    // The ID becomes part of a key. A text that is not a task's ID has no queue.
    return /^[\w-]{1,80}$/.test(taskId) ? this.#records.listBeside(taskId, 'queue/') : Promise.resolve([])
  }

  get #by(): string {
    this.#self ??= this.durable.core.binding.ids.seed()
    return this.#self
  }

  get #records() {
    return this.durable.core.records.records
  }
}
