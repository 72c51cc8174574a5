/** The options of `Holdfast.open`, checked and with their defaults. */
import { type Clock, systemClock } from '../../base/clock.js'
import { type Duration, durationMs } from '../../base/duration.js'
import {
  checkCount,
  checkFlag,
  checkFunctionsOf,
  checkObject,
  checkOptionsOf,
  expected,
  type Names,
  oneOf,
} from '../../base/expected.js'
import { createIds, type Ids } from '../../base/ids.js'
import { LimitedLogger } from '../../base/line-limit.js'
import { defaultLogger, LOG_LEVELS, type Logger, type LogLevel, unfailing } from '../../base/logger.js'
import type { Purpose } from '../../base/purpose.js'
import type { AnyTaskDefinition } from '../../task/definition/definition.js'
import type { Durability } from '../../task/head.js'
import type { Telemetry } from '../../task/telemetry.js'
import { checkTelemetry } from './guarded-telemetry.js'
import { checkLimits, type Limits } from './limits.js'
import { Registry } from './registry.js'

/** A rate: the largest number of starts within a time. */
export interface RateOptions {
  /** Number of starts. */
  readonly starts: number
  /** Time in which they are counted. */
  readonly per: Duration
}

/** The options of `Holdfast.open`. */
export interface OpenOptions {
  /** Directory of the store. It is created with mode 0700 if it does not exist. One process at a time holds it. */
  readonly dir: string
  /**
   * Definitions whose tasks this process runs. `register` adds one later. Parked tasks of its type then continue.
   * @default []
   */
  readonly tasks?: readonly AnyTaskDefinition[] | undefined
  /**
   * Number of bodies that run at once. Further tasks wait. Owners take turns.
   * @default 100
   */
  readonly concurrency?: number | undefined
  /**
   * Number of bodies of one owner that run at once. The limit does not apply to tasks without an owner.
   * @default none
   */
  readonly concurrencyPerOwner?: number | undefined
  /**
   * Number of tasks that an owner may start within a time, such as `{ starts: 100, per: '1m' }`. It is counted over
   * restarts too. A `start` past the limit is refused with `LIMIT_EXCEEDED` and the instant at which there is room again.
   * Children that a task starts do not count.
   * @default none
   */
  readonly ratePerOwner?: RateOptions | undefined
  /**
   * Point at which a write is acknowledged. With `'synced'` an acknowledged write survives a power cut. With `'buffered'`
   * it survives a crash of the process, but a power cut may lose the last writes. Every task shows the value that it was
   * started with.
   * @default 'synced'
   */
  readonly durability?: Durability | undefined
  /**
   * Time that an idempotency key is kept after its task. It counts from the end of the task's `ttl`, or without one from
   * the instant at which the task settled.
   * @default '7d'
   */
  readonly idempotencyRetention?: Duration | undefined
  /**
   * Time that settled tasks without a `ttl` are kept. A task with a `ttl` is deleted when that is over.
   * @default for good
   */
  readonly retention?: Duration | undefined
  /**
   * Time that audit entries are kept, from the instant of the change that they record. They outlive their task.
   * @default '90d'
   */
  readonly auditRetention?: Duration | undefined
  /**
   * Number of bytes that the audit may take, as JSON and with its keys. Past it, the oldest entries are deleted before
   * `auditRetention` is over, and a line is logged.
   * @default 1 GiB
   */
  readonly auditBytesMax?: number | undefined
  /**
   * Number of checkpoints of a task that keep their state: those of the body, and as many of its clients. Older ones cannot
   * be restored (`CHECKPOINT_PRUNED`). `keepCheckpoints` of a definition comes before this option.
   * @default all
   */
  readonly keepCheckpoints?: number | undefined
  /**
   * Length of a wait after which a task is unloaded from memory. It is replayed when its wait ends. Where
   * `limits.loadedRunsMax` is reached, a task is unloaded in any wait.
   * @default '60s'
   */
  readonly unloadAfter?: Duration | undefined
  /**
   * Number of processes that may crash in a row while they run a task that records nothing. The task is then parked with
   * `POISONED` until `resume` or `cancel`.
   * @default 5
   */
  readonly maximumRecoveries?: number | undefined
  /**
   * With `'auto'`, unfinished tasks are resumed after `open` has returned. With `'manual'`, they wait for `recover()`.
   * @default 'auto'
   */
  readonly recover?: 'auto' | 'manual' | undefined
  /**
   * Exactness of the file that shows a rolled-back database. With `'behind'`, it lags by at most 256 commits or 100 ms, and
   * is exact after a close. With `'each'`, it is exact at every commit, for one more write to the disk. While it cannot be
   * written, calls are then refused with `STORE_UNAVAILABLE`, and tasks wait.
   * @default 'behind'
   */
  readonly anchor?: 'behind' | 'each' | undefined
  /**
   * True to open a store that lost acknowledged commits, its anchor file or records of its own, and to continue with what
   * is left. The log and `recovery.storeDamage` show what was accepted.
   * @default false
   */
  readonly acceptDamage?: boolean | undefined
  /**
   * Longest wait for a directory that another process holds, before `STORE_LOCKED`. A directory whose holder has ended is
   * taken over at once. A command of an operator is waited for up to 10 seconds in any case. The log has one line when the
   * wait begins.
   * @default 0
   */
  readonly lockWait?: Duration | undefined
  /**
   * True to serve the operator API on a socket in the directory, for the command line and `operatorClient`. Only the user
   * that runs this process can reach it. The option has no effect in `holdfast/testing`.
   * @default true
   */
  readonly operator?: boolean | undefined
  /**
   * Source of the time. Tests pass a `ManualClock` of `holdfast/testing`.
   * @default the clock of the machine
   */
  readonly clock?: Clock | undefined
  /**
   * Receives the log lines of the library.
   * @default a logger that writes lines of `logLevel` and above to standard error
   */
  readonly logger?: Logger | undefined
  /**
   * The least severe lines that the default logger writes. The environment variable `HOLDFAST_LOG` comes before this option.
   * A `logger` of your own receives every line, regardless of both.
   * @default 'info'
   */
  readonly logLevel?: LogLevel | undefined
  /**
   * Receives spans and metrics of the library: `otel()` of `holdfast/otel`. Without it, the library makes none.
   * @default none
   * @see docs/operations/telemetry.md
   */
  readonly telemetry?: Telemetry | undefined
  /**
   * Limits of the store, by name. A limit that is left out has its default.
   * @default those of `Limits`
   */
  readonly limits?: { readonly [Name in keyof Limits]?: Limits[Name] | undefined } | undefined
}

/** The names of the options of `open`. */
export const OPEN_OPTIONS: Names<OpenOptions> = {
  dir: true,
  tasks: true,
  concurrency: true,
  concurrencyPerOwner: true,
  ratePerOwner: true,
  durability: true,
  idempotencyRetention: true,
  retention: true,
  auditRetention: true,
  auditBytesMax: true,
  keepCheckpoints: true,
  unloadAfter: true,
  maximumRecoveries: true,
  recover: true,
  anchor: true,
  acceptDamage: true,
  lockWait: true,
  operator: true,
  clock: true,
  logger: true,
  logLevel: true,
  telemetry: true,
  limits: true,
}
const RATE_OPTIONS: Names<RateOptions> = { starts: true, per: true }

/** A checked rate. */
export interface Rate {
  readonly starts: number
  readonly perMs: number
}

/** The options of `open` after the check, with defaults. */
export interface CheckedOptions {
  readonly dir: string
  readonly registry: Registry
  readonly concurrency: number
  readonly concurrencyPerOwner: number | undefined
  readonly ratePerOwner: Rate | undefined
  readonly durability: Durability
  /** Time for which idempotency keys are kept. */
  readonly retentionMs: number
  /** Time for which settled tasks without a `ttl` are kept. `undefined` to keep them for good. */
  readonly keepSettledMs: number | undefined
  readonly auditRetentionMs: number
  readonly auditBytesMax: number
  readonly keepCheckpoints: number | undefined
  readonly unloadAfterMs: number
  readonly maximumRecoveries: number
  readonly recover: 'auto' | 'manual'
  readonly anchor: 'behind' | 'each'
  readonly acceptDamage: boolean
  readonly lockWaitMs: number
  readonly operator: boolean
  readonly clock: Clock
  readonly ids: Ids
  readonly logger: LimitedLogger
  /** Guarded: its functions never throw. `undefined` if it is off. */
  readonly telemetry: Telemetry | undefined
  readonly limits: Limits
  /** Purpose of the opening. With `operate`, no task runs, and nothing is recovered or swept. */
  readonly purpose: Purpose
}

/**
 * Checks the options of `open`, and sets defaults. @throws TypeError that names the option, the expected and the given
 * value
 */
export function checkOptions(options: OpenOptions): CheckedOptions {
  checkOptionsOf('open', options, OPEN_OPTIONS)
  const { dir, tasks = [], concurrency = 100, durability = 'synced', recover = 'auto', anchor = 'behind' } = options
  if (typeof dir !== 'string' || dir === '' || dir.includes('\0')) throw expected('dir', 'a non-empty path', dir)
  if (!Array.isArray(tasks)) throw expected('tasks', 'an array of definitions', tasks)
  // Registered before the store is opened, so that a refused definition leaves no store behind.
  const registry = new Registry()
  for (const definition of tasks) registry.add(definition)
  const { concurrencyPerOwner, ratePerOwner, keepCheckpoints, retention, limits = {} } = options
  const { maximumRecoveries = 5, acceptDamage = false, clock = systemClock, logLevel = 'info' } = options
  const { idempotencyRetention = '7d', unloadAfter = '60s' } = options
  const { lockWait = 0, operator = true, auditRetention = '90d', auditBytesMax = 1_073_741_824 } = options
  checkCount('concurrency', concurrency)
  if (concurrencyPerOwner !== undefined) checkCount('concurrencyPerOwner', concurrencyPerOwner)
  checkCount('maximumRecoveries', maximumRecoveries)
  checkCount('auditBytesMax', auditBytesMax)
  if (keepCheckpoints !== undefined) checkCount('keepCheckpoints', keepCheckpoints)
  oneOf('durability', durability, ['synced', 'buffered'])
  oneOf('recover', recover, ['auto', 'manual'])
  oneOf('anchor', anchor, ['behind', 'each'])
  checkFlag('acceptDamage', acceptDamage)
  checkFlag('operator', operator)
  checkFunctionsOf('clock', clock, ['now', 'setTimer'])
  oneOf('logLevel', logLevel, LOG_LEVELS)
  const given = options.logger === undefined ? defaultLogger(logLevel, process.env['HOLDFAST_LOG']) : options.logger
  checkFunctionsOf('logger', given, ['debug', 'info', 'warn', 'error'])
  const logger = new LimitedLogger(unfailing(given), clock)
  return {
    dir,
    registry,
    concurrency,
    concurrencyPerOwner,
    ratePerOwner: ratePerOwner === undefined ? undefined : checkRate(ratePerOwner),
    durability,
    recover,
    anchor,
    retentionMs: durationMs(idempotencyRetention, 'idempotencyRetention'),
    keepSettledMs: retention === undefined ? undefined : durationMs(retention, 'retention'),
    auditRetentionMs: durationMs(auditRetention, 'auditRetention'),
    auditBytesMax,
    keepCheckpoints,
    unloadAfterMs: durationMs(unloadAfter, 'unloadAfter', { zero: true }),
    maximumRecoveries,
    acceptDamage,
    lockWaitMs: durationMs(lockWait, 'lockWait', { zero: true }),
    operator,
    clock,
    ids: createIds(),
    logger,
    telemetry: checkTelemetry(options.telemetry, logger),
    limits: checkLimits(limits, concurrency),
    purpose: 'serve',
  }
}

/** Checks a rate. @throws TypeError that names the option, the expected and the given value */
export function checkRate(rate: RateOptions): Rate {
  checkObject('ratePerOwner', rate, RATE_OPTIONS)
  const { starts, per } = rate
  checkCount('ratePerOwner.starts', starts)
  return { starts, perMs: durationMs(per, 'ratePerOwner.per') }
}
