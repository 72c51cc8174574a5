/**
 * Passes the error of a failed `createServer` to the endpoint. The SDK answers every such failure with the same
 * message, and does not pass the request to the factory.
 */
import { AsyncLocalStorage } from 'node:async_hooks'

interface Making {
  failure?: unknown
}

const current = new AsyncLocalStorage<Making>()

/** Records that the server of the current request could not be created. */
export function noteFailure(error: unknown): void {
  const making = current.getStore()
  if (making) making.failure = error
}

/** Answers a request. If its server could not be created, `insteadOf` may replace the response. */
export async function answerOr(
  answer: () => Promise<Response>,
  insteadOf: (failure: unknown) => Response | undefined,
): Promise<Response> {
  const making: Making = {}
  const response = await current.run(making, answer)
  return (making.failure === undefined ? undefined : insteadOf(making.failure)) ?? response
}
