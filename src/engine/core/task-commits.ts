/**
 * Commits the events of tasks: the decision on the newest head, its write, and then the committed head.
 *
 * - An event is decided on the head as the queued commits will leave it (commit-5).
 * - A commit that the store lost is decided again, on the head that was read back (commit-3, commit-7).
 * - A commit has no promise of its own. The store calls it at its end, and it calls its caller.
 */
import type { Clock } from '../../base/clock.js'
import type { CommitEnd, Fate } from '../../store/commit.js'
import type { Store } from '../../store/store.js'
import type { TaskDecision } from '../../task/changes.js'
import { isFenced, transition } from '../../task/decisions/transition.js'
import type { TaskEvent } from '../../task/task-event.js'
import type { CheckedOptions } from '../checks/open-options.js'
import type { ByteBudget } from '../scheduling/byte-budget.js'
import type { SettlingCommit } from '../state/commit-state.js'
import { recordStatus } from '../state/task-spans.js'
import type { SuspectTurns } from './collaborators.js'
import type { LiveTask } from './live-task.js'
import { noteQuestions } from './question-places.js'

/** Members of the engine that commits use. */
interface CommitHost {
  readonly clock: Clock
  readonly store: Pick<Store, 'queue' | 'connection'>
  readonly usage: ByteBudget
  readonly suspects: Pick<SuspectTurns, 'seen'>
  readonly options: Pick<CheckedOptions, 'telemetry'>
  readonly isClosed: boolean
  assertOpen(): void
}

/**
 * Functions for the end of a recorded event. For an event of the engine, neither is called if the store closes or is
 * lost first.
 */
export interface RecordEnd {
  /** Called when the decision is on disk. */
  onDisk(decision: TaskDecision): void
  /** Called if nothing was decided, the commit of a caller was refused, or `onDisk` threw. It must not throw. */
  failed(error: unknown): void
}

/**
 * Commits an event. One of the engine (`patient`) waits while the store is down, and is decided again if the store lost
 * its commit. One of a caller fails with `STORE_UNAVAILABLE` if the store is down or goes down.
 */
export function commitEvent(
  host: CommitHost,
  task: LiveTask,
  event: TaskEvent,
  patient: boolean,
  end: RecordEnd,
): void {
  new EventCommit(host, task, event, patient, end).begin()
}

/** An event on its way to the disk. It counts as a commit in flight until it has ended. */
class EventCommit implements CommitEnd {
  #decision: TaskDecision | undefined
  #settling: SettlingCommit | undefined
  #isInFlight = true

  constructor(
    private readonly host: CommitHost,
    private readonly task: LiveTask,
    private readonly event: TaskEvent,
    private readonly patient: boolean,
    private readonly end: RecordEnd,
  ) {}

  begin(): void {
    this.task.commits.beginWrite()
    this.#decide()
  }

  /** Decides and queues the commit, after what has to come first: the task itself, the store, a commit that settles the task. */
  #decide(): void {
    const { host, task, patient } = this
    const { childCreation } = task.commits
    const { connection } = host.store
    if (childCreation) {
      this.#decideAfter(childCreation)
      return
    }
    // A step ran longer than the grace of the close. Its commit never ends (commit-8). The next open continues the task.
    if (host.isClosed && patient) return
    if (patient && !connection.isUp) {
      this.#decideAfter(connection.up)
      return
    }
    try {
      // A caller is refused before the decision, because a decision cannot be taken back.
      if (host.isClosed) host.assertOpen()
      if (!patient) connection.assertUp()
      this.#queue()
    } catch (error) {
      // The task is settled in memory only. No caller may learn that before the commit, which may still be lost.
      const settling = isFenced(error) ? task.commits.settling : undefined
      if (settling) this.#decideAfter(settling)
      else this.refused(error)
    }
  }

  #decideAfter(earlier: Promise<void>): void {
    void earlier.then(() => this.#decide())
  }

  #queue(): void {
    const { host, task, event } = this
    const { commits, deferred } = task
    const decided = transition(task.head, event, host.clock.now())
    const decision = deferred?.joinedTo(decided) ?? decided
    // Queue first: if the decision cannot be encoded, the head must stay as it is for later decisions.
    host.store.queue(decision, this.patient, this)
    this.#decision = decision
    commits.decide(decision.head)
    deferred?.markQueued()
    host.usage.note(task)
    if (event.kind === 'settle') this.#settling = commits.beginSettling()
  }

  ended(fate: Fate): void {
    const decision = this.#decision as TaskDecision
    if (fate === 'lost') {
      this.#endSettling()
      this.#decide()
      return
    }
    try {
      this.#onDisk(decision)
      this.#endWrite()
      this.end.onDisk(decision)
    } catch (error) {
      this.#endWrite()
      this.end.failed(error)
    }
  }

  refused(error: unknown): void {
    this.#endWrite()
    this.end.failed(error)
  }

  #onDisk(decision: TaskDecision): void {
    const { host, task } = this
    const { telemetry } = host.options
    if (telemetry) recordStatus(telemetry, task, decision.head, host.clock.now())
    noteQuestions(task, decision)
    task.commits.land(decision.head)
    task.deferred?.landed(decision.head.nextRecord)
    host.suspects.seen(task)
  }

  /** The event is no longer in flight. A second call has no effect. */
  #endWrite(): void {
    this.#endSettling()
    if (!this.#isInFlight) return
    this.#isInFlight = false
    this.task.commits.endWrite()
  }

  #endSettling(): void {
    if (this.#settling) this.task.commits.endSettling(this.#settling)
    this.#settling = undefined
  }
}
