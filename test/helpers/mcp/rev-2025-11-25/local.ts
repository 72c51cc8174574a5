/** What the tests of tools share: durable tools over a store in memory, and a gate. */
import { type DurableOptions, durableTasks } from 'holdfast/mcp/2025-11-25'
import { openInMemory } from 'holdfast/testing'

export const local = async (options: Partial<DurableOptions> = {}) => {
  const holdfast = await openInMemory()
  return { holdfast, durable: durableTasks(holdfast, { access: 'local', ...options }) }
}

/** A step that waits until the test lets it go. */
export function gate() {
  let open = () => {}
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  return { opened, open: () => open() }
}
