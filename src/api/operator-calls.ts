/**
 * The calls of `Holdfast` for operators: why a task does not run, its attributes, the health of the instance, and actions on
 * many tasks.
 * `Holdfast` extends this class. Each call checks its arguments, and calls the function that does the work.
 */

import { type OwnerOption, ownerOption } from '../engine/checks/call-options.js'
import type { Engine } from '../engine/core/engine.js'
import { findTask, findUnfinished } from '../engine/core/find-task.js'
import { retryNow } from '../engine/lifecycle/retry-now.js'
import { setAttributesOf } from '../engine/lifecycle/set-attributes.js'
import { type CompactOptions, compactStore } from '../engine/retention/compact-store.js'
import { deleteSettled } from '../engine/retention/delete-settled.js'
import type { CompactionReport } from '../store/disk/compact-slices.js'
import { type AttributeChanges, checkAttributes } from '../task/attributes.js'
import type { AuditEntry } from '../task/changes.js'
import { settledAlready } from '../task/decisions/transition.js'
import { isSettled } from '../task/head.js'
import type { LastRecovery } from '../task/last-recovery.js'
import { type AuditOptions, auditOf } from './audit.js'
import { actOnMany, type CancelManyOptions, type ManyOptions, type ManyResult } from './bulk.js'
import { type Explanation, explainFound } from './explanation.js'
import { type Health, readHealth } from './health.js'
import { readStats, readStatsOver, type Stats, type StatsOptions, type StatsOverWindow } from './stats.js'
import { type TaskView, viewOf } from './task-view.js'

/** The calls of `Holdfast` for operators. `Holdfast` extends this class; only its instances have these calls. */
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
    return explainFound(this.#engine, () => findTask(this.#engine, taskId, owner))
  }

  /**
   * Makes the next attempt of a task, and of its steps that wait for theirs, due at once. A crash does not bring the delay
   * back. A parked task is not retried: `resume` continues it.
   * @throws HoldfastError `TASK_NOT_FOUND`, `TASK_SETTLED`, `TASK_PARKED`, `NO_NEXT_ATTEMPT`, `TASK_TYPE_UNKNOWN`,
   *   `STORE_UNAVAILABLE`
   */
  async retry(taskId: string, options?: OwnerOption): Promise<TaskView> {
    const owner = ownerOption('retry', options)
    this.#engine.assertOpen()
    const head = await findTask(this.#engine, taskId, owner)
    const task = this.#engine.tasks.get(taskId)
    if (!task || isSettled(task.head.status)) throw settledAlready(task?.head ?? head)
    await retryNow(this.#engine, task, owner ?? 'admin')
    return viewOf(task.committed ?? task.head, task)
  }

  /**
   * Changes attributes of an unfinished task. The change is on disk when the promise resolves.
   * @param attributes values by name. `null` removes an attribute; one that is absent stays as it is
   * @throws HoldfastError `TASK_NOT_FOUND`, `TASK_SETTLED`, `STORE_UNAVAILABLE`, `LIMIT_EXCEEDED` if the task would have more
   *   than 8
   * @throws TypeError for a name or a value that does not fit
   */
  async setAttributes(taskId: string, attributes: AttributeChanges, options?: OwnerOption): Promise<TaskView> {
    const owner = ownerOption('setAttributes', options)
    const changes = checkAttributes(attributes)
    const task = await findUnfinished(this.#engine, taskId, owner)
    await setAttributesOf(this.#engine, task, changes, owner ?? 'admin')
    return viewOf(task.committed ?? task.head, task)
  }

  /**
   * Deletes a settled task with its log, checkpoints, messages and records of bindings. Its audit stays, and so does its
   * idempotency key until `idempotencyRetention` is over. Its children are tasks of their own, and stay.
   * @throws HoldfastError `TASK_NOT_FOUND`, `NOT_SETTLED`, `TASK_IN_USE`
   */
  async delete(taskId: string, options?: OwnerOption): Promise<void> {
    const owner = ownerOption('delete', options)
    this.#engine.assertOpen()
    await deleteSettled(this.#engine, await findTask(this.#engine, taskId, owner), owner ?? 'admin')
  }

  /**
   * Cancels the unfinished tasks that fit the filters, up to 10,000 in one call. Each task is checked again when its turn
   * comes. If the store goes down, the call ends early with a cursor.
   * @throws TypeError for a call without a filter and without `all: true`
   * @throws HoldfastError `INVALID_CURSOR`, `STORE_UNAVAILABLE` if no task was listed
   */
  cancelMany(options: CancelManyOptions): Promise<ManyResult> {
    return actOnMany(this.#engine, 'cancelMany', options)
  }

  /** Begins the next attempts of the tasks that fit the filters, and that wait for one. As `cancelMany` and `retry`. */
  retryMany(options: ManyOptions): Promise<ManyResult> {
    return actOnMany(this.#engine, 'retryMany', options)
  }

  /** Resumes the parked tasks that fit the filters, without parked clean-ups. As `cancelMany` and `resume`. */
  resumeMany(options: ManyOptions): Promise<ManyResult> {
    return actOnMany(this.#engine, 'resumeMany', options)
  }

  /** Deletes the settled tasks that fit the filters. As `cancelMany` and `delete`. */
  deleteMany(options: ManyOptions): Promise<ManyResult> {
    return actOnMany(this.#engine, 'deleteMany', options)
  }

  /**
   * The health of this instance, for probes: `live` and `ready`, with reasons. Never rejects, also not after `close`.
   */
  health(): Promise<Health> {
    return readHealth(this.#engine)
  }

  /**
   * The report of the last completed recovery that found tasks, also of an earlier process: counts by result, and up to 100
   * tasks. `undefined` if there was none. `recovery` has the whole report of this process.
   * @throws HoldfastError `STORE_UNAVAILABLE`; `RECORD_DAMAGED` until the next such recovery
   */
  async lastRecovery(): Promise<LastRecovery | undefined> {
    this.#engine.assertOpen()
    return this.#engine.serviceLevels.lastRecovery()
  }

  /**
   * Compacts the database: removes what was deleted or overwritten from its files, while tasks run. Reads of lists wait for a few
   * tenths of a second at a time. Needs 64 MiB of free space.
   * @throws HoldfastError `STORE_UNAVAILABLE`, `CLOSED`, `STORE_LOST`; the reason of `signal`
   * @throws TypeError for options of the wrong type
   */
  async compact(options: CompactOptions = {}): Promise<CompactionReport> {
    this.#engine.assertOpen()
    return compactStore(this.#engine, options)
  }

  /**
   * Returns the audit entries, oldest first: every change of status, every checkpoint saved or restored, every recovery.
   * Entries outlive their task. They are kept for `auditRetention`, and up to `auditBytesMax`.
   */
  async audit(options: AuditOptions = {}): Promise<readonly AuditEntry[]> {
    return auditOf(this.#engine, options)
  }

  /**
   * Counts, sizes and service levels of the store. With options, also the service levels of a window of full hours, and whether
   * their targets hold. The cost does not depend on the number of settled tasks.
   * @throws TypeError for a window that ends before it begins, or before the oldest hour that is kept
   */
  stats(): Promise<Stats>
  stats(options: StatsOptions): Promise<StatsOverWindow>
  async stats(options?: StatsOptions): Promise<Stats> {
    this.#engine.assertOpen()
    return options === undefined ? readStats(this.#engine) : readStatsOver(this.#engine, options)
  }
}
