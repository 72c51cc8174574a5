/** The limits of a store, checked and with their defaults. */
import { checkCount, checkObject, type Names } from '../../base/expected.js'

/** Limits of a store. Each name ends with its unit or with `Max`. */
export interface Limits {
  /**
   * Size of a task's input as JSON, in bytes. At most 16 MiB.
   * @default 1 MiB
   */
  readonly inputBytesMax: number
  /**
   * Size of a step's result, of an answer or of a message as JSON, in bytes. At most 16 MiB.
   * @default 1 MiB
   */
  readonly resultBytesMax: number
  /**
   * Size of a body's return value as JSON, in bytes. At most 16 MiB.
   * @default 1 MiB
   */
  readonly outputBytesMax: number
  /**
   * Size of a checkpoint's state as JSON, in bytes. At most 16 MiB.
   * @default 1 MiB
   */
  readonly stateBytesMax: number
  /**
   * Records kept of one task's log: steps, sleeps, inputs, messages received, children, decisions and checkpoints. A call
   * counts from the moment it is made. A call past the limit fails the task with `LIMIT_EXCEEDED`. A save with `prune` starts
   * the count again.
   * @default 100,000
   */
  readonly recordsPerTaskMax: number
  /**
   * Checkpoints kept of one task. Those of the body and those of clients are counted separately.
   * @default 1,000
   */
  readonly checkpointsPerTaskMax: number
  /**
   * Messages that wait for one task to receive them. The newest idempotency keys of its messages are kept, as many as
   * this limit.
   * @default 1,000
   */
  readonly messagesPerTaskMax: number
  /**
   * Unfinished tasks of the store. A `start` past the limit is refused with `LIMIT_EXCEEDED`.
   * @default 100,000
   */
  readonly liveTasksMax: number
  /**
   * Unfinished tasks of one owner. A `start` past the limit is refused with `LIMIT_EXCEEDED`.
   * @default `liveTasksMax`
   */
  readonly liveTasksPerOwnerMax: number
  /**
   * Tasks that wait for a slot. A `start` of a task that would have to wait past the limit is refused with `LIMIT_EXCEEDED`.
   * @default `liveTasksMax`
   */
  readonly queueLengthMax: number
  /**
   * Runs in memory at once: those with a slot, and those that wait and are not unloaded. At the limit, a run that begins
   * to wait is unloaded at once, however short its wait. Where a slot is free, the run whose wait ends last is unloaded
   * and the next one is loaded. No task waits because of this limit alone. While unloadings are being written, a few more
   * are in memory. A value below `concurrency` counts as `concurrency`.
   * @default 10 × `concurrency`
   */
  readonly loadedRunsMax: number
  /**
   * Processes of isolated steps at once. Further isolated steps wait until a process has ended.
   * @default 8
   */
  readonly isolatedProcessesMax: number
  /**
   * Bytes of all tasks together, settled ones included: their values as JSON before compression, and about 1.5 KB for
   * each task. Past the limit, `start`, `createSessionTask`, checkpoints of clients and messages are refused with
   * `LIMIT_EXCEEDED`. Unfinished tasks continue.
   * @default Infinity
   */
  readonly storeBytesMax: number
  /**
   * Bytes of the tasks of one owner, counted as for `storeBytesMax`.
   * @default Infinity
   */
  readonly ownerBytesMax: number
}

const MIB = 1024 * 1024
// LevelDB holds several copies of a record in memory during a write. A larger record would stall the process
// noticeably.
const RECORD_BYTES_MAX = 16 * MIB

/** The default of each limit. If the default is the value of another option, the default of that option is here. */
export const DEFAULT_LIMITS: Limits = {
  inputBytesMax: MIB,
  resultBytesMax: MIB,
  outputBytesMax: MIB,
  stateBytesMax: MIB,
  recordsPerTaskMax: 100_000,
  checkpointsPerTaskMax: 1_000,
  messagesPerTaskMax: 1_000,
  liveTasksMax: 100_000,
  liveTasksPerOwnerMax: 100_000,
  queueLengthMax: 100_000,
  loadedRunsMax: 1_000,
  isolatedProcessesMax: 8,
  storeBytesMax: Number.POSITIVE_INFINITY,
  ownerBytesMax: Number.POSITIVE_INFINITY,
}

const BUDGETS = ['storeBytesMax', 'ownerBytesMax']

/**
 * Completes the limits that a caller gave. Limits that follow another option take its value.
 * @throws TypeError naming the limit, what was expected and what was given
 */
export function checkLimits(
  given: { readonly [Name in keyof Limits]?: Limits[Name] | undefined },
  concurrency: number,
): Limits {
  checkObject('limits', given, DEFAULT_LIMITS as unknown as Names<Limits>)
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined) continue
    const isBudget = BUDGETS.includes(name)
    if (isBudget && value === Number.POSITIVE_INFINITY) continue
    checkCount(`limits.${name}`, value)
    if (!isBudget && name.endsWith('BytesMax') && value > RECORD_BYTES_MAX) {
      throw new TypeError(`Expected \`limits.${name}\` to be at most ${RECORD_BYTES_MAX} bytes, got ${value}`)
    }
  }
  const set: Partial<Limits> = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))
  const { liveTasksMax = DEFAULT_LIMITS.liveTasksMax } = set
  const loadedRunsMax = Math.max(concurrency, set.loadedRunsMax ?? 10 * concurrency)
  return { ...DEFAULT_LIMITS, liveTasksPerOwnerMax: liveTasksMax, queueLengthMax: liveTasksMax, ...set, loadedRunsMax }
}
