/**
 * Goal: the property test would notice if a checkpoint opened no segment (rule 1 of the log).
 * Method: the same trials, with a history that knows one segment only.
 */
import fc from 'fast-check'
import { expect, test, vi } from 'vitest'
import { newTally, runTrial } from '../../helpers/trial.js'
import { trialShape } from '../../helpers/trials.js'

vi.mock('../../../src/task/log/history.js', async (importOriginal) => ({
  ...(await importOriginal<typeof import('../../../src/task/log/history.js')>()),
  History: (await import('./history-of-one-segment.js')).HistoryOfOneSegment,
}))

test('without rule 1, loops that restore get the answers of other iterations, or are stuck', {
  timeout: 120_000,
}, async () => {
  const tally = newTally()
  for (const trial of fc.sample(trialShape, { seed: 1, numRuns: 60 })) await runTrial(trial, tally)
  const wrong = tally.violations.filter((violation) => violation.includes('got the answer of'))
  const stuck = tally.violations.filter((violation) => violation.startsWith('a task is parked: CODE_CHANGED'))
  process.stdout.write(`log, without rule 1: ${wrong.length} wrong answers, ${stuck.length} tasks stuck\n`)
  expect(wrong.length).toBeGreaterThan(0)
  expect(stuck.length).toBeGreaterThan(0)
})
