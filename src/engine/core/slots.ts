/**
 * Takes and releases the slots of tasks in memory. Each slot in use belongs to a start that is being written
 * (admission.ts), or to a task that `hasSlot`.
 */
import type { Clock } from '../../base/clock.js'
import type { LoadedRuns } from '../scheduling/loaded-runs.js'
import type { Scheduler } from '../scheduling/scheduler.js'
import type { SuspectTurns } from './collaborators.js'
import type { ActiveRun, LiveTask } from './live-task.js'

/** Members of the engine that `Slots` uses. */
interface SlotsHost {
  readonly clock: Clock
  readonly scheduler: Scheduler
  readonly loaded: LoadedRuns
  readonly suspects: Pick<SuspectTurns, 'waits'>
  /** Runs the body of a task that holds a slot. */
  begin(task: LiveTask): void
}

type WaitingRun = Pick<ActiveRun, 'isOver' | 'waits'>

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
    scheduler.enqueue({ taskId, owner, type, priority, since }, () => this.engine.begin(task))
  }

  /** Releases the slot of a task whose run only waits, at most until `endsAt`. */
  rest(task: LiveTask, run: WaitingRun, endsAt: number): void {
    this.#beginIdle(task, run, endsAt)
    if (!task.hasSlot) return
    this.engine.suspects.waits(task)
    this.#giveBack(task)
  }

  /**
   * Queues a run for a slot after its wait. Resolves when it has one. If the run has ended by then, the slot is
   * released.
   */
  wake(task: LiveTask, run: WaitingRun): Promise<void> {
    if (task.hasSlot) return Promise.resolve()
    const { taskId, owner, type, priority } = task.head
    task.waking ??= new Promise<void>((resolve) => {
      const since = this.engine.clock.now()
      this.#beginIdle(task, run, since)
      this.engine.scheduler.enqueue({ taskId, owner, type, priority, since, isLoaded: true }, () => {
        // The task takes the slot in the same turn, so that no slot is without a task. A run that has ended releases it
        // again.
        task.waking = undefined
        task.hasSlot = true
        this.#endIdle(task)
        if (run.isOver) this.#giveBack(task)
        resolve()
      })
    })
    return task.waking
  }

  /** Releases the slot of a task whose run is being unloaded. The commit of the unload needs no slot. */
  unload(task: LiveTask): void {
    if (task.memory !== 'loaded') return
    task.memory = 'leaving'
    this.engine.loaded.beginLeaving()
    this.#leaveQueue(task)
    this.#giveBack(task)
  }

  /** Releases the slot and the queue entries of a task whose run has ended and whose last commit is written. */
  endRun(task: LiveTask): void {
    const { hasSlot, memory } = task
    task.hasSlot = false
    task.memory = 'unloaded'
    this.#leaveQueue(task)
    if (hasSlot) this.engine.scheduler.release(task.head)
    else if (memory !== 'unloaded') this.engine.loaded.leave(memory)
  }

  #leaveQueue(task: LiveTask): void {
    task.waking = undefined
    this.engine.scheduler.remove(task.taskId)
    this.#endIdle(task)
  }

  #giveBack(task: LiveTask): void {
    if (!task.hasSlot) return
    task.hasSlot = false
    this.engine.scheduler.rest(task.head)
  }

  #beginIdle(task: LiveTask, run: WaitingRun, endsAt: number): void {
    this.#endIdle(task)
    task.idle = { endsAt, unload: () => run.waits.unload() }
    this.engine.loaded.addIdle(task.idle)
  }

  #endIdle(task: LiveTask): void {
    if (task.idle) this.engine.loaded.removeIdle(task.idle)
    task.idle = undefined
  }
}
