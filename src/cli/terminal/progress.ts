/** Progress of a long command: a bar on a terminal, nothing in a pipe. */

import type { Context } from './context.js'
import { SingleBar } from './packages.js'

/** A progress display. */
export interface ProgressDisplay {
  /** Shows the phase and the number of items that are done. */
  on(phase: string, done: number): void
  /** Removes the display. */
  end(): void
}

/** Makes the display for a command. It is written to standard error. */
export function progressOn({ output }: Context): ProgressDisplay {
  if (!output.isTerminal || output.json) return { on() {}, end() {} }
  // The total is not known before the end, so the bar only counts.
  const bar = new SingleBar({
    format: '{phase}: {value}',
    stream: process.stderr,
    clearOnComplete: true,
    hideCursor: true,
  })
  let isStarted = false
  return {
    on(phase, done) {
      if (!isStarted) bar.start(0, 0, { phase })
      isStarted = true
      bar.update(done, { phase })
    },
    end() {
      if (isStarted) bar.stop()
    },
  }
}
