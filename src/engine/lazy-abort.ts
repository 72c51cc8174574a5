/** An abort signal that is made when somebody asks for it: most bodies and steps never do, and a signal is not cheap. */
export class LazyAbort {
  #controller: AbortController | undefined
  #isAborted = false
  #reason: unknown

  /** The signal; aborted already if it is asked for too late. */
  get signal(): AbortSignal {
    this.#controller ??= new AbortController()
    if (this.#isAborted) this.#controller.abort(this.#reason)
    return this.#controller.signal
  }

  abort(reason: unknown): void {
    this.#isAborted = true
    this.#reason = reason
    this.#controller?.abort(reason)
  }
}
