/** Progress of a long command: a bar on a terminal, nothing in a pipe. */

import type { Context } from './context.js'
import { SingleBar } from './packages.js'

/** A progress display. */
export interface ProgressDisplay {
  /** Shows the phase, and the number of items that are done and of all. */
  on(phase: string, done: number, total?: number | undefined): void
  /** Removes the display. */
  end(): void
}

/** Makes the display for a command. It is written to standard error. */
export function progressOn({ output }: Context): ProgressDisplay {
  if (!output.isTerminal || output.json) return { on() {}, end() {} }
  const bar = new SingleBar({
    // Most totals are not known before the end, and then only a number is shown.
    format: (_options, { value, total }, { phase }: { phase: string }) =>
      `${phase}: ${value}${total > 0 ? ` of ${total} (${Math.floor((100 * value) / total)} %)` : ''}`,
    stream: process.stderr,
    clearOnComplete: true,
    hideCursor: true,
  })
  let isStarted = false
  return {
    on(phase, done, total = 0) {
      if (!isStarted) bar.start(total, 0, { phase })
      isStarted = true
      bar.setTotal(total)
      bar.update(done, { phase })
    },
    end() {
      if (isStarted) bar.stop()
    },
  }
}
