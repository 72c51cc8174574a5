/** The options of `durableTasks`, checked and with their defaults. Both protocol revisions take the same. */
import { type Duration, durationMs } from '../../base/duration.js'
import {
  checkCount,
  checkFlag,
  checkFunction,
  checkObject,
  checkOptionsOf,
  type Names,
  oneOf,
} from '../../base/expected.js'
import { checkRate, type Rate, type RateOptions } from '../../engine/checks/open-options.js'
import type { AuthInfoLike } from '../../http/node.js'
import type { Access, OwnerOf } from './owner.js'

/** A request that `authorize` decides about. */
export interface AccessRequest {
  /** Kind of the request. */
  readonly action: 'create' | 'read' | 'update' | 'cancel' | 'checkpoint'
  /** Owner that makes the request. */
  readonly owner: string
  /** Verified token of the request, if there is one. */
  readonly authInfo: AuthInfoLike | undefined
  /** Name of the tool that is called. */
  readonly tool?: string | undefined
  /** ID of the task that the request is about. */
  readonly taskId?: string | undefined
}

/**
 * Result of `authorize`. Only `'admin'` reaches tasks of other owners; its changes are in the audit as those of
 * `admin`.
 */
export type Decision = 'allow' | 'deny' | 'admin'

/** Options of the time that a task is kept. */
export interface TtlOptions {
  /**
   * Shortest time that is granted to a task without a timeout.
   * @default '1h'
   */
  readonly min?: Duration
  /**
   * Longest time that is granted. With `'unlimited'` any time is granted, and a client that requests `null`, or nothing
   * where `default` is `'unlimited'`, gets a task without a `ttl`. Such a task is kept for `retention` of `Holdfast.open`, or
   * for good without one.
   * @default '30d'
   */
  readonly max?: Duration | 'unlimited'
  /**
   * Time that is granted to a client that requests none. `'unlimited'` is allowed only with that `max`.
   * @default '7d'; `'1d'` with `access: 'open'`
   */
  readonly default?: Duration | 'unlimited'
  /**
   * Shortest time that a task is kept after its timeout.
   * @default '1h'
   */
  readonly retention?: Duration
}

/** Limits of requests by clients. A request past a limit is refused with `-32602` and the name of the limit. Nothing is stored. */
export interface McpLimits {
  /**
   * Unfinished tasks of one owner.
   * @default 1,000
   */
  readonly liveTasksPerOwnerMax: number
  /**
   * Unfinished session tasks of one owner. They count as unfinished tasks too.
   * @default 100
   */
  readonly sessionTasksPerOwnerMax: number
  /**
   * Requests about tasks, other than starts, that one owner may make in a minute.
   * @default 6,000
   */
  readonly requestsPerMinute: number
  /**
   * Size of the state of a client's checkpoint as JSON, in bytes.
   * @default 256 KiB
   */
  readonly stateBytesMax: number
  /**
   * Checkpoints of one task that clients saved.
   * @default 100
   */
  readonly checkpointsPerTaskMax: number
  /**
   * Length of the label of a checkpoint, in bytes.
   * @default 200
   */
  readonly labelBytesMax: number
  /**
   * Depth of nesting of arguments and states.
   * @default 64
   */
  readonly jsonDepthMax: number
  /**
   * JSON values in one request: members of arrays and objects, at all depths. Over HTTP they are counted before the body is
   * parsed, and more are refused with status 413.
   * @default 100,000
   */
  readonly jsonValuesMax: number
}

/** The options of `durableTasks`. */
export interface DurableOptions {
  /** Rule for who reaches which tasks. It has no default, because only the author of a server can decide it. */
  readonly access: Access
  /**
   * Function from a verified token to an owner. Allowed with `access: 'principal'` only.
   * @default issuer, client and subject of the token
   */
  readonly owner?: OwnerOf
  /**
   * Decides about each create, read, update, cancel and checkpoint. A notification of a task that is pushed is a read.
   * @default every owner reaches its own tasks
   */
  readonly authorize?: (request: AccessRequest) => Decision | Promise<Decision>
  /**
   * Times that tasks are kept.
   * @default those of `TtlOptions`
   */
  readonly ttl?: TtlOptions
  /**
   * Interval at which clients are requested to poll.
   * @default '1s'
   */
  readonly pollInterval?: Duration
  /**
   * Shortest interval between two notifications of progress. The latest progress is sent. With 0 each one is sent.
   * @default '250ms'
   */
  readonly progressInterval?: Duration
  /**
   * Limits of requests by clients.
   * @default those of `McpLimits`
   */
  readonly limits?: Partial<McpLimits>
  /**
   * Tasks that one owner may start within a time, by any call. It is counted over restarts too, as `ratePerOwner` of
   * `Holdfast.open` is. If both are set, the stricter one applies. With `access: 'open'` it is counted per session, in memory.
   * @default { starts: 600, per: '1m' }
   */
  readonly ratePerOwner?: RateOptions
  /**
   * Treatment of tasks without a body that a server made through `taskStore` and left unfinished when its process ended.
   * @default 'fail'
   */
  readonly orphans?: 'fail' | 'keep'
  /**
   * True to serve `tasks/create`, `tasks/getStatus` and `tasks/getResult` too. They are not part of the protocol.
   * @default false
   */
  readonly aliases?: boolean
}

/** Checked options with their defaults. */
export interface CheckedDurableOptions {
  readonly access: Access
  readonly owner: OwnerOf | undefined
  readonly authorize: ((request: AccessRequest) => Decision | Promise<Decision>) | undefined
  readonly ttl: {
    readonly minMs: number
    /** Longest time in milliseconds; infinite without a limit. The default time may be infinite as well. */
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

/**
 * Checks the options of `durableTasks` and adds the defaults.
 * @throws TypeError naming the option, the expected and the given value
 */
export function checkDurableOptions(options: DurableOptions): CheckedDurableOptions {
  if (options === undefined) {
    throw new TypeError(
      "`durableTasks` needs the option `access`, the rule for which callers reach which tasks: durableTasks(holdfast, { access: 'local' }) for one user over stdio; 'principal' or 'open' over HTTP",
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
    throw new TypeError(`Expected \`owner\` only with \`access: 'principal'\`; '${access}' has no principals`)
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
