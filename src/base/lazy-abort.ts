/** An abort signal that is created on first use. Most bodies and steps never read it, and a signal is not cheap. */
import { setMaxListeners } from 'node:events'
import { callIn } from './empty-context.js'

export class LazyAbort {
  #controller: AbortController | undefined
  #isAborted = false
  #reason: unknown

  /** The signal. A signal that is read first after `abort` is aborted already. */
  get signal(): AbortSignal {
    this.#controller ??= makeController()
    if (this.#isAborted) this.#controller.abort(this.#reason)
    return this.#controller.signal
  }

  abort(reason: unknown): void {
    this.#isAborted = true
    this.#reason = reason
    const controller = this.#controller
    // Listeners run at once, and the caller of `abort` may serve a request of another owner. So they run in the empty
    // context.
    if (controller) callIn(() => controller.abort(reason))
  }
}

/** A signal that is aborted when one of `signals` is. */
export function anyOf(signals: AbortSignal[]): AbortSignal {
  const any = AbortSignal.any(signals)
  setMaxListeners(0, any)
  return any
}

function makeController(): AbortController {
  const controller = new AbortController()
  // A body may pass its signal to a dozen calls at a time. That is no leak, and Node would warn of one.
  setMaxListeners(0, controller.signal)
  return controller
}
