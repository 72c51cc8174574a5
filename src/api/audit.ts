/** Reads the audit for a caller. */
import { instantOf } from '../base/duration.js'
import { checkOptionsOf, expected, type Names } from '../base/expected.js'
import { checkLimit } from '../engine/checks/arguments.js'
import type { Engine } from '../engine/core/engine.js'
import { readAudit } from '../store/audit.js'
import type { AuditEntry } from '../task/changes.js'

/** The options of `audit`. */
export interface AuditOptions {
  /**
   * ID of the task whose entries are returned.
   * @default entries of all tasks
   */
  readonly taskId?: string | undefined
  /**
   * Instant of the first entry: a `Date`, or milliseconds since the epoch.
   * @default the beginning
   */
  readonly since?: Date | number | undefined
  /**
   * Number of entries at most, from 1 to 10,000.
   * @default 1,000
   */
  readonly limit?: number | undefined
}

const LIMIT_MAX = 10_000

/** Names of the options. */
export const AUDIT_OPTIONS: Names<AuditOptions> = { taskId: true, since: true, limit: true }

/** Reads audit entries, oldest first. */
export async function auditOf({ store }: Pick<Engine, 'store'>, options: AuditOptions): Promise<readonly AuditEntry[]> {
  checkOptionsOf('audit', options, AUDIT_OPTIONS)
  const { taskId, since = 0, limit = 1_000 } = options
  if (taskId !== undefined && typeof taskId !== 'string') throw expected('taskId', 'a string', taskId)
  checkLimit(limit, LIMIT_MAX)
  const first = instantOf(since, 'since')
  return store.read((level) => readAudit(level, { taskId, since: first, limit }))
}
