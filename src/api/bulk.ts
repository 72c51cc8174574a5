/**
 * Calls that act on many tasks: `cancelMany`, `retryMany`, `resumeMany`, `deleteMany`.
 *
 * - Tasks are listed a page at a time, and each is checked again when its turn comes. So two calls at once do no harm: the
 *     second finds that the action does not apply any more.
 * - A few tasks are acted on at once, so that they share commits, with a turn of the event loop after each few.
 * - While the store is down, nothing is done. The call ends, and its cursor is that of the page it was at.
 */
import { setImmediate as turn } from 'node:timers/promises'
import { type ErrorCode, HoldfastError } from '../base/errors.js'
import { checkFlag, checkOptionsOf, InvalidArgument, type Names } from '../base/expected.js'
import { checkLimit, checkReason, checkStatuses } from '../engine/checks/arguments.js'
import type { Engine } from '../engine/core/engine.js'
import { findTask } from '../engine/core/find-task.js'
import { cancelTask } from '../engine/lifecycle/cancel.js'
import { resumeTask } from '../engine/lifecycle/resume.js'
import { retryNow, waitsForAttempt } from '../engine/lifecycle/retry-now.js'
import { deleteSettled } from '../engine/retention/delete-settled.js'
import { readPendingRecordsOf } from '../store/reads.js'
import { isLive, isSettled, TASK_STATUSES, type TaskHead, type TaskStatus } from '../task/head.js'
import type { PendingRecord } from '../task/log/pending-record.js'
import { type ListOptions, listTasks } from './list.js'

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

/** Most tasks of one call. */
const LIMIT_MAX = 10_000
const TASKS_PER_PAGE = 200
// Tasks acted on at once. Their commits are written together.
const AT_ONCE = 16
const ERRORS_MAX = 20
// A page may be empty although there are more tasks, so their number is limited too.
const PAGES_MAX = 500

/** One action on a task. */
interface Action {
  /** Statuses of the tasks that the action may apply to. */
  readonly statuses: readonly TaskStatus[]
  /** True if the action applies to the task now. */
  readonly applies: (head: TaskHead, few: FewTasks) => boolean | Promise<boolean>
  readonly act: (head: TaskHead) => Promise<void>
}

const UNFINISHED = TASK_STATUSES.filter((status) => !isSettled(status))
const SETTLED = TASK_STATUSES.filter(isSettled)

/** Names of the actions. */
export type ActionName = 'cancelMany' | 'retryMany' | 'resumeMany' | 'deleteMany'

const MANY_OPTIONS: Names<ManyOptions> = {
  owner: true,
  status: true,
  type: true,
  parent: true,
  createdAfter: true,
  createdBefore: true,
  attributes: true,
  all: true,
  dryRun: true,
  limit: true,
  cursor: true,
}
const CANCEL_MANY_OPTIONS: Names<CancelManyOptions> = { ...MANY_OPTIONS, reason: true }

/**
 * Runs an action on every task that fits the filters, up to the limit. `by` is the name for the audit.
 * @throws TypeError; HoldfastError `INVALID_CURSOR`
 */
export async function actOnMany(
  engine: Engine,
  call: ActionName,
  options: CancelManyOptions,
  by = options.owner ?? 'admin',
): Promise<ManyResult> {
  engine.assertOpen()
  checkOptionsOf(call, options, call === 'cancelMany' ? CANCEL_MANY_OPTIONS : MANY_OPTIONS)
  const { all = false, dryRun = false, limit = LIMIT_MAX, reason, cursor, ...filters } = options
  checkFlag('all', all)
  checkFlag('dryRun', dryRun)
  checkLimit(limit, LIMIT_MAX)
  if (reason !== undefined) checkReason(reason)
  if (!all && Object.values(filters).every((value) => value === undefined)) {
    throw new InvalidArgument(`Expected a filter of \`${call}\`, or \`all: true\` to act on every task`)
  }
  const action = actionOf(engine, call, by, reason)
  const given = filters.status === undefined ? action.statuses : checkStatuses(filters.status)
  const tally = new ManyTally(dryRun)
  // A call names the statuses that its action may apply to, so that other tasks are not read.
  const status = given.filter((one) => action.statuses.includes(one))
  if (status.length === 0) return tally.result(undefined)
  let next = cursor
  for (let pages = 0, left = limit; pages < PAGES_MAX && left > 0; pages++) {
    const at = next
    const page = await listTasks(engine, { ...filters, status, limit: Math.min(TASKS_PER_PAGE, left), cursor: at })
    for (let from = 0; from < page.tasks.length; from += AT_ONCE) {
      const taskIds = page.tasks.slice(from, from + AT_ONCE).map(({ taskId }) => taskId)
      const few = new FewTasks(engine, taskIds)
      await Promise.all(
        taskIds.map((taskId) => tally.count(taskId, () => actOnOne(engine, taskId, few, filters, action, dryRun))),
      )
      if (tally.isDown) return tally.result(at)
      await turn()
    }
    left -= page.tasks.length
    next = page.cursor
    if (next === undefined) break
  }
  return tally.result(next)
}

/** Tasks that are acted on at once. */
class FewTasks {
  #pending: Promise<ReadonlyMap<string, readonly PendingRecord[]>> | undefined

  constructor(
    private readonly engine: Engine,
    private readonly taskIds: readonly string[],
  ) {}

  /** Reads the pending records of one of the tasks. Those of all are read together, at the first call. */
  async readPending(taskId: string): Promise<readonly PendingRecord[]> {
    this.#pending ??= this.#readAll()
    // The damaged record of one task fails the read of all. Each is read alone then, so that the others succeed.
    const all = await this.#pending.catch(() => this.#read([taskId]))
    return all.get(taskId) ?? []
  }

  #readAll(): Promise<ReadonlyMap<string, readonly PendingRecord[]>> {
    const { tasks } = this.engine
    return this.#read(this.taskIds.filter((taskId) => tasks.get(taskId)?.head.hasStepStates))
  }

  async #read(taskIds: readonly string[]): Promise<ReadonlyMap<string, readonly PendingRecord[]>> {
    const records = await this.engine.store.read((level) => readPendingRecordsOf(level, taskIds))
    return new Map(taskIds.map((taskId, at) => [taskId, records[at] ?? []]))
  }
}

type Outcome = keyof ManyResult['counts']

async function actOnOne(
  engine: Engine,
  taskId: string,
  few: FewTasks,
  { owner, status, type }: ListOptions,
  { applies, act }: Action,
  dryRun: boolean,
): Promise<Outcome> {
  const head = await findTask(engine, taskId, owner)
  // Parent, type and time of creation never change.
  const fits = status === undefined || checkStatuses(status).includes(head.status)
  if (!fits || (type !== undefined && head.type !== type)) return 'changed'
  if (!(await applies(head, few))) return 'notApplicable'
  if (!dryRun) await act(head)
  return 'done'
}

function actionOf(engine: Engine, call: ActionName, by: string, reason: string | undefined): Action {
  const live = (head: TaskHead) => engine.tasks.get(head.taskId)
  const owner = by === 'admin' ? undefined : by
  const withTask = (run: (task: NonNullable<ReturnType<typeof live>>) => Promise<void>) => async (head: TaskHead) => {
    const task = live(head)
    if (task) await run(task)
  }
  switch (call) {
    case 'cancelMany':
      return {
        statuses: UNFINISHED,
        applies: (head) => !isSettled(head.status) && live(head)?.settlement.isAnnounced === false,
        act: withTask((task) => cancelTask(engine, task, { owner, reason })),
      }
    case 'retryMany':
      return {
        statuses: UNFINISHED,
        applies: async (head, few) => {
          const task = live(head)
          if (!task || isSettled(task.head.status)) return false
          return waitsForAttempt(engine, task, () => few.readPending(task.taskId))
        },
        act: withTask((task) => retryNow(engine, task, by)),
      }
    case 'resumeMany':
      return {
        statuses: UNFINISHED,
        applies: (head) => head.parked !== undefined && live(head)?.recovery.isRetrying === false,
        act: withTask((task) => resumeTask(engine, task, by)),
      }
    case 'deleteMany':
      return {
        statuses: SETTLED,
        applies: (head) => !isLive(head) && !live(head),
        act: (head) => deleteSettled(engine, head, by),
      }
  }
}

const OUTCOMES: Readonly<Partial<Record<ErrorCode, Outcome>>> = {
  TASK_NOT_FOUND: 'changed',
  TASK_SETTLED: 'notApplicable',
  NOT_SETTLED: 'notApplicable',
  NOT_PARKED: 'notApplicable',
  NO_NEXT_ATTEMPT: 'notApplicable',
  TASK_PARKED: 'notApplicable',
}
const DOWN: ReadonlySet<ErrorCode> = new Set(['STORE_UNAVAILABLE', 'STORE_LOST', 'CLOSED'])

/** Counts outcomes and errors. */
class ManyTally {
  readonly #counts = { done: 0, notApplicable: 0, changed: 0, failed: 0 }
  readonly #failedBy: Partial<Record<ErrorCode, number>> = {}
  readonly #errors: ManyResult['errors'][number][] = []
  isDown = false

  constructor(private readonly dryRun: boolean) {}

  async count(taskId: string, act: () => Promise<Outcome>): Promise<void> {
    try {
      this.#counts[await act()]++
    } catch (error) {
      if (!(error instanceof HoldfastError)) throw error
      const { code, message } = error
      const outcome = OUTCOMES[code] ?? 'failed'
      this.#counts[outcome]++
      if (DOWN.has(code)) this.isDown = true
      if (outcome !== 'failed') return
      this.#failedBy[code] = (this.#failedBy[code] ?? 0) + 1
      if (this.#errors.length < ERRORS_MAX) this.#errors.push({ taskId, code, message })
    }
  }

  result(cursor: string | undefined): ManyResult {
    return { dryRun: this.dryRun, counts: this.#counts, failedBy: this.#failedBy, errors: this.#errors, cursor }
  }
}
