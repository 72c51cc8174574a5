/** Calculates the time that a task is kept, from the request, the server's limits and the task's timeout. Pure. */
import { DURATION_MS_MAX } from '../../base/duration.js'
import type { CheckedDurableOptions } from './options.js'

/** Number of milliseconds for a request without a limit: longer than any duration. */
export const UNLIMITED_MS = Number.MAX_VALUE

/**
 * Granted time to live in milliseconds; `undefined` for a task without one. A client that sends a minute means "keep
 * the result for a minute". So a task with a timeout of half an hour is kept for at least that long.
 * @param requestedMs `undefined` if the client requested nothing; `null`, or more than a thousand years, for no limit
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
