/**
 * How a task in memory comes by its slot, and how it gives it back. A slot is held by exactly one of: a start that is
 * being written (admission.ts), a task that `hasSlot`.
 */
import type { Clock } from '../../base/clock.js'
import type { LoadedRuns } from '../scheduling/loaded-runs.js'
import type { Scheduler } from '../scheduling/scheduler.js'
import type { SuspectTurns } from './collaborators.js'
import type { ActiveRun, LiveTask } from './live-task.js'

/** What slots need of the engine. */
interface SlotsHost {
  readonly clock: Clock
  readonly scheduler: Scheduler
  readonly loaded: LoadedRuns
  readonly suspects: Pick<SuspectTurns, 'waits'>
  /** Runs the body of a task that has its slot. */
  begin(task: LiveTask): void
}

type WaitingRun = Pick<ActiveRun, 'isOver' | 'waits'>

export class Slots {
  constructor(private readonly engine: SlotsHost) {}

  /** Queues a task whose run is to begin. It has waited since it was created, or since the end of its last wait. */
  queue(task: LiveTask): void {
    const { scheduler, clock } = this.engine
    const { taskId, owner, type, priority, wakeAt, createdAt } = task.head
    // One that news woke had a time of its own, or none, that is still to come.
    const since = wakeAt === undefined ? createdAt : Math.min(wakeAt, clock.now())
    scheduler.enqueue({ taskId, owner, type, priority, since }, () => this.engine.begin(task))
  }

  /** Gives the task's slot back: its run only waits, until `endsAt` at the latest. */
  rest(task: LiveTask, run: WaitingRun, endsAt: number): void {
    this.#beginIdle(task, run, endsAt)
    if (!task.hasSlot) return
    this.engine.suspects.waits(task)
    this.#giveBack(task)
  }

  /** Takes a slot again for a run whose wait is over. Resolves once it has one; if the run is over by then, without. */
  wake(task: LiveTask, run: WaitingRun): Promise<void> {
    if (task.hasSlot) return Promise.resolve()
    const { taskId, owner, type, priority } = task.head
    task.waking ??= new Promise<void>((resolve) => {
      const since = this.engine.clock.now()
      this.#beginIdle(task, run, since)
      this.engine.scheduler.enqueue({ taskId, owner, type, priority, since, isLoaded: true }, () => {
        // In the moment the slot is taken it has an owner: the task, or nobody again.
        task.waking = undefined
        task.hasSlot = true
        this.#endIdle(task)
        if (run.isOver) this.#giveBack(task)
        resolve()
      })
    })
    return task.waking
  }

  /** Gives the task's slot back: its run is over, and is being unloaded. Writing that needs no slot. */
  unload(task: LiveTask): void {
    if (task.memory !== 'loaded') return
    task.memory = 'leaving'
    this.engine.loaded.beginLeaving()
    this.#leaveQueue(task)
    this.#giveBack(task)
  }

  /** The run is over, and what came of it is written: its slot is free, and what it queued for is not its any more. */
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
