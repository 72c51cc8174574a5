/**
 * The calls of `Holdfast` for operators: why a task does not run, the health of the instance, and actions on many tasks.
 * `Holdfast` extends this class. Each call checks its arguments, and calls the function that does the work.
 */
import { type OwnerOption, ownerOption } from '../engine/checks/call-options.js'
import type { Engine } from '../engine/core/engine.js'
import { findTask } from '../engine/core/find-task.js'
import type { AuditEntry } from '../task/changes.js'
import { type AuditOptions, auditOf } from './audit.js'
import { type Explanation, explainTask } from './explanation.js'
import { type Health, readHealth } from './health.js'
import { readStats, type Stats } from './stats.js'

export abstract class OperatorCalls {
  readonly #engine: Engine

  /** @internal */
  constructor(engine: Engine) {
    this.#engine = engine
  }

  /**
   * Explains why a task does not run now, or what it runs. The answer has no inputs, results or messages of errors.
   * @throws HoldfastError `TASK_NOT_FOUND`, `RECORD_DAMAGED`, `STORE_UNAVAILABLE`
   */
  async explain(taskId: string, options?: OwnerOption): Promise<Explanation> {
    const owner = ownerOption('explain', options)
    for (;;) {
      const explanation = await explainTask(this.#engine, await findTask(this.#engine, taskId, owner))
      if (explanation) return explanation
    }
  }

  /**
   * The health of this instance, for probes: `live` and `ready`, with reasons. Never rejects, also not after `close`.
   */
  health(): Promise<Health> {
    return readHealth(this.#engine)
  }

  /**
   * Returns the audit entries, oldest first: every change of status, every checkpoint saved or restored, every recovery.
   * Entries outlive their task. They are kept for `auditRetention`, and up to `auditBytesMax`.
   */
  async audit(options: AuditOptions = {}): Promise<readonly AuditEntry[]> {
    return auditOf(this.#engine, options)
  }

  /** Counts, sizes and service levels of the store. The cost does not depend on the number of settled tasks. */
  async stats(): Promise<Stats> {
    this.#engine.assertOpen()
    return readStats(this.#engine)
  }
}
