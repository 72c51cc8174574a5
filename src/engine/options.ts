/** The options of `Holdfast.open`, checked and with their defaults. */
import { type Clock, systemClock } from '../clock.js'
import { type Duration, durationMs } from '../duration.js'
import {
  checkCount,
  checkFlag,
  checkFunctionsOf,
  checkObject,
  checkOptionsOf,
  expected,
  type Names,
  oneOf,
} from '../expected.js'
import { createIds, type Ids } from '../ids.js'
import { defaultLogger, LOG_LEVELS, type Logger, type LogLevel, unfailing } from '../logger.js'
import type { AnyTaskDefinition } from '../task/definition.js'
import type { Durability } from '../task/head.js'
import { Registry } from './registry.js'

/** Limits, each in the unit that ends its name. */
export interface Limits {
  /** A task's input as JSON. Default 1 MiB. */
  readonly inputBytesMax: number
  /** A step's result as JSON. Default 1 MiB. */
  readonly resultBytesMax: number
  /** What a body returns, as JSON. Default 1 MiB. */
  readonly outputBytesMax: number
  /** A checkpoint's state as JSON. Default 1 MiB. */
  readonly stateBytesMax: number
  /**
   * Records kept of one task's log: steps, sleeps, inputs, messages received, children, decisions and checkpoints. A call
   * counts from the moment it is made; one past the limit fails the task with `LIMIT_EXCEEDED`. A save with `prune` starts
   * anew. Default 100,000.
   */
  readonly recordsPerTaskMax: number
  /** Checkpoints kept of one task, a body's and clients' apart. Default 1,000. */
  readonly checkpointsPerTaskMax: number
  /** Messages that wait for one task to receive them. Default 1,000. */
  readonly messagesPerTaskMax: number
  /** Unfinished tasks in all; `start` past it is `LIMIT_EXCEEDED`. Default 100,000. */
  readonly liveTasksMax: number
  /** Unfinished tasks of one owner; `start` past it is `LIMIT_EXCEEDED`. Default: as many as in all. */
  readonly liveTasksPerOwnerMax: number
  /** Tasks that wait for a slot; a `start` that would have to wait too is `LIMIT_EXCEEDED`. Default: `liveTasksMax`. */
  readonly queueLengthMax: number
  /**
   * Runs in memory at once: those with a slot, and those that wait and are not unloaded. At the limit, a run that begins
   * to wait is unloaded at once, however short its wait; and where a slot is free, the run whose wait ends last is unloaded
   * and the next one is loaded. No task waits because of this limit alone. While unloadings are being written, a few more
   * are in memory. Less than `concurrency` counts as `concurrency`. Default: 10 × `concurrency`.
   */
  readonly loadedRunsMax: number
  /** Processes of isolated steps at once; the next ones wait until one has ended. Default 8. */
  readonly isolatedProcessesMax: number
  /**
   * What all tasks may take up together, settled ones included: their values as JSON before compression, and about 1.5 KB
   * each. Past it, `start`, `createSessionTask`, clients' checkpoints and messages are `LIMIT_EXCEEDED`; unfinished tasks
   * go on. Default `Infinity`: no budget.
   */
  readonly storeBytesMax: number
  /** The same for the tasks of one owner. Default `Infinity`. */
  readonly ownerBytesMax: number
}

const MIB = 1024 * 1024
// LevelDB holds a record in memory several times over while it is written; past this a process stalls noticeably.
const RECORD_BYTES_MAX = 16 * MIB

/** The names of the limits, and what they are by default: those that follow another option, by its default. */
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

/** So many starts within that time. */
export interface RateOptions {
  readonly starts: number
  readonly per: Duration
}

/** The options of `Holdfast.open`. */
export interface OpenOptions {
  /** The store's directory. Made, with mode 0700, if it is not there. One process at a time holds it. */
  readonly dir: string
  /** The definitions whose tasks this process runs. More can be added with `register`. */
  readonly tasks?: readonly AnyTaskDefinition[] | undefined
  /** How many bodies run at once; the rest wait their turn. Default 100. */
  readonly concurrency?: number | undefined
  /** How many bodies of one owner run at once. A task without an owner is nobody's. Default: no limit of its own. */
  readonly concurrencyPerOwner?: number | undefined
  /**
   * How many tasks an owner may start within a time, counted over restarts too; a `start` past it is `LIMIT_EXCEEDED`,
   * with the instant from which on there is room. Tasks that a task starts as its children don't count. Default: no limit.
   */
  readonly ratePerOwner?: RateOptions | undefined
  /** How long a waiting task waits for 1 of priority more, so that none waits for ever. Default `'30s'`. */
  readonly priorityAgeing?: Duration | undefined
  /**
   * `'synced'` (default): what is acknowledged survives a power cut. `'buffered'`: it survives the death of the
   * process, and a power cut may take the last of it; faster, and shown on every task.
   */
  readonly durability?: Durability | undefined
  /** How long an idempotency key outlives its task. Default `'7d'`. */
  readonly idempotencyRetention?: Duration | undefined
  /** How long settled tasks without a `ttl` are kept; one with a `ttl` is swept when that is over. Default: for good. */
  readonly retention?: Duration | undefined
  /**
   * How many checkpoints of a task keep their state, its body's and its clients' each; older ones can't be restored any
   * more (`CHECKPOINT_PRUNED`). A definition's own `keepCheckpoints` counts more. Default: all of them.
   */
  readonly keepCheckpoints?: number | undefined
  /**
   * A task that only waits for longer than this is let go of, and replayed when its wait ends. Where
   * `limits.loadedRunsMax` is reached, that holds for any wait. Default `'60s'`.
   */
  readonly unloadAfter?: Duration | undefined
  /**
   * So many processes in a row may die while a task runs and records nothing; then it is parked with `POISONED`, until
   * `resume`. Default 5.
   */
  readonly maximumRecoveries?: number | undefined
  /** A task that two processes in a row died of runs alone among such tasks, for so long at the most. Default `'30s'`. */
  readonly suspectTime?: Duration | undefined
  /** `'auto'` (default): unfinished tasks are resumed behind `open`. `'manual'`: once `recover()` is called. */
  readonly recover?: 'auto' | 'manual' | undefined
  /**
   * `'behind'` (default): the file that notices a rolled-back database lags by at most 256 commits or 100 ms, and is
   * exact after a close. `'each'`: it is exact at every commit, for one more write to the disk; while it cannot be written,
   * calls are refused with `STORE_UNAVAILABLE`, and tasks wait.
   */
  readonly anchor?: 'behind' | 'each' | undefined
  /**
   * Open a store that has lost acknowledged commits, its anchor file or records of its own, and go on with what is left.
   * What was accepted is logged, and in `recovery.storeDamage`. Default `false`.
   */
  readonly acceptDamage?: boolean | undefined
  /**
   * How long to wait for a directory that another process holds, before `STORE_LOCKED`. Where that process is gone, the
   * directory is taken over at once. Default 0: no wait.
   */
  readonly lockWait?: Duration | undefined
  /** Where the time comes from. Default: the machine's clock. */
  readonly clock?: Clock | undefined
  /** Takes the log lines of the library. Default: lines of `logLevel` and above go to standard error. */
  readonly logger?: Logger | undefined
  /**
   * The least severe lines that the default logger writes. The environment variable `HOLDFAST_LOG` comes before this option.
   * A `logger` of your own gets every line, whatever both say.
   * @default 'info'
   */
  readonly logLevel?: LogLevel | undefined
  readonly limits?: { readonly [Name in keyof Limits]?: Limits[Name] | undefined } | undefined
}

/** The names of the options of `open`. */
export const OPEN_OPTIONS: Names<OpenOptions> = {
  dir: true,
  tasks: true,
  concurrency: true,
  concurrencyPerOwner: true,
  ratePerOwner: true,
  priorityAgeing: true,
  durability: true,
  idempotencyRetention: true,
  retention: true,
  keepCheckpoints: true,
  unloadAfter: true,
  maximumRecoveries: true,
  suspectTime: true,
  recover: true,
  anchor: true,
  acceptDamage: true,
  lockWait: true,
  clock: true,
  logger: true,
  logLevel: true,
  limits: true,
}
const RATE_OPTIONS: Names<RateOptions> = { starts: true, per: true }

/** So many starts in that time. */
export interface Rate {
  readonly starts: number
  readonly perMs: number
}

/** The same, complete. */
export interface CheckedOptions {
  readonly dir: string
  readonly registry: Registry
  readonly concurrency: number
  readonly concurrencyPerOwner: number | undefined
  readonly ratePerOwner: Rate | undefined
  readonly priorityAgeingMs: number
  readonly durability: Durability
  /** Of idempotency keys. */
  readonly retentionMs: number
  /** Of settled tasks without a `ttl`. */
  readonly keepSettledMs: number | undefined
  readonly keepCheckpoints: number | undefined
  readonly unloadAfterMs: number
  readonly maximumRecoveries: number
  readonly suspectTimeMs: number
  readonly recover: 'auto' | 'manual'
  readonly anchor: 'behind' | 'each'
  readonly acceptDamage: boolean
  readonly lockWaitMs: number
  readonly clock: Clock
  readonly ids: Ids
  readonly logger: Logger
  readonly limits: Limits
}

/** @throws TypeError naming the option, what was expected and what was given */
export function checkOptions(options: OpenOptions): CheckedOptions {
  checkOptionsOf('open', options, OPEN_OPTIONS)
  const { dir, tasks = [], concurrency = 100, durability = 'synced', recover = 'auto', anchor = 'behind' } = options
  if (typeof dir !== 'string' || dir === '' || dir.includes('\0')) throw expected('dir', 'a non-empty path', dir)
  if (!Array.isArray(tasks)) throw expected('tasks', 'an array of definitions', tasks)
  // Refused before the store is opened: a definition that can't be registered must leave nothing behind.
  const registry = new Registry()
  for (const definition of tasks) registry.add(definition)
  const { concurrencyPerOwner, ratePerOwner, keepCheckpoints, retention, limits = {} } = options
  const { maximumRecoveries = 5, acceptDamage = false, clock = systemClock, logLevel = 'info' } = options
  const { priorityAgeing = '30s', idempotencyRetention = '7d', unloadAfter = '60s', suspectTime = '30s' } = options
  const { lockWait = 0 } = options
  checkCount('concurrency', concurrency)
  if (concurrencyPerOwner !== undefined) checkCount('concurrencyPerOwner', concurrencyPerOwner)
  checkCount('maximumRecoveries', maximumRecoveries)
  if (keepCheckpoints !== undefined) checkCount('keepCheckpoints', keepCheckpoints)
  oneOf('durability', durability, ['synced', 'buffered'])
  oneOf('recover', recover, ['auto', 'manual'])
  oneOf('anchor', anchor, ['behind', 'each'])
  checkFlag('acceptDamage', acceptDamage)
  checkFunctionsOf('clock', clock, ['now', 'setTimer'])
  oneOf('logLevel', logLevel, LOG_LEVELS)
  const logger = options.logger === undefined ? defaultLogger(logLevel, process.env['HOLDFAST_LOG']) : options.logger
  checkFunctionsOf('logger', logger, ['debug', 'info', 'warn', 'error'])
  return {
    dir,
    registry,
    concurrency,
    concurrencyPerOwner,
    ratePerOwner: ratePerOwner === undefined ? undefined : checkRate(ratePerOwner),
    priorityAgeingMs: durationMs(priorityAgeing, 'priorityAgeing'),
    durability,
    recover,
    anchor,
    retentionMs: durationMs(idempotencyRetention, 'idempotencyRetention'),
    keepSettledMs: retention === undefined ? undefined : durationMs(retention, 'retention'),
    keepCheckpoints,
    unloadAfterMs: durationMs(unloadAfter, 'unloadAfter', { zero: true }),
    maximumRecoveries,
    suspectTimeMs: durationMs(suspectTime, 'suspectTime'),
    acceptDamage,
    lockWaitMs: durationMs(lockWait, 'lockWait', { zero: true }),
    clock,
    ids: createIds(),
    logger: unfailing(logger),
    limits: checkLimits(limits, concurrency),
  }
}

function checkLimits(given: NonNullable<OpenOptions['limits']>, concurrency: number): Limits {
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

/** @throws TypeError naming what is wrong */
export function checkRate(rate: RateOptions): Rate {
  checkObject('ratePerOwner', rate, RATE_OPTIONS)
  const { starts, per } = rate
  checkCount('ratePerOwner.starts', starts)
  return { starts, perMs: durationMs(per, 'ratePerOwner.per') }
}
