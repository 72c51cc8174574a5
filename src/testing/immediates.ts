/** Turns of the event loop, and whether anything waits for the next one. */

/** Immediates that `turn` has queued itself. */
let ownImmediates = 0

/** Lets the event loop turn once. Before it does, Node runs every microtask there is. */
export function turn(): Promise<void> {
  ownImmediates++
  return new Promise((resolve) =>
    setImmediate(() => {
      ownImmediates--
      resolve()
    }),
  )
}

/** True if anybody else has an immediate queued, as every planned turn of a body has. The one that runs now is not counted. */
export function hasImmediates(): boolean {
  const resources = process.getActiveResourcesInfo()
  return resources.filter((resource) => resource === 'Immediate').length > ownImmediates
}
