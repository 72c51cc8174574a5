/**
 * Explanations of missed goals, by the name of the goal (goals.ts): what was tried, and what the profile shows. The page
 * shows the explanation of each goal that its run misses. The figures on the page are computed, so an explanation has
 * none of the same run.
 */
import type { GoalName } from './goals.js'

export const EXPLANATIONS: Readonly<Partial<Record<GoalName, string>>> = {
  'w2-probe':
    'W2 is bound by the processor, and the probe has 12 operations a task where Holdfast has about 30, with checksums, an index ' +
    'and an audit. The goal was planned with a probe that took a quarter of the processor time of Holdfast as it was then. The ' +
    'probe of this bench takes less than that: in one trial in warm processes 61 µs a task with chained batches, and 150 µs with ' +
    'arrays, where Holdfast took 600 µs. So the row of the probe with arrays is nearer to what was planned.',
}
