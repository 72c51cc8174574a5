/** Options of `durable.httpHandler` of 2025-11-25, with checks and defaults. */
import { type Duration, durationMs } from '../../../base/duration.js'
import type { Names } from '../../../base/expected.js'
import {
  type CheckedCommonHttpOptions,
  COMMON_HTTP_OPTIONS,
  type CommonHttpOptions,
  checkCommonHttpOptions,
  countOption,
  MIB,
} from '../../http/options.js'

/** The options of `durable.httpHandler`. */
export interface HttpOptions extends CommonHttpOptions {
  /**
   * Sessions in all. At this limit and the three below, the next session closes another one: one whose client made no
   * second request, else the one that is idle for longest. Where all are in use, the answer is 429.
   * @default 10,000
   */
  readonly sessionsMax?: number
  /**
   * Sessions of one owner. Without authentication all sessions are one owner's.
   * @default 100; `sessionsMax` with `access: 'open'`
   */
  readonly sessionsPerOwnerMax?: number
  /**
   * Sessions of one address. For `access: 'open'` only, where nothing else distinguishes clients.
   * @default 100
   */
  readonly sessionsPerAddressMax?: number
  /**
   * Bytes that are kept of all sessions together: their owners, and the `initialize` requests that the SDK receives
   * again after a restart. The events of a session have their own limit (`eventBytesMax`).
   * @default 64 MiB
   */
  readonly sessionBytesMax?: number
  /**
   * Unanswered requests of one session, even if their client has disconnected. Requests that are answered at once, such
   * as `tasks/get`, are not counted. A request over the limit is refused with `-32602` and the name of the limit.
   * @default 100
   */
  readonly openRequestsPerSessionMax?: number
  /**
   * Unanswered requests of one owner in all sessions; with `access: 'open'` of one address.
   * @default 1,000
   */
  readonly openRequestsPerOwnerMax?: number
  /**
   * Time after which an unused session is deleted.
   * @default '1d'
   */
  readonly sessionTtl?: Duration
  /**
   * Events that are kept of a session, for clients that lost their stream.
   * @default 10,000
   */
  readonly eventsMax?: number
  /**
   * Size of the kept events of a session, in bytes.
   * @default 16 MiB
   */
  readonly eventBytesMax?: number
  /**
   * Time that events are kept after the end of their stream.
   * @default '10m'
   */
  readonly eventTtl?: Duration
}

/** Checked options with their defaults. */
export interface CheckedHttpOptions extends CheckedCommonHttpOptions {
  readonly sessionsMax: number
  readonly sessionsPerOwnerMax: number
  readonly sessionsPerAddressMax: number
  readonly sessionBytesMax: number
  readonly openRequestsPerSessionMax: number
  readonly openRequestsPerOwnerMax: number
  readonly sessionTtlMs: number
  readonly eventsMax: number
  readonly eventBytesMax: number
  readonly eventTtlMs: number
}

const HTTP_OPTIONS: Names<HttpOptions> = {
  ...COMMON_HTTP_OPTIONS,
  sessionsMax: true,
  sessionsPerOwnerMax: true,
  sessionsPerAddressMax: true,
  sessionBytesMax: true,
  openRequestsPerSessionMax: true,
  openRequestsPerOwnerMax: true,
  sessionTtl: true,
  eventsMax: true,
  eventBytesMax: true,
  eventTtl: true,
}

/**
 * Checks the options and adds the defaults.
 * @throws TypeError naming the option, the expected and the given value
 */
export function checkHttpOptions(options: HttpOptions, isOpen: boolean): CheckedHttpOptions {
  const common = checkCommonHttpOptions(options, HTTP_OPTIONS)
  const sessionsMax = countOption('sessionsMax', options.sessionsMax ?? 10_000)
  return {
    ...common,
    sessionsMax,
    sessionsPerOwnerMax: countOption(
      'sessionsPerOwnerMax',
      options.sessionsPerOwnerMax ?? (isOpen ? sessionsMax : 100),
    ),
    sessionsPerAddressMax: countOption('sessionsPerAddressMax', options.sessionsPerAddressMax ?? 100),
    sessionBytesMax: countOption('sessionBytesMax', options.sessionBytesMax ?? 64 * MIB),
    openRequestsPerSessionMax: countOption('openRequestsPerSessionMax', options.openRequestsPerSessionMax ?? 100),
    openRequestsPerOwnerMax: countOption('openRequestsPerOwnerMax', options.openRequestsPerOwnerMax ?? 1_000),
    sessionTtlMs: durationMs(options.sessionTtl ?? '1d', 'sessionTtl'),
    eventsMax: countOption('eventsMax', options.eventsMax ?? 10_000),
    eventBytesMax: countOption('eventBytesMax', options.eventBytesMax ?? 16 * MIB),
    eventTtlMs: durationMs(options.eventTtl ?? '10m', 'eventTtl'),
  }
}
