/** What the tests of the public API share: a task, a gate, and errors as they are expected. */
import { expect } from 'vitest'
import { z } from 'zod'
import { defineTask } from '../../src/index.js'

export const failing = (code: string, message = /./) =>
  expect.objectContaining({ code, message: expect.stringMatching(message) })

/** A step that waits until the test lets it go. */
export function gate() {
  let open = () => {}
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  return { opened, open }
}

export const double = defineTask({ name: 'double', input: z.object({ n: z.number() }) }, async (task, { n }) => {
  return { n: await task.step('double', () => n * 2) }
})
