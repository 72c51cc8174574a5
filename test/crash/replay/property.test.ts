/**
 * Goal: made-up bodies get the right answers, at every crash point and through every close (the laws in trial.ts).
 * Method: fast-check makes up the body, its latencies and its deaths from one seed, which a failure prints.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { newTally, runEveryCrashPoint, runTrial, type Tally, type TrialShape } from '../../helpers/trial.js'
import { trialShape } from '../../helpers/trials.js'

const { HOLDFAST_LOG_SEED, HOLDFAST_LOG_PATH, HOLDFAST_LOG_BODIES } = process.env
const seed = HOLDFAST_LOG_SEED === undefined ? Date.now() % 2 ** 31 : Number(HOLDFAST_LOG_SEED)
const path = HOLDFAST_LOG_PATH ?? ''
const bodies = Number(HOLDFAST_LOG_BODIES ?? 250)
const timeout = 60_000 + bodies * 400

test('every chain gets its own answers, however often its process dies or is closed', { timeout }, async () => {
  const tally = await check(trialShape, runTrial, bodies)
  if (path === '') expect(tally.crashes).toBeGreaterThan(bodies)
})

test('every chain gets its own answers after a crash at any single write', { timeout }, async () => {
  await check(trialShape, runEveryCrashPoint, Math.ceil(bodies / 6))
})

test('every chain gets its own answers when what it waits for comes from timers', { timeout }, async () => {
  const timers = trialShape.map((trial) => ({ ...trial, timers: true, everyWrites: trial.everyWrites + 1 }))
  await check(timers, runTrial, Math.ceil(bodies / 12))
})

async function check(
  trials: fc.Arbitrary<TrialShape>,
  run: (trial: TrialShape, tally: Tally) => Promise<void>,
  numRuns: number,
): Promise<Tally> {
  const tally = newTally()
  const startedAt = performance.now()
  const property = fc.asyncProperty(trials, async (trial) => {
    const before = tally.violations.length
    await run(trial, tally)
    const found = tally.violations.slice(before, before + 5)
    if (found.length > 0) throw new Error(found.join('\n'))
  })
  const details = await fc.check(property, { seed, path, numRuns })
  if (details.failed) {
    const name = expect.getState().currentTestName ?? ''
    const replay = `HOLDFAST_LOG_SEED=${details.seed} HOLDFAST_LOG_PATH=${details.counterexamplePath}`
    const how = `${replay} npx vitest run test/crash/replay/property.test.ts -t '${name}'`
    throw new Error(
      `${String(details.errorInstance)}\nTo see it again: ${how}\n${await fc.asyncDefaultReportMessage(details)}`,
    )
  }
  const { processes, crashes, closes, effects } = tally
  const took = ((performance.now() - startedAt) / 1000).toFixed(1)
  process.stdout.write(
    `log: seed ${seed}: ${tally.bodies} bodies, ${processes} processes, ${crashes} crashes, ${closes} closes, ${effects} effects in ${took} s\n`,
  )
  return tally
}
