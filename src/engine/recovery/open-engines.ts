/** The engine of each `Holdfast`, for the bindings, the operator API and the copies of a store: the field that has it is private. */
import type { Engine } from '../core/engine.js'

const engines = new WeakMap<object, Engine>()

/** Stores the engine of a `Holdfast` for `engineOf`. */
export function noteEngine(holdfast: object, engine: Engine): void {
  engines.set(holdfast, engine)
}

/**
 * The engine of a `Holdfast`.
 * @throws TypeError for anything but an open `Holdfast`
 */
export function engineOf(holdfast: object): Engine {
  const engine = typeof holdfast === 'object' && holdfast !== null ? engines.get(holdfast) : undefined
  if (!engine) throw new TypeError('Expected `holdfast` to be what `Holdfast.open` resolved to')
  return engine
}
