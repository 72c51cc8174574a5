/** The options of `durableTasks`, checked and with their defaults. Both protocol revisions take the same. */
import { type Duration, durationMs } from '../duration.js'
import { checkRate, type Rate, type RateOptions } from '../engine/options.js'
import { checkCount, checkFlag, checkFunction, checkObject, checkOptionsOf, type Names, oneOf } from '../expected.js'
import type { AuthInfoLike } from './http/node.js'
import type { Access, OwnerOf } from './owner.js'

/** What is about to be done, for `authorize`. */
export interface AccessRequest {
  readonly action: 'create' | 'read' | 'update' | 'cancel' | 'checkpoint'
  readonly owner: string
  readonly authInfo: AuthInfoLike | undefined
  readonly tool?: string | undefined
  readonly taskId?: string | undefined
}

/** `'admin'` alone reaches other owners' tasks; what it changes is in the audit as `admin`'s. */
export type Decision = 'allow' | 'deny' | 'admin'

/** How long a task is kept. */
export interface TtlOptions {
  /** The least that is granted to a task without a timeout. Default `'1h'`. */
  readonly min?: Duration
  /**
   * The most that is granted. `'unlimited'` grants any time, and a client that asks for `null`, or for nothing where
   * `default` says so, a task without a `ttl`. Such a task is kept for `retention` of `Holdfast.open`, or for good without one.
   * @default '30d'
   */
  readonly max?: Duration | 'unlimited'
  /** Granted when the client asks for nothing. `'unlimited'` only with that `max`. Default `'7d'`; without authentication `'1d'`. */
  readonly default?: Duration | 'unlimited'
  /** How much longer than its timeout a task is kept at least. Default `'1h'`. */
  readonly retention?: Duration
}

/** Limits of what clients may do, each in the unit that ends its name. Over one: `-32602` naming it, nothing stored. */
export interface McpLimits {
  /** Unfinished tasks of one owner. @default 1,000 */
  readonly liveTasksPerOwnerMax: number
  /** Unfinished session tasks of one owner, among them. @default 100 */
  readonly sessionTasksPerOwnerMax: number
  /** Other requests about tasks that one owner may make in a minute. Default 6,000. */
  readonly requestsPerMinute: number
  /** A client's checkpoint as JSON. Default 256 KiB. */
  readonly stateBytesMax: number
  /** Clients' checkpoints of one task. @default 100 */
  readonly checkpointsPerTaskMax: number
  /** A checkpoint's label. Default 200. */
  readonly labelBytesMax: number
  /** How deep arguments and states may be nested. Default 64. */
  readonly jsonDepthMax: number
  /**
   * JSON values in one request: members of arrays and objects, at all depths. Over HTTP they are counted before the body is
   * parsed, and more are refused with 413.
   * @default 100,000
   */
  readonly jsonValuesMax: number
}

/** The options of `durableTasks`. */
export interface DurableOptions {
  /** Who reaches which tasks. There is no default: it is the one thing that must be decided. */
  readonly access: Access
  /** From a verified token to an owner. Default: issuer, client and subject. For `'principal'` only. */
  readonly owner?: OwnerOf
  /**
   * Asked before every create, read, update, cancel and checkpoint. A notification of a task that is pushed is a read.
   * @default everybody's own tasks
   */
  readonly authorize?: (request: AccessRequest) => Decision | Promise<Decision>
  readonly ttl?: TtlOptions
  /** How often clients are asked to poll. Default `'1s'`. */
  readonly pollInterval?: Duration
  /** The latest progress is sent at most this often; 0 sends each. Default `'250ms'`. */
  readonly progressInterval?: Duration
  readonly limits?: Partial<McpLimits>
  /**
   * Tasks that one owner may start within a time, by any call. Counted as `ratePerOwner` of `Holdfast.open` is, over
   * restarts too; the stricter one holds. With `'open'` per session, in memory.
   * @default { starts: 600, per: '1m' }
   */
  readonly ratePerOwner?: RateOptions
  /** What becomes of tasks without a body that a server made through `taskStore` and left unfinished. Default `'fail'`. */
  readonly orphans?: 'fail' | 'keep'
  /** Also serve `tasks/create`, `tasks/getStatus` and `tasks/getResult`, which are not part of the protocol. Default `false`. */
  readonly aliases?: boolean
}

/** The same, complete. */
export interface CheckedDurableOptions {
  readonly access: Access
  readonly owner: OwnerOf | undefined
  readonly authorize: ((request: AccessRequest) => Decision | Promise<Decision>) | undefined
  readonly ttl: {
    readonly minMs: number
    /** Infinite if nothing is too long; and so is the next. */
    readonly maxMs: number
    readonly defaultMs: number
    readonly retentionMs: number
  }
  readonly pollIntervalMs: number
  readonly progressIntervalMs: number
  readonly limits: McpLimits
  readonly ratePerOwner: Rate
  readonly orphans: 'fail' | 'keep'
  readonly aliases: boolean
}

const DURABLE_OPTIONS: Names<DurableOptions> = {
  access: true,
  owner: true,
  authorize: true,
  ttl: true,
  pollInterval: true,
  progressInterval: true,
  limits: true,
  ratePerOwner: true,
  orphans: true,
  aliases: true,
}

const TTL_OPTIONS: Names<TtlOptions> = { min: true, max: true, default: true, retention: true }

const DEFAULT_LIMITS: McpLimits = {
  liveTasksPerOwnerMax: 1_000,
  sessionTasksPerOwnerMax: 100,
  requestsPerMinute: 6_000,
  stateBytesMax: 256 * 1024,
  checkpointsPerTaskMax: 100,
  labelBytesMax: 200,
  jsonDepthMax: 64,
  jsonValuesMax: 100_000,
}

/** @throws TypeError naming the option, what was expected and what was given */
export function checkDurableOptions(options: DurableOptions): CheckedDurableOptions {
  if (options === undefined) {
    throw new TypeError(
      "`durableTasks` needs the option `access`, which says who reaches which tasks: durableTasks(holdfast, { access: 'local' }) for one user over stdio; 'principal' or 'open' over HTTP",
    )
  }
  checkOptionsOf<DurableOptions>('durableTasks', options, DURABLE_OPTIONS)
  const { access, owner, authorize, ttl = {}, orphans = 'fail', aliases = false, limits = {} } = options
  oneOf('access', access, ['principal', 'open', 'local'])
  oneOf('orphans', orphans, ['fail', 'keep'])
  checkFlag('aliases', aliases)
  if (owner !== undefined) checkFunction('owner', owner)
  if (authorize !== undefined) checkFunction('authorize', authorize)
  checkObject<TtlOptions>('ttl', ttl, TTL_OPTIONS)
  if (owner && access !== 'principal') {
    throw new TypeError(`Expected \`owner\` only with \`access: 'principal'\`; with '${access}' nobody is told apart`)
  }
  return {
    access,
    owner,
    authorize,
    ttl: checkTtl(ttl, access),
    pollIntervalMs: durationMs(options.pollInterval ?? '1s', 'pollInterval'),
    progressIntervalMs: durationMs(options.progressInterval ?? '250ms', 'progressInterval', { zero: true }),
    limits: checkLimits(limits),
    ratePerOwner: checkRate(options.ratePerOwner ?? { starts: 600, per: '1m' }),
    orphans,
    aliases,
  }
}

function checkTtl(ttl: TtlOptions, access: Access): CheckedDurableOptions['ttl'] {
  const minMs = durationMs(ttl.min ?? '1h', 'ttl.min')
  const maxMs = lifetimeMs(ttl.max ?? '30d', 'ttl.max')
  const retentionMs = durationMs(ttl.retention ?? '1h', 'ttl.retention')
  const fallback = access === 'open' ? '1d' : '7d'
  const defaultMs =
    ttl.default === undefined ? Math.min(durationMs(fallback, ''), maxMs) : lifetimeMs(ttl.default, 'ttl.default')
  if (minMs > maxMs) throw new TypeError(`Expected \`ttl.min\` to be at most \`ttl.max\`, got ${minMs} and ${maxMs} ms`)
  if (defaultMs === Number.POSITIVE_INFINITY && defaultMs > maxMs) {
    throw new TypeError("Expected `ttl.max` to be 'unlimited' where `ttl.default` is")
  }
  return { minMs, maxMs, defaultMs, retentionMs }
}

function lifetimeMs(value: Duration | 'unlimited', option: string): number {
  return value === 'unlimited' ? Number.POSITIVE_INFINITY : durationMs(value, option)
}

function checkLimits(given: Partial<McpLimits>): McpLimits {
  const names = Object.fromEntries(Object.keys(DEFAULT_LIMITS).map((name) => [name, true])) as Names<McpLimits>
  checkObject<McpLimits>('limits', given, names)
  for (const [name, value] of Object.entries(given)) {
    if (value !== undefined) checkCount(`limits.${name}`, value)
  }
  const set = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))
  return { ...DEFAULT_LIMITS, ...set }
}
