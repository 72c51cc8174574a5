/** Reads the audit for a caller. */
import { readAudit } from '../store/reads.js'
import type { AuditEntry } from '../task/changes.js'
import { auditIdAt, checkLimit } from './arguments.js'
import type { Engine } from './engine.js'

/** What `audit` shows. */
export interface AuditOptions {
  /** Only this task's. */
  readonly taskId?: string | undefined
  /** From then on: a `Date`, or milliseconds since the epoch. */
  readonly since?: Date | number | undefined
  /** How many at the most, 1 to 10,000. Default 1,000. */
  readonly limit?: number | undefined
}

const LIMIT_MAX = 10_000

/** Entries, oldest first. */
export async function auditOf(
  { store }: Engine,
  { taskId, since = 0, limit = 1_000 }: AuditOptions,
): Promise<readonly AuditEntry[]> {
  checkLimit(limit, LIMIT_MAX)
  const sinceId = auditIdAt(since)
  return store.read((level) => readAudit(level, { taskId, sinceId, limit }))
}
