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

/** Wraps a response. `end` is called once the response has ended, or its reader has disconnected. */
export function whenOver(response: Response, end: () => void): Response {
  const reader = response.body?.getReader()
  if (!reader) {
    end()
    return response
  }
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await reader.read().catch(() => ({ done: true, value: undefined }))
        if (!done && value) return controller.enqueue(value)
        end()
        controller.close()
      },
      cancel(reason) {
        end()
        return reader.cancel(reason)
      },
    },
    { highWaterMark: 0 },
  )
  return new Response(body, { status: response.status, headers: response.headers })
}
