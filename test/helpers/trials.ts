/** Which trials there are. */
import fc from 'fast-check'
import { bodyShape } from './bodies.js'
import type { TrialShape } from './trial.js'

/** Any trial. */
export const trialShape: fc.Arbitrary<TrialShape> = fc.record({
  body: bodyShape,
  tasks: fc.integer({ min: 1, max: 2 }),
  concurrency: fc.integer({ min: 1, max: 2 }),
  everyWrites: fc.integer({ min: 1, max: 4 }),
  dies: fc.constantFrom('before', 'after', 'either'),
  closes: fc.constantFrom(0, 0.25),
  seed: fc.integer(),
})
