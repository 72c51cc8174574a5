/** The store that a task is exported from, or imported into: that of an open instance, or one that no process has open. */
import { systemClock } from '../../base/clock.js'
import { HoldfastError } from '../../base/errors.js'
import { silentLogger } from '../../base/logger.js'
import { checkOptions } from '../../engine/checks/open-options.js'
import { taskNotFound } from '../../engine/core/consistent-read.js'
import type { Engine } from '../../engine/core/engine.js'
import { findTask } from '../../engine/core/find-task.js'
import { LiveTask } from '../../engine/core/live-task.js'
import { announceSettled } from '../../engine/lifecycle/settle.js'
import { openStore } from '../../store/open.js'
import { readHead } from '../../store/reads.js'
import type { Store } from '../../store/store.js'
import { byteCountOf } from '../../task/byte-count.js'
import { transition } from '../../task/decisions/transition.js'
import { isLive, type TaskHead } from '../../task/head.js'
import type { EventOf, TaskEvent } from '../../task/task-event.js'
import type { ImportHost } from './import-records.js'

/** Events by which a task is moved away. */
type MoveEvent = EventOf<'park'> | EventOf<'settle'>

/** A store whose tasks can be exported, moved and imported. */
export interface PortableStore extends ImportHost {
  /** The head of a task. @throws HoldfastError `TASK_NOT_FOUND` */
  head(taskId: string): Promise<TaskHead>
  /**
   * Ends the run of a task, if it has one: waits for its calls, at most `graceMs`.
   * @throws HoldfastError `TASK_IN_USE` if a call runs after that. Nothing was changed
   */
  settleDown(taskId: string, graceMs: number): Promise<void>
  /** Commits an event of a move. @returns the head after it */
  commit(taskId: string, event: MoveEvent): Promise<TaskHead>
}

/** The store of an open instance. */
export function storeOfEngine(engine: Engine): PortableStore {
  const { store, clock, retentionMs, copying, sweeps, tasks, options, limits, usage, events } = engine
  const assertFree = (taskId: string) => {
    if (tasks.has(taskId) || copying.has(taskId) || sweeps.isSweeping(taskId)) throw busy(taskId, tasks.has(taskId))
  }
  return {
    store,
    retentionMs,
    durability: store.durability,
    now: () => clock.now(),
    head: (taskId) => findTask(engine, taskId, undefined),
    async alone(taskId, act) {
      engine.assertOpen()
      assertFree(taskId)
      copying.add(taskId)
      try {
        return await sweeps.using(taskId, act)
      } finally {
        copying.delete(taskId)
      }
    },
    underKey({ owner, type, idempotencyKey: key }, act) {
      return key === undefined ? act() : engine.keys.run(JSON.stringify({ owner, type, key }), act)
    },
    async create(head) {
      await usage.load(head.owner)
      engine.assertOpen()
      if (isLive(head) && options.purpose === 'serve' && tasks.size >= limits.liveTasksMax)
        throw tooMany(tasks.size, limits.liveTasksMax)
      if (options.purpose === 'serve') usage.assertRoom(head.owner, byteCountOf(head).kept)
      if (!isLive(head)) return (error) => (error ? undefined : usage.leave(new LiveTask(head)))
      const admitted = { startNow: false, isLate: false, account: undefined, queued() {}, giveBack() {} }
      const task = new LiveTask(head, { kind: 'start', admitted })
      engine.add(task)
      return (error) => {
        // What is perhaps on disk stays in memory until the store was read again, as after a start.
        if (error instanceof HoldfastError && error.mayBeWritten) return
        if (error) {
          tasks.delete(head.taskId)
          return
        }
        task.commits.endCreation()
        task.commits.land(head)
        const { taskId, type, owner, parked } = head
        events.emit('task:created', { taskId, type, owner })
        if (parked) events.emit('task:parked', { taskId, type, ...parked })
        // A session task runs no code, and its `ttl` counts.
        if (options.purpose === 'serve') engine.arm(task)
      }
    },
    async settleDown(taskId, graceMs) {
      const run = tasks.get(taskId)?.slot.run
      if (!run || run.isOver) return
      let disarm = () => {}
      const grace = new Promise<'late'>((resolve) => {
        disarm = clock.setTimer(clock.now() + graceMs, () => resolve('late'), { elapsed: true })
      })
      const end = await Promise.race([run.idle(), grace])
      disarm()
      if (end === 'late') throw stillRuns(taskId, graceMs)
    },
    async commit(taskId, event) {
      const task = tasks.get(taskId)
      if (!task) throw taskNotFound(taskId)
      const { head } = await engine.recordForCaller(task, event)
      const { type } = head
      if (event.kind === 'settle') announceSettled(engine, task, JSON.stringify(event.outcome))
      else {
        task.timeLimit.cancel()
        engine.slots.leaveQueue(task)
        task.slot.run?.abandon()
        if (!task.recovery.isAwaited) task.recovery.endRetry()
        events.emit('task:parked', { taskId, type, ...event.parked })
        engine.waiters.notify(taskId, { kind: 'parked' })
        engine.report.note(
          { taskId, type, action: 'parked', reason: `${event.parked.code}: ${event.parked.reason}` },
          clock.now(),
        )
      }
      return head
    },
  }
}

/**
 * Opens a store that no process has open, without running it.
 * @throws HoldfastError `STORE_NOT_FOUND`, `STORE_OF_ANOTHER_USER`, `STORE_LOCKED` and others of an open
 */
export async function openAtRest(dir: string): Promise<PortableStore & { close(): Promise<void> }> {
  const options = { ...checkOptions({ dir, logger: silentLogger }), purpose: 'operate' } as const
  return storeAtRest(await openStore(options), options.retentionMs)
}

function storeAtRest(store: Store, retentionMs: number): PortableStore & { close(): Promise<void> } {
  const now = () => systemClock.now()
  const head = async (taskId: string) => {
    const found = await store.read((level) => readHead(level, taskId))
    if (!found || found.sweeping) throw taskNotFound(taskId)
    return found
  }
  return {
    store,
    retentionMs,
    durability: store.durability,
    now,
    head,
    alone: (_taskId, act) => act(),
    underKey: (_head, act) => act(),
    create: async () => () => {},
    settleDown: async () => {},
    async commit(taskId, event: TaskEvent) {
      const decision = transition(await head(taskId), event, now())
      await store.commit(decision, { patient: false })
      return decision.head
    },
    close: () => store.close(),
  }
}

function busy(taskId: string, exists: boolean): HoldfastError {
  const message = exists
    ? `The store has task ${taskId} already. Nothing was imported`
    : `Task ${taskId} is being imported or deleted; try again`
  return new HoldfastError(exists ? 'TASK_EXISTS' : 'TASK_IN_USE', message, { details: { taskId } })
}

function stillRuns(taskId: string, graceMs: number): HoldfastError {
  const message = `A call of task ${taskId} did not end within ${graceMs} ms, so the task was not moved. Nothing was changed; try again, or with a longer \`grace\``
  return new HoldfastError('TASK_IN_USE', message, { details: { taskId, graceMs } })
}

function tooMany(count: number, max: number): HoldfastError {
  const message = `There are ${count} unfinished tasks, and \`limits.liveTasksMax\` is ${max}. Nothing was imported`
  return new HoldfastError('LIMIT_EXCEEDED', message, { details: { limit: 'liveTasksMax', value: count, max } })
}
