/**
 * Commits the events of tasks: the decision on the newest head, its write, and then the committed head.
 *
 * - An event is decided on the head as the queued commits will leave it (commit-5).
 * - A commit that the store lost is decided again, on the head that was read back (commit-3, commit-7).
 */
import type { Clock } from '../../base/clock.js'
import type { Fate } from '../../store/commit.js'
import type { Store } from '../../store/store.js'
import type { TaskDecision } from '../../task/changes.js'
import { isFenced, transition } from '../../task/decisions/transition.js'
import type { TaskEvent } from '../../task/task-event.js'
import type { ByteBudget } from '../scheduling/byte-budget.js'
import type { SuspectTurns } from './collaborators.js'
import type { LiveTask } from './live-task.js'
import { noteQuestions } from './question-places.js'

/** Members of the engine that commits use. */
interface CommitHost {
  readonly clock: Clock
  readonly store: Pick<Store, 'commit' | 'connection'>
  readonly usage: ByteBudget
  readonly suspects: Pick<SuspectTurns, 'seen'>
  readonly isClosed: boolean
  assertOpen(): void
}

const PATIENT = { patient: true } as const

export class TaskCommits {
  constructor(private readonly host: CommitHost) {}

  /** Commits an event of the engine. Waits while the store is down, and decides again if the store lost the commit. */
  record(task: LiveTask, event: TaskEvent): Promise<TaskDecision> {
    return this.#recordAtOnce(task, event) ?? track(task, this.commit(task, event, true))
  }

  /** Commits an event for a caller. Rejects with `STORE_UNAVAILABLE` if the store is down or goes down. */
  recordForCaller(task: LiveTask, event: TaskEvent): Promise<TaskDecision> {
    return track(task, this.commit(task, event, false))
  }

  /** Commits an event, and waits for what has to come first: the task itself, the store, a commit that settles the task. */
  async commit(task: LiveTask, event: TaskEvent, patient: boolean): Promise<TaskDecision> {
    const { host } = this
    for (;;) {
      if (task.commits.childCreation) await task.commits.childCreation
      // A step ran longer than the grace of the close. Its commit never resolves (commit-8). The next open continues
      // the task.
      if (host.isClosed && patient) return new Promise<never>(() => {})
      if (host.isClosed) host.assertOpen()
      const { connection } = host.store
      // A caller is refused before the decision, because a decision cannot be taken back.
      if (!patient) connection.assertUp()
      else if (!connection.isUp) await connection.up
      let decided: { decision: TaskDecision; writing: Promise<Fate> }
      try {
        decided = this.#decide(task, event, { patient })
      } catch (error) {
        // The task is settled in memory only. No caller may learn that before the commit, which may still be lost.
        const { settling } = task.commits
        if (!settling || !isFenced(error)) throw error
        await settling
        continue
      }
      const endSettling = event.kind === 'settle' ? task.commits.beginSettling() : undefined
      try {
        if ((await decided.writing) === 'lost') continue
        this.#onDisk(task, decided.decision)
        return decided.decision
      } finally {
        endSettling?.()
      }
    }
  }

  /** Commits an event of the engine with two promises. `undefined` if the commit settles the task, or has to wait first. */
  #recordAtOnce(task: LiveTask, event: TaskEvent): Promise<TaskDecision> | undefined {
    const { host } = this
    const { commits } = task
    if (event.kind === 'settle' || commits.settling || commits.childCreation) return undefined
    if (host.isClosed || !host.store.connection.isUp) return undefined
    try {
      const { decision, writing } = this.#decide(task, event, PATIENT)
      commits.beginWrite()
      return writing.then(
        (fate) => {
          commits.endWrite()
          if (fate === 'lost') return this.record(task, event)
          this.#onDisk(task, decision)
          return decision
        },
        (error: unknown) => {
          commits.endWrite()
          throw error
        },
      )
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /** Decides an event and queues its commit. */
  #decide(task: LiveTask, event: TaskEvent, options: { patient: boolean }) {
    const { host } = this
    const decided = transition(task.head, event, host.clock.now())
    const decision = task.deferred?.joinedTo(decided) ?? decided
    // Queue first: if the decision cannot be encoded, the head must stay as it is for later decisions.
    const writing = host.store.commit(decision, options)
    task.commits.decide(decision.head)
    task.deferred?.markQueued()
    host.usage.note(task)
    return { decision, writing }
  }

  #onDisk(task: LiveTask, decision: TaskDecision): void {
    noteQuestions(task, decision)
    task.commits.land(decision.head)
    task.deferred?.landed(decision.head.nextRecord)
    this.host.suspects.seen(task)
  }
}

/** Counts a commit as in flight until it has ended. */
function track<T>({ commits }: LiveTask, commit: Promise<T>): Promise<T> {
  const over = () => commits.endWrite()
  commits.beginWrite()
  commit.then(over, over)
  return commit
}
