/** How long a task is kept: what the client asks for, within what the server can stand and the task needs. Pure. */
import { DURATION_MS_MAX } from '../../base/duration.js'
import type { CheckedDurableOptions } from './options.js'

/** A wish for no limit, as a number: longer than any duration. */
export const UNLIMITED_MS = Number.MAX_VALUE

/**
 * The granted time to live; `undefined` for a task that has none. Clients send a minute and mean "keep the result for a
 * minute"; a task of half an hour must not be deleted under its own feet by that.
 * @param requestedMs `undefined`: nothing was asked for; `null`, or more than a thousand years: no limit
 */
export function grantTtl(
  { minMs, maxMs, defaultMs, retentionMs }: CheckedDurableOptions['ttl'],
  requestedMs: number | null | undefined,
  timeoutMs: number | undefined,
): number | undefined {
  const wanted = requestedMs === null ? UNLIMITED_MS : (requestedMs ?? defaultMs)
  const least = timeoutMs === undefined ? minMs : timeoutMs + retentionMs
  const granted = Math.min(Math.max(wanted, least), maxMs)
  return granted > DURATION_MS_MAX ? undefined : granted
}
