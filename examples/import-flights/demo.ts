/**
 * `npm run demo`: imports 200,000 flights as one task, kills the process that does it at unpredictable moments, starts
 * it again, and then checks its own claims. Exit code 0 if all hold, 1 if one doesn't, 2 for a wrong command line.
 */
import { type Claim, checkClaims, crashesIn } from './check-claims.js'
import { flightsFile, parseFlights, readFlights, type Summary, summarise } from './flights.js'
import { readJournal } from './journal.js'
import { type Kill, planKills } from './kill-plan.js'
import { parseOptions, USAGE_EXIT_CODE } from './options.js'
import { openScreen, type Screen } from './screen.js'
import { runServer, type ServerJob, type ServerResult, type Since } from './server.js'
import { openWorkspace, type Workspace, WorkspaceError } from './workspace.js'

const FLIGHTS_PER_STEP = 500
const STEPS_PER_CHECKPOINT = 4
// What shells call a program that a Ctrl-C ended.
const INTERRUPTED_EXIT_CODE = 130

const interrupt = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => interrupt.abort())

async function demo(kills: number, workspace: Workspace): Promise<boolean> {
  const startedAt = performance.now()
  const file = flightsFile()
  const flights = parseFlights(await readFlights(file))
  const straight = { flights: flights.length, summary: summarise(flights) }
  const steps = Math.ceil(flights.length / FLIGHTS_PER_STEP)
  const input = { file, flightsPerStep: FLIGHTS_PER_STEP, stepsPerCheckpoint: STEPS_PER_CHECKPOINT }
  const plan = planKills(kills, { from: workspace.from, steps, stepsPerCheckpoint: STEPS_PER_CHECKPOINT }, Math.random)

  console.log(
    `${shown(flights.length)} flights in ${steps} steps of ${FLIGHTS_PER_STEP}; kills to come: ${plan.length}`,
  )
  if (workspace.found) console.log(workspace.found)
  const screen = openScreen(steps)
  const { result, resumes } = await importAll({ ...workspace, input }, plan, steps, screen).finally(screen.close)

  const claims = [
    ...checkClaims({ ...result, journal: readJournal(workspace.journal), steps, straight }),
    ...(plan.length > 0 ? [claimOfKills(resumes.length, plan.length)] : []),
  ]
  console.log('\nThe claims, checked against a straight computation of the same file without a crash:')
  for (const { claim, broken } of claims) console.log(broken ? `  FAILED  ${claim}: ${broken}` : `  ok  ${claim}`)
  console.log(`\nOf 200 flights and more, the latest on average: ${latestOf(result.output.summary)}`)
  if (resumes.length > 0) console.log(`Resuming is timed from the call of Holdfast.open; ${startOf(resumes)}`)
  console.log(`Took ${((performance.now() - startedAt) / 1000).toFixed(1)} s`)
  return claims.every(({ broken }) => broken === undefined)
}

/** Starts the server again and again, until the task is done. */
async function importAll(
  job: ServerJob,
  plan: readonly Kill[],
  steps: number,
  screen: Screen,
): Promise<{ result: ServerResult; resumes: Since[] }> {
  const resumes: Since[] = []
  for (let killed = 0; ; killed += 1) {
    let resumed = killed === 0
    const result = await runServer(job, plan[killed], interrupt.signal, (entry, since) => {
      if (entry.kind === 'recorded') screen.progress(entry.step)
      if (entry.kind !== 'begun' || resumed) return
      resumed = true
      resumes.push(since)
      screen.line(crashLine(job.journal, steps, since))
    })
    if (result !== 'killed') return { result, resumes }
  }
}

function crashLine(journal: string, steps: number, { sinceOpenMs }: Since): string {
  const crash = crashesIn(readJournal(journal)).at(-1)
  if (!crash) return 'killed before the first step'
  const { step, where, resumedAt } = crash
  const how = where === 'between' ? 'between two steps' : `inside step ${step}, which runs again`
  return `killed at step ${step} of ${steps}; resumed at step ${resumedAt} in ${sinceOpenMs.toFixed(0)} ms (${how})`
}

function claimOfKills(landed: number, planned: number): Claim {
  const broken = landed === planned ? undefined : `only ${landed} did`
  return { claim: `Kills that hit the import, each followed by a resume: ${planned}`, broken }
}

function startOf(resumes: readonly Since[]): string {
  const startMs = resumes.reduce((sum, { sinceOpenMs, sinceProcessMs }) => sum + sinceProcessMs - sinceOpenMs, 0)
  return `before it, Node and tsx took ${(startMs / resumes.length).toFixed(0)} ms on average to start the process.`
}

function latestOf(summary: Summary): string {
  const groups = Object.entries(summary)
    .filter(([, { flights }]) => flights >= 200)
    .map(([name, { flights, delayMinutes }]) => ({ name, flights, mean: delayMinutes / flights }))
    .sort((one, other) => other.mean - one.mean)
  const [latest] = groups
  return latest ? `${latest.name}, by ${latest.mean.toFixed(1)} minutes (${shown(latest.flights)} flights)` : 'none'
}

function shown(number: number): string {
  return number.toLocaleString('en')
}

const { kills, dir } = parseOptions(process.argv)
let workspace: Workspace | undefined
try {
  workspace = openWorkspace(dir)
  process.exitCode = (await demo(kills, workspace)) ? 0 : 1
} catch (error) {
  if (interrupt.signal.aborted) {
    process.exitCode = INTERRUPTED_EXIT_CODE
    console.error('Interrupted.')
  } else if (error instanceof WorkspaceError) {
    process.exitCode = USAGE_EXIT_CODE
    console.error(`error: ${error.message}`)
  } else {
    process.exitCode = 1
    console.error(error)
  }
} finally {
  if (dir === undefined) workspace?.dispose()
  else if (workspace) console.log(`Kept in ${workspace.dir}`)
}
