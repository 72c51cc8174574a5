/**
 * Listens to abort signals of callers. A server may pass one signal, such as that of its shutdown, to every wait. Node
 * warns of a leak from the eleventh listener on, so each signal gets one listener here.
 */
interface Heard {
  readonly acts: Set<() => void>
  readonly listener: () => void
}

const heard = new WeakMap<AbortSignal, Heard>()

/** Calls `act` when `signal` is aborted. Returns a function that stops listening. */
export function onAbort(signal: AbortSignal, act: () => void): () => void {
  const of = heard.get(signal) ?? listenTo(signal)
  of.acts.add(act)
  return () => {
    of.acts.delete(act)
    if (of.acts.size > 0 || heard.get(signal) !== of) return
    heard.delete(signal)
    signal.removeEventListener('abort', of.listener)
  }
}

function listenTo(signal: AbortSignal): Heard {
  const acts = new Set<() => void>()
  const listener = () => {
    heard.delete(signal)
    for (const act of acts) act()
  }
  const of = { acts, listener }
  heard.set(signal, of)
  signal.addEventListener('abort', listener, { once: true })
  return of
}
