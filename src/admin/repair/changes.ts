/** The changes of a repair: what was found, and what became of it. Pure. */
import type { FindingCode } from '../verify/findings.js'

/** One change of a repair. */
export interface RepairChange {
  readonly code: FindingCode
  /** The key, or the name of the file, that is concerned. */
  readonly key: string
  /** Description of the damage. */
  readonly message: string
  /** Description of what the repair did. */
  readonly done: string
  /** True if content was lost. False if everything was made anew from other records. */
  readonly isLoss: boolean
}

/** Most changes that are kept one by one. All are counted. */
export const CHANGES_MAX = 1_000
/** Most tasks of a report that are kept by ID. All are counted. */
export const TASKS_MAX = 1_000

/** Result of the repair of a database. */
export interface RepairedDatabase {
  /** Number of the newest commit: that of the repair. */
  readonly commit: number
  /** The changes: the first 1,000, those with a loss before the others. */
  readonly changes: readonly RepairChange[]
  readonly counts: { readonly lost: number; readonly madeAnew: number }
  /** IDs of the tasks that were unfinished and have failed by the repair: the first 1,000. */
  readonly failedTaskIds: readonly string[]
  readonly failedTasks: number
  /** Number of records that were taken out of the store. They are in the lost-found file. */
  readonly lostFound: number
  /** Number of unfinished tasks. */
  readonly unfinished: number
  /** Reason for which the unfinished tasks wait for `recover()`; `undefined` if they do not. */
  readonly held: string | undefined
}

/** Collects changes. */
export class RepairChanges {
  readonly counts = { lost: 0, madeAnew: 0 }
  readonly failedTaskIds: string[] = []
  failedTasks = 0
  readonly #lost: RepairChange[] = []
  readonly #madeAnew: RepairChange[] = []

  add(change: RepairChange): void {
    this.counts[change.isLoss ? 'lost' : 'madeAnew']++
    const list = change.isLoss ? this.#lost : this.#madeAnew
    if (list.length < CHANGES_MAX) list.push(change)
  }

  addFailed(taskId: string): void {
    this.failedTasks++
    if (this.failedTaskIds.length < TASKS_MAX) this.failedTaskIds.push(taskId)
  }

  get list(): readonly RepairChange[] {
    return [...this.#lost, ...this.#madeAnew].slice(0, CHANGES_MAX)
  }
}
