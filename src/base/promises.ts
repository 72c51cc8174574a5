/** A promise and the two functions that settle it. (`Promise.withResolvers` begins with Node 22.) */
export interface Deferred<T> {
  readonly promise: Promise<T>
  readonly resolve: (value: T) => void
  readonly reject: (error: unknown) => void
}

/** Creates a pending promise with its `resolve` and `reject`. */
export function deferred<T = void>(): Deferred<T> {
  let resolve: (value: T) => void = () => {}
  let reject: (error: unknown) => void = () => {}
  const promise = new Promise<T>((res, rej) => {
    resolve = res
    reject = rej
  })
  return { promise, resolve, reject }
}

/**
 * Calls a function, and returns a promise of its end: that of the function itself, if it returns one. An `async` function
 * around the call would make three more promises.
 */
export function promiseOf<T>(call: () => T | PromiseLike<T>): Promise<T> {
  try {
    return Promise.resolve(call())
  } catch (error) {
    return Promise.reject(error)
  }
}
