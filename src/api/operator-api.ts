/**
 * The operator API of an instance on disk. Loads the server when the open is over, so that an open does not wait for it.
 * Owns the server until the close.
 */
import { faultOf } from '../base/fault.js'
import type { Engine } from '../engine/core/engine.js'
import type { Holder } from '../operator/server/holder.js'

/**
 * Starts the operator API of an instance soon, if it has a directory and the option `operator` is not false.
 * @returns a function that ends the API: `undefined` if it has not begun
 */
export function startOperatorApi(holdfast: object, engine: Engine): () => Promise<void> | undefined {
  const { store, options } = engine
  const { directory } = store
  if (!directory || !options.operator) return () => undefined
  let starting: Promise<Holder | undefined> | undefined
  const soon = setImmediate(() => {
    starting = load(holdfast, engine, directory)
  })
  soon.unref()
  const stop = () => {
    clearImmediate(soon)
    return starting?.then((holder) => holder?.close())
  }
  // After the loss of the store too: another process may serve it by now.
  void engine.closingBegan.then(stop)
  return stop
}

async function load(
  holdfast: object,
  engine: Engine,
  { dir, holder }: NonNullable<Engine['store']['directory']>,
): Promise<Holder | undefined> {
  const { logger, ids, limits } = engine
  try {
    const { operatorTarget, startHolder } = await import('./operator-target.js')
    if (engine.closing) return undefined
    const target = operatorTarget(holdfast)
    return startHolder({ dir, lockToken: holder.token, target, logger, ids, inputBytesMax: limits.inputBytesMax })
  } catch (error) {
    logger.warn(
      'The code of the operator API could not be loaded. Tasks run as usual, and operators cannot look into the store. Install the package anew, or set `operator: false`.',
      { error: faultOf(error) },
    )
    return undefined
  }
}
