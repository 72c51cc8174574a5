/**
 * Async context of the user functions that the engine calls: an empty one, regardless of the request, timer or task
 * that caused the call. So the `AsyncLocalStorage` of one caller does not reach the body of another caller's task, and
 * a body sees the same context in its first run as after a restart.
 *
 * This module creates the empty context when it is loaded. So a server loads the library at its start, and not in the
 * handler of a request: Node cannot create an empty context later.
 */
import { AsyncResource } from 'node:async_hooks'

const TYPE = 'Holdfast'
const empty = new AsyncResource(TYPE)

/** A context that was saved, to call a function in later. */
export type KeptContext = Pick<AsyncResource, 'runInAsyncScope'>

/** Saves the context of the caller. */
export function currentContext(): KeptContext {
  return new AsyncResource(TYPE)
}

/** Calls `act` in `context`, or in the empty context by default. Returns the result of `act`, and throws its error. */
export function callIn<T>(act: () => T, context: KeptContext = empty): T {
  return context.runInAsyncScope(callInNewScope, undefined, act) as T
}

// Without a new scope, a value that `act` sets with `AsyncLocalStorage#enterWith` would stay in the saved context for
// good.
function callInNewScope<T>(act: () => T): T {
  return new AsyncResource(TYPE).runInAsyncScope(act)
}
