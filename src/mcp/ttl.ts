/** How long a task is kept: what the client asks for, within what the server can stand and the task needs. Pure. */
import type { CheckedDurableOptions } from './options.js'

/**
 * The granted time to live. Clients send a minute and mean "keep the result for a minute"; a task of half an hour must
 * not be deleted under its own feet by that.
 */
export function grantTtl(
  { minMs, maxMs, defaultMs, retentionMs }: CheckedDurableOptions['ttl'],
  requestedMs: number | undefined,
  timeoutMs: number | undefined,
): number {
  const wanted = requestedMs ?? defaultMs
  const least = timeoutMs === undefined ? minMs : timeoutMs + retentionMs
  return Math.min(Math.max(wanted, least), maxMs)
}
