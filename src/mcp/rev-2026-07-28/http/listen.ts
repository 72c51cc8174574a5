/**
 * One `subscriptions/listen` stream with tasks. The SDK checks and answers the request first, and knows no `taskIds`.
 * So they are added to its acknowledgement, and the notifications of the tasks to its stream.
 *
 * - The acknowledgement is the first message of the stream.
 * - If the client subscribes only to tasks, the SDK ends its stream at once. This stream continues. The SDK's last
 *   message is sent when the server closes.
 */
import type { Clock } from '../../../base/clock.js'
import type { Caller } from '../../access/caller.js'
import { type Notification, TaskSubscription } from '../server/subscription.js'
import type { DurableBinding } from '../server/types.js'

const KEEP_ALIVE_MS = 15_000

/** Parts of a stream. */
export interface ListenParts {
  readonly durable: DurableBinding
  readonly subscriptionId: string | number
  readonly taskIds: readonly string[]
  readonly caller: Caller
  /** Response of the SDK. */
  readonly response: Response
  readonly onOver: (stream: ListenStream) => void
}

type Message = { readonly method?: string; readonly params?: { notifications?: Record<string, unknown> } }

export class ListenStream {
  readonly response: Response
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>
  readonly #subscription: TaskSubscription
  readonly #encoder = new TextEncoder()
  #controller!: ReadableStreamDefaultController<Uint8Array>
  #room: () => void = () => {}
  #goodbye: string | undefined
  #isOver = false
  #disarm = () => {}

  constructor(private readonly parts: ListenParts) {
    const { durable, subscriptionId, taskIds, caller, response } = parts
    this.#reader = (response.body as ReadableStream<Uint8Array>).getReader()
    const send = (notification: Notification) => this.#write(frameOf({ jsonrpc: '2.0', ...notification }))
    this.#subscription = new TaskSubscription({ durable, subscriptionId, taskIds, caller, send })
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.#controller = controller
      },
      pull: () => this.#room(),
      cancel: () => this.end(),
    })
    this.response = new Response(body, { status: response.status, headers: response.headers })
    this.#keepAlive(durable.core.binding.clock)
    this.#pass().catch(() => this.end())
  }

  /**
   * Ends the stream because the server closes. The client receives the SDK's last message, so it can subscribe
   * elsewhere.
   */
  close(): void {
    if (!this.#isOver && this.#goodbye !== undefined) this.#controller.enqueue(this.#encoder.encode(this.#goodbye))
    this.end()
  }

  /** Forwards the messages of the SDK. */
  async #pass(): Promise<void> {
    const decoder = new TextDecoder()
    let rest = ''
    let isOurs = true
    let isAcknowledged = false
    for (;;) {
      const { done, value } = await this.#reader.read()
      if (done || this.#isOver) break
      rest += decoder.decode(value, { stream: true })
      for (let end = rest.indexOf('\n\n'); end >= 0; end = rest.indexOf('\n\n')) {
        const frame = rest.slice(0, end + 2)
        rest = rest.slice(end + 2)
        const message = messageIn(frame)
        if (!isAcknowledged && message?.method === 'notifications/subscriptions/acknowledged') {
          isAcknowledged = true
          const { notifications = {} } = message.params ?? {}
          isOurs = Object.keys(notifications).length === 0
          await this.#write(frameOf(this.#withTasks(message)))
          this.#subscription.start()
        } else if (isOurs && message && !('method' in message)) this.#goodbye = frame
        else if (!isOurs || message) await this.#write(frame)
      }
    }
    if (!isOurs) this.end()
  }

  #withTasks(message: Message): Message {
    const { taskIds } = this.parts
    return { ...message, params: { ...message.params, notifications: { ...message.params?.notifications, taskIds } } }
  }

  /** Sends a frame. Resolves once the client has read enough. */
  async #write(frame: string): Promise<void> {
    if (this.#isOver) return
    this.#controller.enqueue(this.#encoder.encode(frame))
    while (!this.#isOver && (this.#controller.desiredSize ?? 0) <= 0) {
      await new Promise<void>((resolve) => {
        this.#room = resolve
      })
    }
  }

  #keepAlive(clock: Clock): void {
    const beat = () => {
      if ((this.#controller.desiredSize ?? 0) > 0) this.#controller.enqueue(this.#encoder.encode(': keepalive\n\n'))
      this.#keepAlive(clock)
    }
    this.#disarm = clock.setTimer(clock.now() + KEEP_ALIVE_MS, beat, { background: true })
  }

  /** Ends the stream. */
  end(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#disarm()
    this.#room()
    this.#subscription.stop()
    this.#reader.cancel().catch(() => {})
    try {
      this.#controller.close()
    } catch {
      // The client disconnected, which closed the stream.
    }
    this.parts.onOver(this)
  }
}

function frameOf(message: unknown): string {
  return `event: message\ndata: ${JSON.stringify(message)}\n\n`
}

/** Message in a frame; `undefined` for a comment. */
function messageIn(frame: string): Message | undefined {
  const data = frame.split('\n').filter((line) => line.startsWith('data: '))
  return data.length === 0 ? undefined : (JSON.parse(data.map((line) => line.slice(6)).join('\n')) as Message)
}
