/**
 * Explanations of missed goals, by the name of the goal (goals.ts): what was tried, and what the profile shows. The page
 * shows the explanation of each goal that its run misses. The figures on the page are computed, so an explanation has
 * none of the same run.
 */
import type { GoalName } from './goals.js'

// Measured at 1,000,000 settled tasks with /proc/self/task/*/schedstat before and after each of 30 calls, load 15.
const W4_ON_A_BUSY_MACHINE =
  'A first page takes at most 6 ms of processor time in the main thread, in slices of about 1 ms, and the threads that read take ' +
  '1 to 3 ms. In trials, the calls above that were those in which one of these threads had to wait for a processor, or in which a garbage ' +
  'collection fell. Nothing was read from the disk.'

export const EXPLANATIONS: Readonly<Partial<Record<GoalName, string>>> = {
  'w2-probe':
    'W2 is bound by the processor, and the probe has 12 operations a task where Holdfast has about 30, with checksums, an index ' +
    'and an audit. The goal was planned with a probe that took a quarter of the processor time of Holdfast as it was then. The ' +
    'probe of this bench takes less than that: in one trial in warm processes 61 µs a task with chained batches, and 150 µs with ' +
    'arrays, where Holdfast took 600 µs. So the row of the probe with arrays is nearer to what was planned.',
  'w4-page': W4_ON_A_BUSY_MACHINE,
  'w4-loop': W4_ON_A_BUSY_MACHINE,
}
