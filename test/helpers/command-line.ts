/** Runs the command line in this process, as a process would run it. */
import { run } from '../../src/cli/program.js'
import type { Terminal } from '../../src/cli/terminal/context.js'

/** How a command ended, and what it wrote to its streams. */
export interface Ran {
  readonly code: number
  readonly out: string
  readonly err: string
}

/** What a command finds. */
export interface CommandOptions {
  readonly isTerminal?: boolean
  readonly input?: string
  readonly env?: Record<string, string>
  /** Interrupts the command once it printed this. */
  readonly until?: RegExp | undefined
}

/** Runs a command line. */
export async function runCommandLine(
  args: readonly string[],
  { isTerminal = false, input = '', env = {}, until }: CommandOptions = {},
): Promise<Ran> {
  const written: string[] = []
  const errors: string[] = []
  const interrupted = new AbortController()
  const terminal: Terminal = {
    env,
    isTerminal,
    now: Date.now,
    write(text) {
      written.push(text)
      if (until?.test(text)) interrupted.abort(new Error('interrupted'))
    },
    writeError: (text) => void errors.push(text),
    confirm: async () => false,
    interrupted: interrupted.signal,
    readInput: async () => input,
  }
  const code = await run(terminal, '0.0.0-test', args)
  return { code, out: written.join(''), err: errors.join('') }
}
