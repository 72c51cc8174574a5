/**
 * Goal: the property test would notice if answers were handed over at once, not one to a turn (rule 2 of the log).
 * Method: the same trials, with turns that neither wait nor end.
 */
import fc from 'fast-check'
import { expect, test, vi } from 'vitest'
import { newTally, runTrial } from '../../helpers/trial.js'
import { trialShape } from '../../helpers/trials.js'

vi.mock('../../../src/engine/replay/turns.js', async () => ({
  Turns: (await import('./turns-at-once.js')).TurnsAtOnce,
}))

test('without rule 2, chains side by side get the answers of each other, or are stuck', {
  timeout: 120_000,
}, async () => {
  const tally = newTally()
  // Without turns, what no record answers comes at once too: most bodies that ask for it are stuck before any answer is wrong.
  // Deferred steps end in the order of their calls more often, and hide it.
  const recordedOnly = trialShape.map(({ body, ...trial }) => {
    const chains = body.chains.map((chain) => ({ ...chain, deferred: 0 }))
    return { ...trial, body: { ...body, chains, deferred: 0, refused: 0, derived: 0 } }
  })
  for (const trial of fc.sample(recordedOnly, { seed: 1, numRuns: 150 })) await runTrial(trial, tally)
  const wrong = tally.violations.filter((violation) => violation.includes('got the answer of'))
  const stuck = tally.violations.filter((violation) => violation.startsWith('a task is parked: CODE_CHANGED'))
  process.stdout.write(`log, without rule 2: ${wrong.length} wrong answers, ${stuck.length} tasks stuck\n`)
  expect(wrong.length).toBeGreaterThan(0)
  expect(stuck.length).toBeGreaterThan(0)
})
