/**
 * Decides if a new task is admitted, and if it gets a slot or a place in the queue.
 *
 * - A decision is synchronous, and its slots and places are taken at once for later decisions (commit-5). So a thousand
 *     starts at a time never exceed a limit. Only the starts of the owner may be read before.
 * - A start that fails gives back everything that it was given, once.
 * - A refusal names the limit and its current value. For a rate, it has the instant from which a start is accepted
 *     again. For other limits that instant is not known, so the message names the tasks that have to end first.
 * - A child was admitted with its parent, so the rate of the owner neither counts nor refuses it. All other limits
 *     apply.
 */
import type { Clock } from '../../base/clock.js'
import { HoldfastError } from '../../base/errors.js'
import type { Events } from '../../base/events.js'
import type { Store } from '../../store/store.js'
import type { Limits } from '../checks/limits.js'
import type { Rate } from '../checks/open-options.js'
import { startsReader, type TasksOfOwners } from './owner-starts.js'
import { Rates, type RateWindow } from './rate-windows.js'
import type { Scheduler } from './scheduler.js'
import { Semaphore } from './semaphore.js'

/** A new task, as far as its admission depends on it. */
export interface Newcomer {
  readonly owner?: string | undefined
  readonly type: string
  /** Kind of the task. A `session` task has no body, and so needs no slot. */
  readonly kind: 'body' | 'session'
  /** ID of the parent, if the task is a child. */
  readonly parentId?: string | undefined
  /** Deadline of the task, if it has one. */
  readonly deadlineAt?: number | undefined
  /** Limits of the client that a protocol binding starts the task for. */
  readonly quota?: Quota | undefined
}

/** Limits for the starts of one client, in addition to those of the store. The stricter limit applies. */
export interface Quota {
  /** The client, if several clients share an owner. `undefined` if the owner is the client. Counted in memory only. */
  readonly account: string | undefined
  readonly liveTasksPerOwnerMax: number
  /** Limit for the session tasks among them. */
  readonly sessionTasksPerOwnerMax: number
  readonly ratePerOwner: Rate
}

/** The slot or place that a new task was given. */
export interface Admitted {
  /** True if the task has a slot, or needs none. Otherwise a place in the queue is kept for it until `queued`. */
  readonly startNow: boolean
  /**
   * True if the deadline has passed already. The task then never runs, and has neither a slot nor a place in the queue.
   */
  readonly isLate: boolean
  /** Account under which the live task counts, in addition to its owner. */
  readonly account: string | undefined
  /** Stops keeping the place, because the task is in the queue. */
  queued(): void
  /**
   * Gives everything back, because the task was not created. `unknown`: it may be on disk, so it still counts as
   * started.
   */
  giveBack(options: { unknown: boolean }): void
}

/** Counts of the unfinished tasks. */
interface CountedTasks extends TasksOfOwners {
  readonly size: number
  countOf(owner: string): number
  countsOf(owner: string | undefined, account: string | undefined): { readonly all: number; readonly sessions: number }
}

/** Parts of the engine that the limits are checked against. */
export interface AdmissionParts {
  readonly clock: Clock
  readonly events: Events
  readonly store: Store
  readonly limits: Limits
  readonly tasks: CountedTasks
  readonly scheduler: Scheduler
  readonly ratePerOwner: Rate | undefined
}

/**
 * Most starts that are written at once, about four batches. Further ones wait before they are decided. Without this, each of
 * a burst would have its records in memory until all before it are written: with 500 at once, a server with 100,000
 * tasks had twice the memory.
 */
export const CREATIONS_MAX = 100

export class Admission {
  /** Places of the starts that are decided and written. */
  readonly creations = new Semaphore(CREATIONS_MAX)
  readonly #rates: Rates
  /** Number of places in the queue that are kept for tasks whose commits are being written. */
  #kept = 0

  constructor(private readonly parts: AdmissionParts) {
    const { clock, store, tasks, ratePerOwner } = parts
    this.#rates = new Rates(ratePerOwner, startsReader(store, tasks), clock.now())
  }

  /**
   * Reads the starts of the owner that the decision needs. Await it before `admit`. `undefined` if there is nothing to
   * read. @throws HoldfastError `STORE_UNAVAILABLE`
   */
  ready(newcomer: Newcomer): Promise<unknown> | undefined {
    return this.#rates.load(newcomer, this.parts.clock.now())
  }

  /**
   * Admits a new task. The caller adds the task to the live tasks without an `await` in between.
   * @throws HoldfastError `LIMIT_EXCEEDED`. Nothing was taken then
   */
  admit(newcomer: Newcomer): Admitted {
    const { scheduler, clock } = this.parts
    const { kind, quota, deadlineAt } = newcomer
    const now = clock.now()
    const isLate = deadlineAt !== undefined && deadlineAt <= now
    this.#checkLive(newcomer)
    const windows = this.#rates.windowsOf(newcomer)
    for (const window of windows) if (window.isHeld) checkRate(window, now)
    const needsSlot = kind === 'body' && !isLate
    const hasSlot = needsSlot && scheduler.tryTake(newcomer)
    const queues = needsSlot && !hasSlot
    if (queues) this.#checkQueue()

    // Admitted. No check below this line.
    for (const { rates, name } of windows) rates.take(name, now)
    if (queues) this.#kept++
    const queued = once(() => {
      if (queues) this.#kept--
    })
    const leaveSlot = once(() => {
      if (hasSlot) scheduler.release(newcomer)
    })
    const giveBackStart = once(() => {
      for (const { rates, name } of windows) rates.giveBack(name, now)
    })
    return {
      startNow: hasSlot || kind === 'session',
      isLate,
      account: quota?.account,
      queued,
      giveBack({ unknown }) {
        queued()
        leaveSlot()
        if (!unknown) giveBackStart()
      },
    }
  }

  #checkLive(newcomer: Newcomer): void {
    const { tasks, limits } = this.parts
    const { owner, quota } = newcomer
    if (tasks.size >= limits.liveTasksMax) {
      throw exceeded('liveTasksMax', {
        said: `There are ${tasks.size} unfinished tasks`,
        value: tasks.size,
        max: limits.liveTasksMax,
      })
    }
    if (owner === undefined) return
    const count = tasks.countOf(owner)
    const max = limits.liveTasksPerOwnerMax
    if (count >= max) throw tooMany('liveTasksPerOwnerMax', { owner, count, max, what: 'unfinished tasks' })
    if (quota) this.#checkQuota(newcomer, quota)
  }

  #checkQuota({ owner, kind }: Newcomer, { account, ...max }: Quota): void {
    const { all, sessions } = this.parts.tasks.countsOf(owner, account)
    const about = { owner: account === undefined ? owner : undefined }
    if (all >= max.liveTasksPerOwnerMax) {
      const figures = { ...about, count: all, max: max.liveTasksPerOwnerMax, what: 'unfinished tasks' }
      throw tooMany('liveTasksPerOwnerMax', figures)
    }
    if (kind === 'session' && sessions >= max.sessionTasksPerOwnerMax) {
      const figures = { ...about, count: sessions, max: max.sessionTasksPerOwnerMax, what: 'unfinished session tasks' }
      throw tooMany('sessionTasksPerOwnerMax', figures)
    }
  }

  #checkQueue(): void {
    const { limits, scheduler } = this.parts
    const length = scheduler.waiting + this.#kept
    if (length < limits.queueLengthMax) return
    throw exceeded('queueLengthMax', {
      said: `${length} tasks wait for a slot`,
      value: length,
      max: limits.queueLengthMax,
    })
  }
}

/**
 * Checks a window of starts.
 * @throws HoldfastError `LIMIT_EXCEEDED` with the instant from which a start is accepted again
 */
function checkRate({ rates, name, rate, owner }: RateWindow, now: number): void {
  const retryAt = rates.nextAt(name, now)
  if (retryAt <= now) return
  const { starts: max, perMs } = rate
  const value = rates.countOf(name)
  const who = owner === undefined ? 'The client' : `Owner '${owner}'`
  const said = `${who} has started ${value} tasks within ${perMs} ms`
  const at = new Date(Math.min(retryAt, INSTANT_MS_MAX)).toISOString()
  throw new HoldfastError(
    'LIMIT_EXCEEDED',
    `${said}; the limit is ${max} (option \`ratePerOwner\`). Start again at ${at}.`,
    {
      details: {
        limit: 'ratePerOwner',
        option: 'ratePerOwner',
        value,
        max,
        perMs,
        owner,
        retryAt,
        retryAfterMs: retryAt - now,
      },
    },
  )
}

function once(act: () => void): () => void {
  let isDone = false
  return () => {
    if (isDone) return
    isDone = true
    act()
  }
}

function tooMany(
  limit: 'liveTasksPerOwnerMax' | 'sessionTasksPerOwnerMax',
  { owner, count, max, what }: { owner?: string | undefined; count: number; max: number; what: string },
): HoldfastError {
  const said = `${owner === undefined ? 'The client' : `Owner '${owner}'`} has ${count} ${what}`
  return exceeded(limit, { said, value: count, max, owner })
}

function exceeded(
  limit: 'liveTasksMax' | 'liveTasksPerOwnerMax' | 'sessionTasksPerOwnerMax' | 'queueLengthMax',
  { said, ...figures }: { said: string; value: number; max: number; owner?: string | undefined },
): HoldfastError {
  const option = `limits.${limit}`
  const next = limit === 'queueLengthMax' ? 'some of them have begun to run' : 'some of them have settled'
  return new HoldfastError(
    'LIMIT_EXCEEDED',
    `${said}; the limit is ${figures.max} (option \`${option}\`). Start again once ${next}.`,
    { details: { limit, option, ...figures } },
  )
}

// The last instant that `Date` can show.
const INSTANT_MS_MAX = 8.64e15
