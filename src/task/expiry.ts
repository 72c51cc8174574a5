/** When things that outlive their use are let go. */
import type { TaskHead } from './head.js'

/**
 * When the idempotency key of a settled task stops counting: `retentionMs` after the task's own end. That is the end
 * of its `ttl` where it has one, else the instant it settled. `undefined` for an unfinished task: its key counts.
 */
export function forgetAt(head: TaskHead, retentionMs: number): number | undefined {
  if (head.settledAt === undefined) return undefined
  const keptUntil = head.ttlMs === undefined ? head.settledAt : Math.max(head.settledAt, head.createdAt + head.ttlMs)
  return keptUntil + retentionMs
}
