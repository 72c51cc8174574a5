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

// Shares of a call: profiles of the first half of the work, before a call stopped reading. Node 20.
const W6_ABOVE_BARE =
  'A call waits for two synced batches one after the other, and reads nothing. What it takes more than a bare call is mostly processor time: ' +
  "LevelDB's own calls, the binding, the engine, the encoding, in this order. Two AsyncLocalStorages of the bindings are left, which cost " +
  '5 to 8 % of a call on Node 20, and nothing that shows on Node 24.'

// Measured with /proc/self/smaps, process.memoryUsage and --trace-gc, 100,000 tasks, Node 20.
const W8_GARBAGE =
  'Two thirds are the heap of V8: of 290 MB, the heap has 200, the program file of Node 40, the memory that LevelDB allocates 29, and the table ' +
  'files that it maps 7. Of the heap, 116 MB are in use, and the rest are pages with free room. V8 lets old objects grow to four times what is in ' +
  'use before it collects them, and an idle process gives the room back after half a minute.'

export const EXPLANATIONS: Readonly<Partial<Record<GoalName, string>>> = {
  'w1-probe':
    'In warm processes about 90 of 200 µs of processor time of a step are those of the threads of LevelDB, where the probe takes 70. The rest ' +
    'is the main thread: the chain of commits, the checks of the lock, one turn of the body. A folder that was watched, copies of heads and 18 of ' +
    '24 promises of a step were removed; what is left are calls of LevelDB, checksums and JSON. Both engines wait for one sync of the disk a step, ' +
    'so the ratio moves with the disk: 0.71 and 0.65 in two runs on one machine.',
  'w2-probe':
    'W2 is bound by the processor, and the probe has 12 operations a task where Holdfast has about 30, with checksums, an index ' +
    'and an audit. The probe that passes arrays to LevelDB, the usual form, takes twice the processor time, and with that the goal is met.',
  'w2-p99':
    'Repetitions in a cold process count too. A batch has at most 100 operations, so a commit of one of 100 clients waits for several ' +
    'batches at times, and for garbage collections, which are 17 % of the processor time (JSON 8 %, LevelDB 7 %, checksums 6 %). Batches of 200 ' +
    'operations took 4 to 8 % less time, and were left out, because a lost batch then takes twice as many tasks with it.',
  'w3-next':
    'Logs are read together, starts are committed in groups, and a run allocates few maps. Of the rest, a fifth of the processor time is garbage ' +
    'collection. The peer with the shortest time reads each state with one query, and replays no log.',
  'w6-p50': W6_ABOVE_BARE,
  'w6-rate': W6_ABOVE_BARE,
  'w8-live':
    'Maps and sets of a run are made for their second entry, which took 2.8 KB off. The rest are the objects of the run, the promises and ' +
    'closures of its body, and its head.',
  'w8-rss': W8_GARBAGE,
  'w4-page': W4_ON_A_BUSY_MACHINE,
  'w4-loop': W4_ON_A_BUSY_MACHINE,
}
