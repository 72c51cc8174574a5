/** The program `holdfast`: its options, its commands, and the exit code of a run. */

import { HoldfastError } from '../base/errors.js'
import { addAuditCommands } from './commands/audit.js'
import { addCheckpointCommands } from './commands/checkpoints.js'
import { addCopyCommands } from './commands/copies.js'
import { addDoctor } from './commands/doctor.js'
import { addMcpCommand } from './commands/mcp.js'
import { addPortableCommands } from './commands/portable.js'
import { addStoreCommands } from './commands/store.js'
import { addTaskCommands } from './commands/tasks.js'
import { addWatchCommands } from './commands/watch.js'
import type { Terminal } from './terminal/context.js'
import { errorText, exitCodeOf } from './terminal/exit-codes.js'
import { plainText } from './terminal/output.js'
import { Command, CommanderError } from './terminal/packages.js'

/** Makes the program. */
export function programFor(terminal: Terminal, release: string): Command {
  const program = new Command('holdfast')
    .description('Looks after the durable tasks of a store of Holdfast.')
    .version(release)
    .option('--dir <folder>', 'directory of the store (default: HOLDFAST_DIR)')
    .option('--json', 'print one object a line')
    .option('--show-values', 'show inputs, states and results, which are hidden otherwise')
    .showHelpAfterError('(add --help for the options)')
    .exitOverride()
    .configureOutput({ writeOut: terminal.write, writeErr: terminal.writeError })
  addTaskCommands(program, terminal)
  addWatchCommands(program.commands.find((command) => command.name() === 'tasks') as Command, terminal)
  addCheckpointCommands(program, terminal)
  addStoreCommands(program, terminal)
  addAuditCommands(program, terminal)
  addCopyCommands(program, terminal)
  addPortableCommands(program, terminal)
  addDoctor(program, terminal)
  addMcpCommand(program, terminal, release)
  for (const command of everyCommand(program)) command.exitOverride().configureOutput(program.configureOutput())
  return program
}

function everyCommand(command: Command): Command[] {
  return [command, ...command.commands.flatMap(everyCommand)]
}

/** Runs a command line. Returns the exit code. Prints an error as one sentence, or as an object with `--json`. */
export async function run(terminal: Terminal, release: string, args: readonly string[]): Promise<number> {
  const program = programFor(terminal, release)
  try {
    await program.parseAsync(args, { from: 'user' })
    return 0
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
    if (terminal.interrupted.aborted) return 130
    const exitCode = exitCodeOf(error)
    const message = errorText(error)
    const code = error instanceof HoldfastError ? error.code : undefined
    const isJson = args.includes('--json')
    terminal.writeError(
      isJson
        ? `${JSON.stringify({ schema: 1, error: { exitCode, code, message } })}\n`
        : `holdfast: ${plainText(message)}\n`,
    )
    return exitCode
  }
}
