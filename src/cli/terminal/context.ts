/** The context of a command: the options that all commands share, the output, and the store. */

import { HoldfastError } from '../../base/errors.js'
import type { Connected } from './connect.js'
import { CommandError } from './exit-codes.js'
import { Output } from './output.js'
import type { Command } from './packages.js'

/** Options that every command has. */
export interface SharedOptions {
  readonly dir?: string | undefined
  readonly json?: boolean | undefined
  readonly showValues?: boolean | undefined
}

/** The streams and the environment of the process. */
export interface Terminal {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly isTerminal: boolean
  /** The time, in milliseconds since the epoch. */
  readonly now: () => number
  readonly write: (text: string) => void
  readonly writeError: (text: string) => void
  /** Asks a yes-or-no question on the terminal. */
  readonly confirm: (question: string) => Promise<boolean>
  /** Aborts when the user interrupts the command. */
  readonly interrupted: AbortSignal
  /** Bytes of standard input. */
  readonly readInput: () => Promise<string>
}

export class Context {
  readonly output: Output

  constructor(
    readonly terminal: Terminal,
    private readonly options: SharedOptions,
  ) {
    const { env, isTerminal, write, writeError } = terminal
    const noColor = env['NO_COLOR'] !== undefined && env['NO_COLOR'] !== ''
    const json = options.json ?? false
    this.output = new Output({ json, isTerminal, hasColors: isTerminal && !noColor, write, writeError })
  }

  /** True if inputs, states and results may be shown. */
  get values(): boolean {
    return this.options.showValues ?? false
  }

  /** Directory of the store. @throws CommandError without one */
  get dir(): string {
    const dir = this.options.dir ?? this.terminal.env['HOLDFAST_DIR']
    if (dir !== undefined && dir !== '') return dir
    throw new CommandError(2, 'Name the directory of the store with --dir <folder>, or with HOLDFAST_DIR.')
  }

  /** Runs `use` with the store, and closes it afterwards in any case. */
  async withStore<T>(use: (store: Connected) => Promise<T>, options?: { needsServer?: boolean }): Promise<T> {
    // Loaded here, so that `holdfast doctor` works where the native module does not load.
    const { connect } = await import('./connect.js')
    const store = await connect(this.dir, options)
    try {
      return await use(store)
    } catch (error) {
      const isGone = store.mode === 'running' && error instanceof HoldfastError && error.code === 'STORE_NOT_HELD'
      if (!isGone || options?.needsServer) throw error
      throw new CommandError(6, 'The server ended while the command ran. Run the command again.', { cause: error })
    } finally {
      await store.close()
    }
  }
}

/** The context of a command, from its own options and those of its parents. */
export function commandContext(terminal: Terminal, command: Command): Context {
  return new Context(terminal, command.optsWithGlobals<SharedOptions>())
}

/** The value of an argument or option that is JSON. `-` reads standard input. @throws CommandError */
export async function jsonValue(terminal: Terminal, name: string, text: string | undefined): Promise<unknown> {
  if (text === undefined) return undefined
  const source = text === '-' ? await terminal.readInput() : text
  try {
    return JSON.parse(source)
  } catch (cause) {
    throw new CommandError(2, `${name} is not JSON: write a string with its quotes, such as '"text"'.`, { cause })
  }
}
