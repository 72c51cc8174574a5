/** The options of `Holdfast.open`, checked and with their defaults. */
import { type Clock, systemClock } from '../clock.js'
import { type Duration, durationMs } from '../duration.js'
import { createIds, type Ids } from '../ids.js'
import { type Logger, stderrLogger } from '../logger.js'
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
  /** Records kept of one task's log; a save with `prune` starts anew. Default 100,000. */
  readonly stepsPerTaskMax: number
  /** Checkpoints kept of one task, a body's and clients' apart. Default 1,000. */
  readonly checkpointsPerTaskMax: number
  /** Messages that wait for one task to receive them. Default 1,000. */
  readonly messagesPerTaskMax: number
  /** Unfinished tasks in all; `start` past it is `LIMIT_EXCEEDED`. Default 100,000. */
  readonly liveTasksMax: number
}

const MIB = 1024 * 1024
// LevelDB holds a record in memory several times over while it is written; past this a process stalls noticeably.
const RECORD_BYTES_MAX = 16 * MIB

const DEFAULT_LIMITS: Limits = {
  inputBytesMax: MIB,
  resultBytesMax: MIB,
  outputBytesMax: MIB,
  stateBytesMax: MIB,
  stepsPerTaskMax: 100_000,
  checkpointsPerTaskMax: 1_000,
  messagesPerTaskMax: 1_000,
  liveTasksMax: 100_000,
}

/** The options of `Holdfast.open`. */
export interface OpenOptions {
  /** The store's directory. Made, with mode 0700, if it is not there. One process at a time holds it. */
  readonly dir: string
  /** The definitions whose tasks this process runs. More can be added with `register`. */
  readonly tasks?: readonly AnyTaskDefinition[]
  /** How many bodies run at once; the rest wait their turn. Default 100. */
  readonly concurrency?: number
  /**
   * `'synced'` (default): what is acknowledged survives a power cut. `'buffered'`: it survives the death of the
   * process, and a power cut may take the last of it; faster, and shown on every task.
   */
  readonly durability?: Durability
  /** How long an idempotency key outlives its task. Default `'7d'`. */
  readonly idempotencyRetention?: Duration
  /** A task that only waits for longer than this is let go of, and replayed when its wait ends. Default `'60s'`. */
  readonly unloadAfter?: Duration
  /** `'auto'` (default): unfinished tasks are resumed behind `open`. `'manual'`: once `recover()` is called. */
  readonly recover?: 'auto' | 'manual'
  /**
   * `'behind'` (default): the file that notices a rolled-back database lags by at most 256 commits or 100 ms, and is
   * exact after a close. `'each'`: it is exact at every commit, for one more write to the disk.
   */
  readonly anchor?: 'behind' | 'each'
  /** Open a store that has lost acknowledged commits, and go on with what is left. Default `false`. */
  readonly acceptDamage?: boolean
  /** Where the time comes from. Default: the machine's clock. */
  readonly clock?: Clock
  /** Where the library's own words go. Default: warnings and errors to standard error. */
  readonly logger?: Logger
  readonly limits?: Partial<Limits>
}

/** The same, complete. */
export interface CheckedOptions {
  readonly dir: string
  readonly registry: Registry
  readonly concurrency: number
  readonly durability: Durability
  readonly retentionMs: number
  readonly unloadAfterMs: number
  readonly recover: 'auto' | 'manual'
  readonly anchor: 'behind' | 'each'
  readonly acceptDamage: boolean
  readonly clock: Clock
  readonly ids: Ids
  readonly logger: Logger
  readonly limits: Limits
}

/** @throws TypeError naming the option, what was expected and what was given */
export function checkOptions(options: OpenOptions): CheckedOptions {
  if (typeof options !== 'object' || options === null) {
    throw new TypeError(`Expected the options to be an object with \`dir\`, got ${String(options)} (${typeof options})`)
  }
  const { dir, tasks = [], concurrency = 100, durability = 'synced', recover = 'auto', anchor = 'behind' } = options
  if (typeof dir !== 'string' || dir === '' || dir.includes('\0')) {
    throw new TypeError(`Expected \`dir\` to be a non-empty path, got ${JSON.stringify(dir)} (${typeof dir})`)
  }
  if (!Array.isArray(tasks))
    throw new TypeError(`Expected \`tasks\` to be an array of definitions, got ${typeof tasks}`)
  // Refused before the store is opened: a definition that can't be registered must leave nothing behind.
  const registry = new Registry()
  for (const definition of tasks) registry.add(definition)
  atLeastOne(concurrency, 'concurrency')
  oneOf(durability, 'durability', ['synced', 'buffered'])
  oneOf(recover, 'recover', ['auto', 'manual'])
  oneOf(anchor, 'anchor', ['behind', 'each'])
  return {
    dir,
    registry,
    concurrency,
    durability,
    recover,
    anchor,
    retentionMs: durationMs(options.idempotencyRetention ?? '7d', 'idempotencyRetention'),
    unloadAfterMs: durationMs(options.unloadAfter ?? '60s', 'unloadAfter', { zero: true }),
    acceptDamage: options.acceptDamage ?? false,
    clock: options.clock ?? systemClock,
    ids: createIds(),
    logger: options.logger ?? stderrLogger,
    limits: checkLimits(options.limits ?? {}),
  }
}

function checkLimits(given: Partial<Limits>): Limits {
  for (const [name, value] of Object.entries(given)) {
    if (!Object.hasOwn(DEFAULT_LIMITS, name)) {
      throw new TypeError(`Unknown limit \`limits.${name}\`; there are ${Object.keys(DEFAULT_LIMITS).join(', ')}`)
    }
    if (value === undefined) continue
    atLeastOne(value, `limits.${name}`)
    if (name.endsWith('BytesMax') && value > RECORD_BYTES_MAX) {
      throw new TypeError(`Expected \`limits.${name}\` to be at most ${RECORD_BYTES_MAX} bytes, got ${value}`)
    }
  }
  const set = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))
  return { ...DEFAULT_LIMITS, ...set }
}

function atLeastOne(value: unknown, option: string): void {
  if (Number.isInteger(value) && (value as number) >= 1) return
  throw new TypeError(`Expected \`${option}\` to be an integer >= 1, got ${String(value)} (${typeof value})`)
}

function oneOf(value: unknown, option: string, allowed: readonly string[]): void {
  if (allowed.includes(value as string)) return
  const names = allowed.map((name) => `'${name}'`).join(' or ')
  throw new TypeError(`Expected \`${option}\` to be ${names}, got ${JSON.stringify(value)} (${typeof value})`)
}
