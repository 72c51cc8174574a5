/**
 * The async context that functions of a user run in when the engine calls them: an empty one, whoever's request, timer or
 * finished task the engine's own call stands in. So no caller's `AsyncLocalStorage` reaches the body of another's task, and a
 * body sees the same context in its first run as after a restart.
 *
 * The empty context is made when this module is loaded. A server therefore loads the library as it starts, and not in the
 * handler of a request: Node has no way to make an empty context later.
 */
import { AsyncResource } from 'node:async_hooks'

const TYPE = 'Holdfast'
const empty = new AsyncResource(TYPE)

/** A context that was kept, to call a function in later. */
export type KeptContext = Pick<AsyncResource, 'runInAsyncScope'>

/** The context that the caller is in. */
export function currentContext(): KeptContext {
  return new AsyncResource(TYPE)
}

/** Calls `act` in a context that was kept; in the empty one by default. Returns what `act` returns, and throws what it throws. */
export function callIn<T>(act: () => T, context: KeptContext = empty): T {
  return context.runInAsyncScope(callInNewScope, undefined, act) as T
}

// Without a scope of its own, what `act` enters with `AsyncLocalStorage#enterWith` would stay in the kept context for good.
function callInNewScope<T>(act: () => T): T {
  return new AsyncResource(TYPE).runInAsyncScope(act)
}
