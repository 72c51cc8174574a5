/** Turns of the event loop, for tests that act at every moment of something. A test that waits calls `untilIdle`. */

export async function turns(count: number): Promise<void> {
  for (let done = 0; done < count; done++) await new Promise((resolve) => setImmediate(resolve))
}
