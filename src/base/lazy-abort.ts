/** An abort signal that is made when somebody asks for it: most bodies and steps never do, and a signal is not cheap. */
import { setMaxListeners } from 'node:events'
import { callIn } from './empty-context.js'

export class LazyAbort {
  #controller: AbortController | undefined
  #isAborted = false
  #reason: unknown

  /** The signal; aborted already if it is asked for too late. */
  get signal(): AbortSignal {
    this.#controller ??= makeController()
    if (this.#isAborted) this.#controller.abort(this.#reason)
    return this.#controller.signal
  }

  abort(reason: unknown): void {
    this.#isAborted = true
    this.#reason = reason
    const controller = this.#controller
    // Listeners are called at once, and whoever aborts may be another owner's request.
    if (controller) callIn(() => controller.abort(reason))
  }
}

/** A signal that is aborted when one of these is. */
export function anyOf(signals: AbortSignal[]): AbortSignal {
  const any = AbortSignal.any(signals)
  setMaxListeners(0, any)
  return any
}

function makeController(): AbortController {
  const controller = new AbortController()
  // A body that hands its signal to a dozen calls side by side leaks nothing, and Node would warn that it does.
  setMaxListeners(0, controller.signal)
  return controller
}
