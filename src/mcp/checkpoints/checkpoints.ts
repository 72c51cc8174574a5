/**
 * Checkpoints and session tasks for clients. A client saves the state of a conversation with a task, and restores it
 * later. This does not affect the body of a task.
 */

import type { TaskView } from '../../api/task-view.js'
import { toJson } from '../../base/json.js'
import { KeyedMutex } from '../../base/mutex.js'
import { cleanText } from '../../http/clean-text.js'
import { checkJson } from '../../http/json-limits.js'
import type { Outcome } from '../../task/log/outcome.js'
import type { Caller } from '../access/caller.js'
import { durableName } from '../access/client-names.js'
import { type Params, taskIdOf } from '../access/params.js'
import { denied, invalidParams } from '../access/refusal.js'
import { type Scope, scopeFor } from '../access/rights.js'
import { grantTtl } from '../access/ttl.js'
import type { McpCore } from '../tools/mcp-core.js'

/** A checkpoint without its state. */
export interface ListedCheckpoint {
  readonly checkpointId: string
  readonly label?: string | undefined
  readonly savedBy: 'client' | 'body'
  readonly createdAt: string
  readonly completedSteps: number
}

/** A checkpoint with its state. */
export interface RestoredState {
  readonly checkpointId: string
  readonly state: unknown
  readonly completedSteps: number
  readonly createdAt: string
}

const REASON_BYTES_MAX = 1_000

export class Checkpoints {
  readonly #serial = new KeyedMutex()

  constructor(private readonly core: McpCore) {}

  /**
   * Saves the state of a client.
   * @throws ProtocolError; HoldfastError
   */
  async save(params: Params, caller: Caller): Promise<{ checkpointId: string }> {
    const { limits } = this.core.options
    const taskId = taskIdOf(params)
    const { state, label } = params
    if (state === undefined) throw invalidParams('`state` is missing')
    if (label !== undefined && typeof label !== 'string') throw invalidParams('`label` must be a string')
    checkJson(state, 'The state', limits)
    toJson(state, { what: 'the state', bytesMax: limits.stateBytesMax, option: 'limits.stateBytesMax' })
    if (label !== undefined && Buffer.byteLength(label) > limits.labelBytesMax) {
      throw over('labelBytesMax', `A label may take ${limits.labelBytesMax} bytes`)
    }
    const scope = await this.core.scope('checkpoint', caller, { taskId })
    return this.#serial.run(taskId, async () => {
      const saved = await this.core.holdfast.listCheckpoints(taskId, scope)
      await this.#refuseServersOwn(taskId, scope)
      if (saved.filter(({ savedBy }) => savedBy === 'client').length >= limits.checkpointsPerTaskMax) {
        throw over('checkpointsPerTaskMax', `A task keeps ${limits.checkpointsPerTaskMax} checkpoints of its clients`)
      }
      const clean = label === undefined ? '' : cleanText(label, limits.labelBytesMax).trim()
      return this.core.holdfast.saveCheckpoint(taskId, state, { ...scope, ...(clean === '' ? {} : { label: clean }) })
    })
  }

  /**
   * Reads a checkpoint, the latest by default.
   * @throws ProtocolError; HoldfastError
   */
  async restore(params: Params, caller: Caller): Promise<RestoredState> {
    const taskId = taskIdOf(params)
    const { checkpointId } = params
    if (checkpointId !== undefined && typeof checkpointId !== 'string') {
      throw invalidParams('`checkpointId` must be a string')
    }
    const scope = await this.core.scope('checkpoint', caller, { taskId })
    const restored = await this.core.holdfast.restoreCheckpoint(taskId, { ...scope, checkpointId })
    const { state, completedSteps, createdAt } = restored
    return { checkpointId: restored.checkpointId, state, completedSteps, createdAt: instant(createdAt) }
  }

  /**
   * Lists the checkpoints of a task, without states.
   * @throws ProtocolError; HoldfastError
   */
  async list(params: Params, caller: Caller): Promise<{ checkpoints: ListedCheckpoint[] }> {
    const taskId = taskIdOf(params)
    const scope = await this.core.scope('checkpoint', caller, { taskId })
    const found = await this.core.holdfast.listCheckpoints(taskId, scope)
    const checkpoints = found.map(({ checkpointId, label, savedBy, createdAt, completedSteps }) => ({
      checkpointId,
      ...(label === undefined ? {} : { label }),
      savedBy,
      createdAt: instant(createdAt),
      completedSteps,
    }))
    return { checkpoints }
  }

  /**
   * Creates a session task for a conversation.
   * @throws ProtocolError; HoldfastError
   */
  async createTask({ type = 'session', ttl }: Params, caller: Caller): Promise<TaskView> {
    const { binding, options, holdfast } = this.core
    durableName(type, 'type')
    if (ttl !== undefined && ttl !== null && !(Number.isSafeInteger(ttl) && (ttl as number) > 0)) {
      throw invalidParams('`ttl` must be a number of milliseconds, or null')
    }
    await scopeFor(options, 'create', caller)
    const ttlMs = grantTtl(options.ttl, ttl as number | null | undefined, undefined)
    const about = { type, owner: caller.owner, ttl: ttlMs }
    const { taskId } = await binding.createSessionTask(about, { quota: this.core.quotaOf(caller) })
    return holdfast.get(taskId)
  }

  /**
   * Settles a session task (a task without a body, which a client drives) with the outcome that the client reports.
   * @throws ProtocolError; HoldfastError
   */
  async completeTask(params: Params, caller: Caller): Promise<TaskView> {
    const taskId = taskIdOf(params)
    const { outcome = { kind: 'result' } } = params
    checkJson(outcome, 'The outcome', this.core.options.limits)
    const scope = await this.core.scope('update', caller, { taskId })
    await this.#refuseServersOwn(taskId, scope)
    await this.core.holdfast.completeSessionTask(taskId, cleaned(outcome), scope)
    return this.core.holdfast.get(taskId, scope)
  }

  /**
   * Refuses a client's change of a task that the server drives through `taskStore`: only the server settles that task.
   * @throws ProtocolError
   */
  async #refuseServersOwn(taskId: string, { owner }: Scope): Promise<void> {
    const { binding, records } = this.core
    const task = binding.liveTask(taskId)
    // The engine checks all other tasks: settled ones, ones with a body, ones of other owners and missing ones.
    if (task?.kind !== 'session' || (owner !== undefined && task.owner !== owner)) return
    const origin = await records.readOrigin(taskId)
    if (origin?.kind === 'store') throw denied('this task is driven by the server alone')
  }
}

function cleaned(outcome: unknown): Outcome {
  const { kind, result, reason, error } = (outcome ?? {}) as Record<string, unknown>
  if (kind === 'cancelled') {
    return { kind, ...(typeof reason === 'string' ? { reason: cleanText(reason, REASON_BYTES_MAX) } : {}) }
  }
  if (kind === 'error') {
    const { message, name } = (error ?? {}) as Record<string, unknown>
    const text = (value: unknown, otherwise: string) =>
      cleanText(typeof value === 'string' ? value : otherwise, REASON_BYTES_MAX)
    return { kind, error: { name: text(name, 'Error'), message: text(message, 'The session failed') } }
  }
  if (kind === 'result') return { kind, result: result as never }
  throw invalidParams("`outcome.kind` must be 'result', 'error' or 'cancelled'")
}

function instant(ms: number): string {
  return new Date(ms).toISOString()
}

function over(limit: string, said: string): Error {
  return invalidParams(`${said} (limit \`${limit}\`)`, { code: 'LIMIT_EXCEEDED', limit })
}
