/**
 * The heads of a task in memory, and its commits: the one that creates the task, the one that settles it, those in
 * flight, and the deferred records.
 *
 * - The decided head is the head as the queued commits and the deferred records will leave it. Decisions are made on this
 *     head (commit-5). Callers see the committed head (commit-2).
 * - While the commit that creates a child is in flight, no other event of the child is decided: a commit written before
 *     it would be overwritten by it.
 * - While a commit that settles the task is in flight, no caller may learn that the task is settled.
 */
import { type Deferred, deferred } from '../../base/promises.js'
import { compactHead } from '../../task/compact-head.js'
import type { TaskHead } from '../../task/head.js'
import type { Admitted } from '../scheduling/admission.js'
import { illegal } from './illegal.js'

/** The way a task came into memory. */
export type TaskOrigin =
  /** Found on disk at open. */
  | { readonly kind: 'found' }
  /** Started by a caller. Admission gave it a slot and places, which are given back if the commit is not on disk. */
  | { readonly kind: 'start'; readonly admitted: Admitted }
  /** Started by its parent, which waits for the commit as long as the store is down. */
  | { readonly kind: 'child' }

type Creation =
  | { readonly kind: 'written' }
  | { readonly kind: 'start'; readonly admitted: Admitted }
  | { readonly kind: 'child'; readonly over: Deferred<void> }

const WRITTEN: Creation = { kind: 'written' }

/** A commit that settles a task, until it has ended. It has a promise only if something waits for it. */
export class SettlingCommit {
  #over: Deferred<void> | undefined

  /** Resolves when the commit has ended. */
  get over(): Promise<void> {
    this.#over ??= deferred()
    return this.#over.promise
  }

  end(): void {
    this.#over?.resolve()
  }
}

/** A task whose counts depend on its committed head. */
interface CountedTask {
  /** Counts the task again, after a change. */
  recount(): void
}

export class CommitState<Records> {
  #head: TaskHead
  #committed: TaskHead | undefined
  #creation: Creation
  #settling: SettlingCommit | undefined
  #deferred: Records | undefined
  #inFlight = 0
  #noneInFlight: Deferred<void> | undefined

  constructor(
    private readonly task: CountedTask,
    head: TaskHead,
    origin: TaskOrigin,
  ) {
    this.#head = head
    this.#committed = origin.kind === 'found' ? head : undefined
    this.#creation =
      origin.kind === 'found' ? WRITTEN : origin.kind === 'child' ? { kind: 'child', over: deferred() } : origin
  }

  /** The head as the queued commits and the deferred records will leave it. */
  get head(): TaskHead {
    return this.#head
  }

  /** The head on disk. `undefined` until the first commit. */
  get committed(): TaskHead | undefined {
    return this.#committed
  }

  /** The slot and the places that admission gave to the task, until its start is on disk. */
  get admitted(): Admitted | undefined {
    return this.#creation.kind === 'start' ? this.#creation.admitted : undefined
  }

  /** Resolves when the commit that creates the child has ended. Set while it is in flight. */
  get childCreation(): Promise<void> | undefined {
    return this.#creation.kind === 'child' ? this.#creation.over.promise : undefined
  }

  /** True while a commit that settles the task is in flight. */
  get isSettling(): boolean {
    return this.#settling !== undefined
  }

  /** Resolves when the commit that settles the task has ended. Set while it is in flight. */
  get settling(): Promise<void> | undefined {
    return this.#settling?.over
  }

  /** Records that the body received and that are not on disk yet. `undefined` if there are none. */
  get deferred(): Records | undefined {
    return this.#deferred
  }

  /** Sets the decided head, after a decision whose commit is queued, or whose record is deferred. */
  decide(head: TaskHead): void {
    if (this.#creation.kind === 'child') throw illegal('decide', 'child that is being created')
    this.#head = head
  }

  /** Notes that a commit with this head is on disk. */
  land(head: TaskHead): void {
    this.#committed = head
    this.task.recount()
  }

  /** Resets both heads to the head on disk, after an outage. */
  reset(head: TaskHead): void {
    this.#head = head
    this.land(head)
  }

  /** Keeps the head in fewer bytes, of a task that sleeps from now on. */
  compact(): void {
    if (this.#head !== this.#committed) return
    this.#head = compactHead(this.#head)
    this.#committed = this.#head
  }

  /** Notes that the commit that creates the task has ended. */
  endCreation(): void {
    const creation = this.#creation
    if (creation.kind === 'written') throw illegal('end the creation', 'written')
    this.#creation = WRITTEN
    if (creation.kind === 'child') creation.over.resolve()
  }

  /** Notes that a commit that settles the task is queued. An earlier one may have been lost and not have ended yet. */
  beginSettling(): SettlingCommit {
    const settling = new SettlingCommit()
    this.#settling = settling
    return settling
  }

  /** Notes that this commit has ended. */
  endSettling(settling: SettlingCommit): void {
    if (this.#settling === settling) this.#settling = undefined
    settling.end()
  }

  /** Keeps the deferred records of the task. */
  defer(records: Records): void {
    if (this.#deferred) throw illegal('defer', 'deferring')
    this.#deferred = records
  }

  /** Notes that none of these records is left. */
  endDeferring(records: Records): void {
    if (this.#deferred === records) this.#deferred = undefined
  }

  /** Counts a commit until `endWrite`. */
  beginWrite(): void {
    this.#inFlight++
  }

  endWrite(): void {
    if (this.#inFlight === 0) throw illegal('end a commit', 'none in flight')
    if (--this.#inFlight > 0) return
    this.#noneInFlight?.resolve()
    this.#noneInFlight = undefined
  }

  /** Resolves when all commits of the task are written or refused. Deferred records without a commit do not count. */
  async allWritten(): Promise<void> {
    while (this.#inFlight > 0) {
      this.#noneInFlight ??= deferred()
      await this.#noneInFlight.promise
    }
  }
}
