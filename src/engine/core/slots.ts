/**
 * Takes and releases the slots of tasks in memory. Each slot in use belongs to a start that is being written
 * (admission.ts), or to a task in memory that is `running` (slot-state.ts).
 */
import type { Clock } from '../../base/clock.js'
import { deferred } from '../../base/promises.js'
import { spanTaskOf, type Telemetry } from '../../task/telemetry.js'
import type { CheckedOptions } from '../checks/open-options.js'
import type { IdleRun, LoadedRuns } from '../scheduling/loaded-runs.js'
import type { Scheduler } from '../scheduling/scheduler.js'
import type { ActiveRun } from '../state/slot-state.js'
import type { SuspectTurns } from './collaborators.js'
import type { LiveTask } from './live-task.js'

/** Members of the engine that `Slots` uses. */
interface SlotsHost {
  readonly clock: Clock
  readonly scheduler: Scheduler
  readonly loaded: LoadedRuns
  readonly suspects: Pick<SuspectTurns, 'waits'>
  readonly options: Pick<CheckedOptions, 'telemetry'>
  /** Runs the body of a task that holds a slot. */
  begin(task: LiveTask): void
}

type WaitingRun = Pick<ActiveRun, 'waits'>

export class Slots {
  constructor(private readonly engine: SlotsHost) {}

  /**
   * Queues a task whose run should begin. Its waiting time counts from its creation, or from the end of its last wait.
   */
  queue(task: LiveTask): void {
    const { scheduler, clock } = this.engine
    const { taskId, owner, type, priority, wakeAt, createdAt } = task.head
    // The wake time of a task that news woke may be in the future.
    const since = wakeAt === undefined ? createdAt : Math.min(wakeAt, clock.now())
    task.slot.queue()
    const { telemetry } = this.engine.options
    const begin = telemetry ? this.#timed(telemetry, task) : () => this.engine.begin(task)
    scheduler.enqueue({ taskId, owner, type, priority, since }, begin)
  }

  /** Makes a function that begins the run, and records the time that it waited for its slot. */
  #timed(telemetry: Telemetry, task: LiveTask): () => void {
    const { clock } = this.engine
    const queuedAt = clock.now()
    return () => {
      const ms = Math.max(0, clock.now() - queuedAt)
      telemetry.record({ kind: 'queued', task: spanTaskOf(task.head), ms })
      this.engine.begin(task)
    }
  }

  /** Removes a settled task from the queue. */
  leaveQueue({ taskId, slot }: LiveTask): void {
    slot.leaveQueue()
    this.engine.scheduler.remove(taskId)
  }

  /** Releases the slot of a task whose run only waits, at most until `endsAt`. */
  rest(task: LiveTask, run: WaitingRun, endsAt: number): void {
    const { slot, head } = task
    const idle = newIdleRun(run, endsAt)
    this.#removeIdle(slot.idleRun)
    const hadSlot = slot.rest(idle)
    this.engine.loaded.addIdle(idle)
    if (!hadSlot) return
    this.engine.suspects.waits(task)
    this.engine.scheduler.rest(head)
  }

  /**
   * Queues a run for a slot after its wait. Resolves when it has one. If the run has ended by then, the slot is
   * released.
   */
  wake({ slot, head }: LiveTask, run: WaitingRun): Promise<void> {
    if (slot.kind === 'running') return Promise.resolve()
    if (slot.awaited) return slot.awaited
    const { scheduler, loaded, clock } = this.engine
    const { taskId, owner, type, priority } = head
    const since = clock.now()
    const { promise, resolve } = deferred()
    const idle = newIdleRun(run, since)
    this.#removeIdle(slot.idleRun)
    // Before the task is queued, because the scheduler may give the slot at once.
    slot.wake(idle, promise)
    loaded.addIdle(idle)
    scheduler.enqueue({ taskId, owner, type, priority, since, isLoaded: true }, () => {
      this.#removeIdle(slot.idleRun)
      // The task takes the slot in the same turn, so that no slot is without a task.
      if (!slot.resume()) scheduler.rest(head)
      resolve()
    })
    return promise
  }

  /** Releases the slot of a task whose run is being unloaded. The commit of the unload needs no slot. */
  unload({ taskId, slot, head }: LiveTask): void {
    if (!slot.isLoaded) return
    const { kind, idleRun } = slot
    slot.unload()
    this.engine.loaded.beginLeaving()
    this.#removeWaiting(taskId, idleRun)
    if (kind === 'running') this.engine.scheduler.rest(head)
  }

  /**
   * Releases the slot and the queue entries of a task whose run has ended and whose last commit is written.
   * @returns true if news came too late for the run
   */
  endRun({ taskId, slot, head }: LiveTask): boolean {
    const { kind, idleRun } = slot
    const hadNews = slot.end()
    this.#removeWaiting(taskId, idleRun)
    if (kind === 'running') this.engine.scheduler.release(head)
    else this.engine.loaded.leave(kind === 'unloading' ? 'leaving' : 'loaded')
    return hadNews
  }

  #removeWaiting(taskId: string, idle: IdleRun | undefined): void {
    this.engine.scheduler.remove(taskId)
    this.#removeIdle(idle)
  }

  #removeIdle(idle: IdleRun | undefined): void {
    if (idle) this.engine.loaded.removeIdle(idle)
  }
}

function newIdleRun(run: WaitingRun, endsAt: number): IdleRun {
  return { endsAt, unload: () => run.waits.unload() }
}
