/** What people see: a live bar with lines above it on a terminal; plain lines, without escape codes, anywhere else. */
import { MultiBar, Presets } from 'cli-progress'

/** Where the demo writes while it runs. */
export interface Screen {
  line(text: string): void
  /** So many steps are recorded. */
  progress(done: number): void
  close(): void
}

// Often enough to see that it lives, seldom enough to read a log of it.
const PLAIN_LINES = 8

/** Opens the screen for an import of `total` steps. */
export function openScreen(total: number): Screen {
  return process.stdout.isTTY ? liveScreen(total) : plainScreen(total)
}

function liveScreen(total: number): Screen {
  const bars = new MultiBar(
    { stream: process.stdout, format: '{bar} {percentage} % | step {value} of {total}', hideCursor: true },
    Presets.shades_classic,
  )
  const bar = bars.create(total, 0)
  return {
    line: (text) => bars.log(`${text}\n`),
    progress: (done) => bar.update(done),
    // The last state is drawn by a timer that `stop` clears.
    close() {
      bars.update()
      bars.stop()
    },
  }
}

function plainScreen(total: number): Screen {
  const every = Math.ceil(total / PLAIN_LINES)
  let shown = 0
  return {
    line: (text) => console.log(text),
    progress(done) {
      if (done === total ? shown === total : done < shown + every) return
      shown = done
      console.log(`step ${done} of ${total}`)
    },
    close() {},
  }
}
