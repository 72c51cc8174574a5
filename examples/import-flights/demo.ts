/**
 * `npm run demo`: imports 200,000 flights as one task, kills the process that does it at unpredictable moments, starts
 * it again, and then checks its own claims. Exit code 0 if all hold, 1 if one doesn't, 2 for a wrong command line.
 */
import { checkClaims, crashesIn } from './check-claims.js'
import { flightsFile, parseFlights, readFlights, type Summary, summarise } from './flights.js'
import { type JournalEntry, readJournal } from './journal.js'
import { planKills } from './kill-plan.js'
import { parseOptions, USAGE_EXIT_CODE } from './options.js'
import { openScreen, type Screen } from './screen.js'
import { type ImportOutput, runServer, type ServerJob, type Since } from './server.js'
import { openWorkspace, type Workspace, WorkspaceError } from './workspace.js'

const FLIGHTS_PER_STEP = 500
const STEPS_PER_CHECKPOINT = 4

const interrupt = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => interrupt.abort(signal))

async function main(): Promise<number> {
  const startedAt = performance.now()
  const { kills, dir } = parseOptions(process.argv)
  const workspace = openWorkspace(dir)
  try {
    const file = flightsFile()
    const flights = parseFlights(await readFlights(file))
    const straight = { flights: flights.length, summary: summarise(flights) }
    const steps = Math.ceil(flights.length / FLIGHTS_PER_STEP)
    console.log(`${flights.length.toLocaleString('en')} flights, ${steps} steps of ${FLIGHTS_PER_STEP}, ${kills} kills to come`)
    if (workspace.found) console.log(workspace.found)

    const input = { file, flightsPerStep: FLIGHTS_PER_STEP, stepsPerCheckpoint: STEPS_PER_CHECKPOINT }
    const screen = openScreen(steps)
    const { output, killed, starts } = await importAll({ ...workspace, input }, { steps, kills }, screen)
    screen.close()

    const claims = checkClaims({ journal: readJournal(workspace.journal), steps, output, straight })
    claims.push({
      claim: `The server was killed ${killed} of ${kills} times`,
      broken: killed === kills ? undefined : 'it was done before the others came',
    })
    console.log('\nThe claims, against a straight computation of the same file without a crash:')
    for (const { claim, broken } of claims) console.log(broken ? `  FAILED  ${claim}: ${broken}` : `  ok  ${claim}`)
    console.log(`\n${longestDelays(straight.summary)}`)
    if (dir !== undefined) console.log(`Kept in ${workspace.dir}`)
    return claims.some(({ broken }) => broken) ? 1 : 0
  } finally {
    workspace.dispose()
  }
}
