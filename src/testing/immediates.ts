/** Turns of the event loop, and a check for queued immediates. */

/** Number of queued immediates of `turn` itself. */
let ownImmediates = 0

/** Waits for one turn of the event loop. Before that, Node runs every microtask. */
export function turn(): Promise<void> {
  ownImmediates++
  return new Promise((resolve) =>
    setImmediate(() => {
      ownImmediates--
      resolve()
    }),
  )
}

/**
 * True if an immediate of other code is queued. Every planned turn of a body is one. The immediate that runs now is not
 * counted.
 */
export function hasImmediates(): boolean {
  const resources = process.getActiveResourcesInfo()
  return resources.filter((resource) => resource === 'Immediate').length > ownImmediates
}
