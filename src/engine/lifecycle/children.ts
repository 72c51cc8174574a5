/** Child tasks: the live children of each task, their creation, and their end with the parent. */
import { HoldfastError } from '../../base/errors.js'
import { toJson } from '../../base/json.js'
import type { TaskDecision } from '../../task/changes.js'
import { createTask, type NewTask } from '../../task/decisions/create.js'
import { dueAt } from '../../task/decisions/expiry.js'
import { isFenced } from '../../task/decisions/transition.js'
import type { AnyTaskDefinition } from '../../task/definition/definition.js'
import type { TaskHead } from '../../task/head.js'
import { checkName, NAME_BYTES_MAX } from '../../task/names.js'
import { spanTaskOf } from '../../task/telemetry.js'
import { checkInput } from '../checks/schemas.js'
import type { ChildCall, ChildTasks } from '../core/collaborators.js'
import type { Engine } from '../core/engine.js'
import { LiveTask } from '../core/live-task.js'
import { untilEnded } from '../core/waiters.js'
import { COMPLETED, failedWith } from '../state/task-spans.js'
import { announceNew, beginAdmitted, decideNew } from './start.js'

// Without this limit, a task that starts itself as its child would fill the store.
const DEPTH_MAX = 16

/** The children of all tasks of one engine. */
export class Children implements ChildTasks {
  readonly #of = new Map<string, Set<string>>()

  constructor(private readonly engine: Engine) {}

  /** Adds a live task to the children of its parent. */
  add({ taskId, parentId }: TaskHead): void {
    if (parentId === undefined) return
    const siblings = this.#of.get(parentId) ?? new Set()
    this.#of.set(parentId, siblings.add(taskId))
  }

  /** Removes a task that has ended and is cleaned up. */
  delete({ taskId, parentId }: TaskHead): void {
    if (parentId === undefined) return
    const siblings = this.#of.get(parentId)
    siblings?.delete(taskId)
    if (siblings?.size === 0) this.#of.delete(parentId)
  }

  /** IDs of the live children of a task. */
  of(taskId: string): string[] {
    return [...(this.#of.get(taskId) ?? [])]
  }

  /** The type of a child. Registers a definition if needed. A name is looked up when the child is created. */
  typeOf(definition: string | AnyTaskDefinition): string {
    if (typeof definition === 'string') {
      checkName(definition, 'definition', NAME_BYTES_MAX.type)
      return definition
    }
    this.engine.register(definition)
    return definition.name
  }

  /**
   * Checks the input of a child.
   * @throws HoldfastError `TASK_TYPE_UNKNOWN`, `INVALID_INPUT`, `NOT_SERIALIZABLE`, `TOO_LARGE`
   */
  async check(type: string, input: unknown): Promise<ChildCall> {
    const { inputBytesMax: bytesMax } = this.engine.limits
    const use = { what: `the input of task '${type}'`, bytesMax, option: 'limits.inputBytesMax' }
    const definition = this.engine.registry.require(type)
    toJson(input, use)
    return { type, inputText: toJson(await checkInput(definition, input), use) }
  }

  /**
   * Creates a child under the ID in the pending record of its parent. The child has the owner of its parent, and its
   * deadline is the first time limit of the parent.
   * @throws HoldfastError `LIMIT_EXCEEDED` if the child cannot be created
   */
  async create(parent: LiveTask, taskId: string, { type, inputText }: ChildCall): Promise<void> {
    const { engine } = this
    const { clock, ids, store, admission, registry } = engine
    const { owner, ttlMs, createdAt, depth = 0, taskId: parentId, priority } = parent.head
    if (depth >= DEPTH_MAX) throw tooDeep(parentId)
    const { version, timeoutMs } = registry.require(type)
    const now = clock.now()
    const about: Omit<NewTask, 'startNow' | 'life'> = {
      taskId,
      seed: ids.seed(),
      type,
      kind: 'body',
      version,
      owner,
      durability: store.durability,
      ttlMs: ttlMs === undefined ? undefined : Math.max(1, createdAt + ttlMs - now),
      deadlineAt: dueAt(parent.head),
      priority,
      timeoutMs,
      inputText,
      parentId,
      depth: depth + 1,
      by: 'body',
    }
    const admitted = admission.admit(about)
    const { startNow } = admitted
    const span = parent.slot.run?.span?.child(spanTaskOf(about))
    const birth = { ...about, startNow, life: engine.openings.life, trace: span?.trace }
    let decision: TaskDecision
    try {
      decision = decideNew(engine, admitted, createTask(birth, now), now)
    } catch (error) {
      span?.end(failedWith(error))
      admitted.giveBack({ unknown: false })
      throw error
    }
    const child = new LiveTask(decision.head, { kind: 'child' })
    engine.add(child)
    try {
      // Waits while the store is down, because the parent has a pending record of the child.
      while ((await store.commit(decision, { patient: true })) === 'lost');
    } finally {
      child.commits.endCreation()
    }
    span?.end(COMPLETED)
    announceNew(engine, child, decision)
    beginAdmitted(engine, child, admitted, about)
  }

  /** Cancels an unfinished child, and waits until its clean-up ends. */
  async end(taskId: string, reason: string): Promise<void> {
    const child = this.engine.tasks.get(taskId)
    if (!child) return
    try {
      const by = { by: 'engine', patient: true, stoppedBy: 'cancel' } as const
      await this.engine.settle(child, { kind: 'cancelled', reason }, by)
    } catch (error) {
      if (!isFenced(error)) throw error
    }
    await untilEnded(this.engine, taskId)
  }
}

function tooDeep(taskId: string): HoldfastError {
  return new HoldfastError(
    'LIMIT_EXCEEDED',
    `Task ${taskId} can't start a child: it has ${DEPTH_MAX} ancestors already, as many as a task may have`,
    { details: { taskId, limit: 'depth', max: DEPTH_MAX } },
  )
}
