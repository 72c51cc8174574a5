/** The demo's command line. */
import { Command, InvalidArgumentError } from 'commander'

/** What it says. */
export interface DemoOptions {
  readonly kills: number
  /** Where everything is kept; without it, a temporary directory that is removed. */
  readonly dir: string | undefined
}

/** Exit code of a command line that can't be followed; 1 is a claim that failed. */
export const USAGE_EXIT_CODE = 2

const KILLS = 3
// Each kill costs the start of a process, and the demo is to stay under a minute.
const KILLS_MAX = 20

/** Reads the command line; ends the process for `--help` and for what it doesn't understand. */
export function parseOptions(argv: readonly string[]): DemoOptions {
  const command = new Command('npm run demo --')
    .description('Imports 200,000 flights as one durable task, and kills the process that does it.')
    .option('--kills <n>', `how often the importing process is killed, 0 to ${KILLS_MAX}`, parseKills, KILLS)
    .option('--no-kill', 'never kill it: the same as --kills 0')
    .option('--dir <directory>', 'keep the store and the journal there; an import that was interrupted there goes on')
    .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : USAGE_EXIT_CODE))
  const { kills, kill, dir } = command.parse(argv).opts<{ kills: number; kill: boolean; dir?: string }>()
  if (!kill && command.getOptionValueSource('kills') === 'cli' && kills > 0) {
    command.error(`error: '--no-kill' and '--kills ${kills}' contradict each other`)
  }
  return { kills: kill ? kills : 0, dir }
}

function parseKills(text: string): number {
  const kills = /^\d+$/.test(text) ? Number(text) : Number.NaN
  if (kills <= KILLS_MAX) return kills
  throw new InvalidArgumentError(`Expected a whole number from 0 to ${KILLS_MAX}.`)
}
