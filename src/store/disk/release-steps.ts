/** Steps of a release. Each step runs, even if others fail. */

/**
 * Runs every step in order.
 * @returns the first failure, or `undefined` if there was none
 */
export async function runAll(steps: readonly (() => unknown)[]): Promise<{ readonly error: unknown } | undefined> {
  let failure: { readonly error: unknown } | undefined
  for (const step of steps) {
    try {
      await step()
    } catch (error) {
      failure ??= { error }
    }
  }
  return failure
}

/**
 * Runs every step in order.
 * @throws the first failure, after the last step
 */
export async function inTurn(steps: readonly (() => unknown)[]): Promise<void> {
  const failure = await runAll(steps)
  if (failure) throw failure.error
}
