/**
 * Decides whether a new task may come in, and whether it takes a slot or a place in the queue.
 *
 * - A decision is made in one go, without waiting, and what it gives away is gone for the next one at once (commit-5).
 *     So a thousand starts at a time never overshoot a limit. Only the owner's window of starts is read before, if it
 *     has to be.
 * - A start that fails gives back what it was given, all of it, once.
 * - A refusal names the limit and its state, and for a rate the instant from which a start is accepted again. For the
 *     other limits nothing is known about that instant, so the refusal says that unfinished tasks have to settle first.
 * - A child was let in with its parent, so the owner's rate neither counts nor refuses it; every other limit does.
 */
import type { Clock } from '../../base/clock.js'
import { HoldfastError } from '../../base/errors.js'
import type { Events } from '../../base/events.js'
import { readOwnerStarts } from '../../store/reads.js'
import type { Store } from '../../store/store.js'
import type { Limits } from '../checks/limits.js'
import type { Rate } from '../checks/open-options.js'
import type { ReadStarts } from './rate-limit.js'
import { Rates, type RateWindow } from './rate-windows.js'
import type { Scheduler } from './scheduler.js'

/** Who wants to come in. */
export interface Newcomer {
  readonly owner?: string | undefined
  readonly type: string
  /** A `session` task has no body, and so needs no slot. */
  readonly kind: 'body' | 'session'
  /** A child's. */
  readonly parentId?: string | undefined
  /** When its time is over, if it has a deadline. */
  readonly deadlineAt?: number | undefined
  /** Limits of a client's tasks, where a protocol binding starts it. */
  readonly quota?: Quota | undefined
}

/** Limits of what one client may start, beside the store's own. The stricter one holds. */
export interface Quota {
  /** The client, where several share an owner; `undefined` where the owner is the client. Counted in memory only. */
  readonly account: string | undefined
  readonly liveTasksPerOwnerMax: number
  /** Among them. */
  readonly sessionTasksPerOwnerMax: number
  readonly ratePerOwner: Rate
}

/** What a newcomer was given. */
export interface Admitted {
  /** It has a slot, which is its to release; else it has a place in the queue, kept for it until `queued`. */
  readonly startNow: boolean
  /** Its time is over already. So it never runs, and has neither a slot nor a place in the queue. */
  readonly isLate: boolean
  /** What the task is counted under while it is live, beside its owner. */
  readonly account: string | undefined
  /** It stands in the queue by now, so its place need not be kept any more. */
  queued(): void
  /** It did not come to be. `unknown`: it may have, so it counts as started until that is known. */
  giveBack(options: { unknown: boolean }): void
}

/** The unfinished tasks, as far as they are counted. */
interface CountedTasks {
  readonly size: number
  countOf(owner: string): number
  countsOf(owner: string | undefined, account: string | undefined): { readonly all: number; readonly sessions: number }
}

/** What the limits are held against. */
export interface AdmissionParts {
  readonly clock: Clock
  readonly events: Events
  readonly store: Store
  readonly limits: Limits
  readonly tasks: CountedTasks
  readonly scheduler: Scheduler
  readonly ratePerOwner: Rate | undefined
}

export class Admission {
  readonly #rates: Rates
  /** Places in the queue that are given away, to tasks that are still being written. */
  #kept = 0

  constructor(private readonly parts: AdmissionParts) {
    const { clock, store, ratePerOwner } = parts
    const read: ReadStarts = (owner, query) => store.read((level) => readOwnerStarts(level, owner, query))
    this.#rates = new Rates(ratePerOwner, read, clock.now())
  }

  /** To be awaited before `admit`: reads what the decision needs. @throws HoldfastError `STORE_UNAVAILABLE` */
  async ready(newcomer: Newcomer): Promise<void> {
    await this.#rates.load(newcomer, this.parts.clock.now())
  }

  /**
   * Lets a newcomer in. Between this and the moment it is among the live tasks nothing may be awaited.
   * @throws HoldfastError `LIMIT_EXCEEDED`; then nothing was given away
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

    // Decided. From here on nothing is refused.
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

/** @throws HoldfastError `LIMIT_EXCEEDED` with the instant from which on there is room */
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
