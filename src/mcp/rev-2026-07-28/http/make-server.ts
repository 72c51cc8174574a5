/**
 * Tells the endpoint why the server of a request could not be made. The SDK answers every such failure with the same words, and
 * its factory is not told which request it works for.
 */
import { AsyncLocalStorage } from 'node:async_hooks'

interface Making {
  failure?: unknown
}

const current = new AsyncLocalStorage<Making>()

/** Notes that the server of the request which is being answered could not be made. */
export function noteFailure(error: unknown): void {
  const making = current.getStore()
  if (making) making.failure = error
}

/** Answers a request; `insteadOf` may answer it with other words if its server could not be made. */
export async function answerOr(
  answer: () => Promise<Response>,
  insteadOf: (failure: unknown) => Response | undefined,
): Promise<Response> {
  const making: Making = {}
  const response = await current.run(making, answer)
  return (making.failure === undefined ? undefined : insteadOf(making.failure)) ?? response
}
