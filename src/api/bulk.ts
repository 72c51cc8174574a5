/** The options and the answer of calls that act on many tasks: `cancelMany`, `retryMany`, `resumeMany`, `deleteMany`. */
import type { ErrorCode } from '../base/errors.js'
import type { ListOptions } from './list.js'

/** The filters of a call on many tasks: those of `list`. */
export interface ManyOptions extends Omit<ListOptions, 'order' | 'limit' | 'cursor'> {
  /**
   * True to act on the tasks of every owner, type, status and time. Required if there is no filter, so that a filter that
   * is `undefined` by mistake does not reach every task.
   * @default false
   */
  readonly all?: boolean | undefined
  /**
   * True to count what the call would do, without doing it.
   * @default false
   */
  readonly dryRun?: boolean | undefined
  /**
   * Number of tasks that fit the filters at most, from 1 to 10,000.
   * @default 10,000
   */
  readonly limit?: number | undefined
  /**
   * The `cursor` of the call before. The filters have to be as they were for that call.
   * @default the oldest task
   */
  readonly cursor?: string | undefined
}

/** The options of `cancelMany`. */
export interface CancelManyOptions extends ManyOptions {
  /** Reason, in at most 2,000 bytes. It is shown to callers that wait for a result. */
  readonly reason?: string | undefined
}

/** Result of a call on many tasks. */
export interface ManyResult {
  readonly dryRun: boolean
  /** Tasks by outcome. The sum is the number of tasks that fitted the filters when they were listed. */
  readonly counts: {
    /** The action was done. With `dryRun`: it would be. */
    readonly done: number
    /**
     * The action does not apply to the task: `cancelMany` to a settled one, `deleteMany` to an unfinished one,
     * `resumeMany` to one that is not parked, `retryMany` to one that waits for no attempt.
     */
    readonly notApplicable: number
    /** The task did not fit the filters any more, or was deleted, when its turn came. */
    readonly changed: number
    /** The action failed. */
    readonly failed: number
  }
  /** The failed tasks by error code. */
  readonly failedBy: Readonly<Partial<Record<ErrorCode, number>>>
  /** The first 20 errors. */
  readonly errors: readonly { readonly taskId: string; readonly code: ErrorCode; readonly message: string }[]
  /** Cursor of the next call; `undefined` if every task that fits was looked at. */
  readonly cursor: string | undefined
}
