/** Counts the subscriptions of each owner or address, so that one of them cannot use up the limit of all. */
import { invalidParams } from '../../access/refusal.js'

export class SubscriptionCounts {
  readonly #open = new Map<string, number>()

  constructor(private readonly max: number) {}

  /**
   * Counts a subscription of `account`. Without an account, nothing is counted.
   * @returns a function that ends the count; further calls have no effect
   * @throws ProtocolError over `subscriptionsPerOwnerMax`
   */
  begin(account: string | undefined): () => void {
    if (account === undefined) return () => {}
    const count = this.#open.get(account) ?? 0
    const { max } = this
    if (count >= max) {
      const message = `Over the limit of ${max} subscriptions (limit \`subscriptionsPerOwnerMax\`). End one first.`
      throw invalidParams(message, { code: 'LIMIT_EXCEEDED', limit: 'subscriptionsPerOwnerMax', max })
    }
    this.#open.set(account, count + 1)
    let isOver = false
    return () => {
      if (isOver) return
      isOver = true
      const left = (this.#open.get(account) ?? 1) - 1
      if (left > 0) this.#open.set(account, left)
      else this.#open.delete(account)
    }
  }
}

/**
 * Wraps a response. `end` is called once the response was read to its end (`isRead`), or its reader has disconnected.
 */
export function whenOver(response: Response, end: (isRead: boolean) => void): Response {
  const reader = response.body?.getReader()
  if (!reader) {
    end(true)
    return response
  }
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const read = await reader.read().catch(() => undefined)
        if (read?.value) return controller.enqueue(read.value)
        end(read !== undefined)
        controller.close()
      },
      cancel(reason) {
        end(false)
        return reader.cancel(reason)
      },
    },
    { highWaterMark: 0 },
  )
  return new Response(body, { status: response.status, headers: response.headers })
}
