/**
 * The SDK's `TaskMessageQueue` over the store: what waits for a client's `tasks/result`, first in, first out, and on disk
 * before anybody is told that it is queued.
 */
import type { QueuedMessage, TaskMessageQueue } from '@modelcontextprotocol/sdk/experimental/tasks/interfaces.js'
import { Serial } from '../../engine/serial.js'
import type { DurableTasks } from './durable-tasks.js'

export class DurableTaskMessageQueue implements TaskMessageQueue {
  readonly #serial = new Serial()

  constructor(private readonly durable: DurableTasks) {}

  enqueue(taskId: string, message: QueuedMessage, _sessionId?: string, maxSize?: number): Promise<void> {
    return this.#serial.run(taskId, async () => {
      const { binding } = this.durable.core
      if (maxSize !== undefined && (await this.#read(taskId)).length >= maxSize) {
        throw new Error(`Task message queue overflow: ${maxSize} messages are waiting`)
      }
      const name = `queue/${binding.ids.auditId(binding.clock.now())}`
      await this.#records.write([this.#records.beside(taskId, name, JSON.stringify(message))])
      this.durable.core.hub.tell(taskId, { kind: 'changed' })
    })
  }

  dequeue(taskId: string): Promise<QueuedMessage | undefined> {
    return this.#serial.run(taskId, async () => {
      const [first] = await this.#read(taskId)
      if (first) await this.#records.write([this.#records.beside(taskId, first.key, undefined)])
      return first && (JSON.parse(first.text) as QueuedMessage)
    })
  }

  dequeueAll(taskId: string): Promise<QueuedMessage[]> {
    return this.#serial.run(taskId, async () => {
      const all = await this.#read(taskId)
      await this.#records.write(all.map(({ key }) => this.#records.beside(taskId, key, undefined)))
      return all.map(({ text }) => JSON.parse(text) as QueuedMessage)
    })
  }

  #read(taskId: string) {
    // Part of a key: what is no task's ID has no queue.
    return /^[\w-]{1,80}$/.test(taskId) ? this.#records.listBeside(taskId, 'queue/') : Promise.resolve([])
  }

  get #records() {
    return this.durable.core.records.records
  }
}
