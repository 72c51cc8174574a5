/**
 * Sends one subscriber `notifications/tasks`, each with the task in its current form of `tasks/get`.
 *
 * - A task is watched before its first read, so no change is missed. The first read is sent too, so a change before the
 *   subscription is not missed either.
 * - A notification about a task is sent before the next one is made. A slow reader gets the latest state, not each one.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { SUBSCRIPTION_ID_META_KEY } from '@modelcontextprotocol/server'
import { HoldfastError } from '../../../base/errors.js'
import { faultOf } from '../../../base/fault.js'
import type { Caller } from '../../access/caller.js'
import { invalidParams } from '../../access/refusal.js'
import { scopeFor } from '../../access/rights.js'
import type { DurableBinding } from './types.js'

const TASK_IDS_MAX = 1_000
// Number of tasks that are read before other requests get a turn. A subscription may name many tasks.
const TASKS_PER_TURN = 20

/** A notification of the server. */
export interface Notification {
  readonly method: string
  readonly params: Record<string, unknown>
}

/** Parts of a subscription. */
export interface SubscriptionParts {
  readonly durable: DurableBinding
  readonly subscriptionId: string | number
  /** Tasks that the caller may read. */
  readonly taskIds: readonly string[]
  /** Caller that subscribes. */
  readonly caller: Caller
  /** Sends a notification. Resolves once there is room for the next. */
  readonly send: (notification: Notification) => Promise<void>
}

/**
 * Task IDs that a `subscriptions/listen` names; `undefined` if it names none.
 * @throws ProtocolError -32602 for anything but a list of strings
 */
export function taskIdsIn(params: unknown): readonly string[] | undefined {
  const { notifications } = (params ?? {}) as { notifications?: { taskIds?: unknown } | undefined }
  const taskIds = notifications?.taskIds
  if (taskIds === undefined) return undefined
  if (!Array.isArray(taskIds) || !taskIds.every((taskId) => typeof taskId === 'string')) {
    throw invalidParams('`notifications.taskIds` must be a list of task IDs')
  }
  if (taskIds.length > TASK_IDS_MAX) throw invalidParams(`One subscription has room for ${TASK_IDS_MAX} tasks`)
  return [...new Set(taskIds as string[])]
}

/**
 * Selects the tasks that the caller may read. Missing tasks and those of other owners are left out.
 * @throws ProtocolError
 */
export async function acceptTasks(
  { core }: DurableBinding,
  caller: Caller,
  taskIds: readonly string[],
): Promise<string[]> {
  await core.ready()
  await core.scope('read', caller)
  const accept = async (taskId: string): Promise<string[]> => {
    try {
      const scope = await scopeFor(core.options, 'read', caller, { taskId })
      return (await core.binding.isReadable(taskId, scope.owner)) ? [taskId] : []
    } catch (error) {
      if (error instanceof HoldfastError && error.code !== 'TASK_NOT_FOUND') throw error
      return []
    }
  }
  const accepted: string[] = []
  for (let at = 0; at < taskIds.length; at += TASKS_PER_TURN) {
    if (at > 0) await nextTurn()
    accepted.push(...(await Promise.all(taskIds.slice(at, at + TASKS_PER_TURN).map(accept))).flat())
  }
  return accepted
}

export class TaskSubscription {
  readonly #stops = new Map<string, () => void>()
  #isOver = false

  constructor(private readonly parts: SubscriptionParts) {}

  /** Begins to send notifications, after the acknowledgement. */
  start(): void {
    void this.#followAll()
  }

  async #followAll(): Promise<void> {
    for (const [at, taskId] of this.parts.taskIds.entries()) {
      if (at > 0 && at % TASKS_PER_TURN === 0) await nextTurn()
      if (this.#isOver) return
      this.#follow(taskId)
    }
  }

  /** Stops all notifications. */
  stop(): void {
    this.#isOver = true
    for (const stop of this.#stops.values()) stop()
    this.#stops.clear()
  }

  #follow(taskId: string): void {
    const { durable, subscriptionId, send, caller } = this.parts
    const { hub, holdfast, binding, options } = durable.core
    const { clock } = binding
    let hasNews = true
    let isLooking = false
    let told = ''
    let toldAt = Number.NEGATIVE_INFINITY
    let disarm: (() => void) | undefined

    const look = async () => {
      while (hasNews && !this.#isOver) {
        hasNews = false
        // Checked for each notification, because each counts as a read. A task that the caller may not read any more is
        // not followed any more.
        const scope = await scopeFor(options, 'read', caller, { taskId })
        const task = await durable.detail(await holdfast.get(taskId, scope))
        const text = JSON.stringify(task)
        if (text === told) continue
        told = text
        toldAt = clock.now()
        const params = { ...task, _meta: { [SUBSCRIPTION_ID_META_KEY]: subscriptionId } }
        if (!this.#isOver) await send({ method: 'notifications/tasks', params })
        if (task.status !== 'working' && task.status !== 'input_required') this.#unfollow(taskId)
      }
    }
    const stir = () => {
      hasNews = true
      if (isLooking) return
      isLooking = true
      look()
        .catch((error: unknown) => {
          // The task was swept, may not be read any more, or the engine is closed. `tasks/get` reports the same.
          binding.logger.debug('A task is not followed any more', { taskId, error: faultOf(error) })
          this.#unfollow(taskId)
        })
        .finally(() => {
          isLooking = false
        })
    }
    const stirLater = () => {
      const now = clock.now()
      // Without this, a clock that was set back would delay the notification.
      const dueAt = Math.min(toldAt, now) + options.progressIntervalMs
      if (dueAt <= now) return stir()
      disarm ??= clock.setTimer(
        dueAt,
        () => {
          disarm = undefined
          stir()
        },
        { background: true, elapsed: true },
      )
    }
    const unwatch = hub.watch(taskId, ({ kind }) => (kind === 'progress' ? stirLater() : stir()))
    this.#stops.set(taskId, () => {
      unwatch()
      disarm?.()
    })
    stir()
  }

  #unfollow(taskId: string): void {
    this.#stops.get(taskId)?.()
    this.#stops.delete(taskId)
  }
}
