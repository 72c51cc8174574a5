/** Steps of a release: each is done, whatever becomes of the others. */

/** Runs every step, one after the other. @returns the first failure, or `undefined` if there was none */
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

/** Runs every step, one after the other. @throws the first failure, after the last step */
export async function inTurn(steps: readonly (() => unknown)[]): Promise<void> {
  const failure = await runAll(steps)
  if (failure) throw failure.error
}
