/**
 * Feeds of events over SSE: a snapshot, then every event from now on. Owns the open feeds.
 *
 * feed-1. A feed subscribes before the snapshot is read, and sends what happened meanwhile after it. So no event is missed;
 *   an event may be in the snapshot already.
 * feed-2. A feed holds at most `eventsMax` events that its client has not read. Then it ends with the event `cut`. The client
 *   connects again, and gets a new snapshot.
 * feed-3. Without a feed, the store has no listener. So an operator API without clients costs a task nothing.
 */
import { HoldfastError } from '../../base/errors.js'
import type { FeedEvent, OperatorTarget } from '../contract/routes.js'

/** Limits of the feeds of a server. */
export interface FeedBounds {
  /** Feeds at a time. */
  readonly feedsMax: number
  /** Events that wait for one client. */
  readonly eventsMax: number
  /** Time between two comments that show that the connection works. */
  readonly pingMs: number
}

const BOUNDS: FeedBounds = { feedsMax: 32, eventsMax: 1_000, pingMs: 15_000 }

export class Feeds {
  readonly #open = new Set<Feed>()

  constructor(private readonly bounds: FeedBounds = BOUNDS) {}

  /** Number of open feeds. */
  get size(): number {
    return this.#open.size
  }

  /**
   * Opens a feed.
   * @throws HoldfastError `OPERATOR_REFUSED` if there are too many; as `get` for a task
   */
  async open(target: OperatorTarget, taskId: string | undefined, signal: AbortSignal): Promise<Response> {
    const { feedsMax } = this.bounds
    if (this.#open.size >= feedsMax) {
      const message = `${feedsMax} clients read events already. Close one, or read the state with \`get\` and \`list\`.`
      throw new HoldfastError('OPERATOR_REFUSED', message, { details: { feedsMax } })
    }
    const feed = new Feed(this.bounds, () => this.#open.delete(feed))
    this.#open.add(feed)
    signal.addEventListener('abort', () => feed.end(), { once: true })
    try {
      feed.begin((listener) => target.subscribe(taskId, listener))
      feed.show({ name: 'snapshot', data: await target.snapshot(taskId) })
    } catch (error) {
      feed.end()
      throw error
    }
    if (signal.aborted) feed.end()
    return new Response(feed.body, { headers: { 'content-type': 'text/event-stream' } })
  }

  /** Ends every feed with an event. */
  close(name: 'closed', why: string): void {
    for (const feed of [...this.#open]) feed.finish({ name, data: { message: why } })
  }
}

class Feed {
  readonly body: ReadableStream<Uint8Array>
  readonly #encoder = new TextEncoder()
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined
  #waiting: FeedEvent[] = []
  #isShown = false
  #isOver = false
  #number = 0
  #unsubscribe = () => {}
  #ping: NodeJS.Timeout | undefined

  constructor(
    private readonly bounds: FeedBounds,
    private readonly onOver: () => void,
  ) {
    this.body = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#controller = controller
        },
        pull: () => this.#flush(),
        cancel: () => this.end(),
      },
      { highWaterMark: 1 },
    )
  }

  begin(subscribe: (listener: (event: FeedEvent) => void) => () => void): void {
    this.#unsubscribe = subscribe((event) => this.#add(event))
    this.#ping = setInterval(() => this.#flush(': ping\n\n'), this.bounds.pingMs)
    this.#ping.unref()
  }

  /** Sends the snapshot, and then the events that waited for it. */
  show(snapshot: FeedEvent): void {
    this.#waiting.unshift(snapshot)
    this.#isShown = true
    this.#flush()
  }

  /** Sends a last event in place of those that wait, and ends. */
  finish(event: FeedEvent): void {
    if (this.#isOver) return
    this.#controller?.enqueue(this.#encoder.encode(this.#textOf(event)))
    this.end()
  }

  end(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#waiting = []
    this.#unsubscribe()
    clearInterval(this.#ping)
    this.onOver()
    try {
      this.#controller?.close()
    } catch {
      // The client cancelled the stream.
    }
  }

  #add(event: FeedEvent): void {
    if (this.#isOver) return
    this.#waiting.push(event)
    if (this.#waiting.length > this.bounds.eventsMax) {
      const message = `The client read too slowly: ${this.bounds.eventsMax} events waited for it. Connect again for a new snapshot.`
      this.finish({ name: 'cut', data: { message } })
    } else this.#flush()
  }

  /** Hands over what waits while the client reads. A ping is only sent where nothing waits. */
  #flush(ping = ''): void {
    const controller = this.#controller
    if (!controller || this.#isOver || !this.#isShown) return
    if ((controller.desiredSize ?? 0) <= 0) return
    const text =
      this.#waiting
        .splice(0)
        .map((event) => this.#textOf(event))
        .join('') || ping
    if (text !== '') controller.enqueue(this.#encoder.encode(text))
  }

  #textOf({ name, data }: FeedEvent): string {
    return `id: ${++this.#number}\nevent: ${name}\ndata: ${JSON.stringify(data)}\n\n`
  }
}
