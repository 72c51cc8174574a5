/**
 * The SDK's `TaskStore` over the engine, for servers that use `registerToolTask` or their own handlers. Tasks that are
 * created through it have no body, so no code would finish them after a crash. They are then settled as failed, or left
 * to the server with `orphans: 'keep'`.
 *
 * Some error messages are those of the SDK, because the SDK and its tests look for them.
 */
import type { CreateTaskOptions, TaskStore } from '@modelcontextprotocol/sdk/experimental/tasks/interfaces.js'
import type { Request, RequestId, Result, Task } from '@modelcontextprotocol/sdk/types.js'
import type { TaskView } from '../../../api/task-view.js'
import { HoldfastError } from '../../../base/errors.js'
import { faultOf } from '../../../base/fault.js'
import { KeyedMutex } from '../../../base/mutex.js'
import { cleanText } from '../../../http/clean-text.js'
import { isSettled } from '../../../task/head.js'
import type { Outcome } from '../../../task/log/outcome.js'
import { type Caller, callerOf, isCallerKnown } from '../../access/caller.js'
import type { AccessRequest, CheckedDurableOptions } from '../../access/options.js'
import { NoPrincipal } from '../../access/owner.js'
import { invalidParams, TaskNotFound } from '../../access/refusal.js'
import { type Scope, scopeFor } from '../../access/rights.js'
import { grantTtl } from '../../access/ttl.js'
import { toThrow } from '../../tools/answer.js'
import type { Origin } from '../../tools/tool-records.js'
import { readStoreState, type StoreState, storeState } from './store-state.js'
import { DurableTaskMessageQueue } from './task-message-queue.js'
import type { DurableBinding } from './types.js'

const PAGE = 10
const MESSAGE_BYTES_MAX = 500
const TYPE_BYTES_MAX = 120
const ORPHANED = 'The server was restarted while it worked on this task, and nothing is left that would finish it.'

export class DurableTaskStore implements TaskStore {
  /** Runs the changes of one task in order. */
  readonly #serial = new KeyedMutex()
  readonly #made = new Set<string>()
  readonly #queue: DurableTaskMessageQueue
  #orphans: Promise<void> | undefined

  constructor(private readonly durable: DurableBinding) {
    this.#queue = new DurableTaskMessageQueue(durable)
    durable.core.opening.whenOpen(() => {
      this.#orphans = this.#settleOrphans()
      this.#orphans.catch((error: unknown) =>
        durable.core.logger.debug('Tasks without a body could not be looked at', { error: faultOf(error) }),
      )
    })
  }

  /** Opens the store if it is not open, and waits until the tasks of an earlier process are settled. */
  async #ready(): Promise<void> {
    await this.durable.core.ready()
    await this.#orphans
  }

  async createTask(
    { ttl, pollInterval }: CreateTaskOptions,
    _requestId: RequestId,
    request: Request,
    sessionId?: string,
  ): Promise<Task> {
    const { core } = this.durable
    await core.ready()
    const { binding, options, records } = core
    const caller = await storeCallerOf(options, sessionId)
    const tool = String(request.params?.['name'] ?? request.method)
    await scopeFor(options, 'create', caller, { tool })
    const origin: Origin = {
      tool,
      kind: 'store',
      projection: 'default',
      ...(options.access === 'open' ? { sessionId } : {}),
    }
    const ttlMs = grantTtl(options.ttl, ttl, undefined)
    const type = `mcp ${cleanText(tool, TYPE_BYTES_MAX)}`
    const state: StoreState = { status: 'working', pollIntervalMs: pollInterval }
    const beside = (taskId: string) => {
      this.#made.add(taskId)
      return [records.origin(taskId, origin), storeState(records.records, taskId, state)]
    }
    const about = { type, owner: caller.owner, ttl: ttlMs }
    const { taskId } = await binding.createSessionTask(about, { beside, quota: core.quotaOf(caller, 'store') })
    return this.durable.project(await core.holdfast.get(taskId), origin)
  }

  async getTask(taskId: string, sessionId?: string): Promise<Task | null> {
    const view = await this.#find('read', taskId, sessionId)
    return view ? this.durable.project(view) : null
  }

  storeTaskResult(taskId: string, status: 'completed' | 'failed', result: Result, sessionId?: string): Promise<void> {
    return this.#serial.run(taskId, async () => {
      const { view, scope, state } = await this.#own(taskId, sessionId)
      if (isSettled(view.status)) {
        throw new Error(`Cannot store result for task ${taskId} in terminal status '${view.status}'`)
      }
      const { records, holdfast } = this.durable.core
      // The state is written first, and the settlement second. After a crash between the two, the task is an orphan
      // like any other.
      await records.records.write([storeState(records.records, taskId, { ...state, status, result })])
      await holdfast.completeSessionTask(taskId, outcomeOf(status, textOf(result)), scope)
    })
  }

  async getTaskResult(taskId: string, sessionId?: string): Promise<Result> {
    const view = await this.#find('read', taskId, sessionId)
    if (!view) throw notFound(taskId)
    if (!isSettled(view.status)) throw new Error(`Task ${taskId} has no result stored`)
    const answer = await this.durable.answer(view)
    if (answer.kind === 'error') throw toThrow(answer.error)
    return answer.result
  }

  updateTaskStatus(taskId: string, status: Task['status'], message?: string, sessionId?: string): Promise<void> {
    return this.#serial.run(taskId, async () => {
      const { view, scope, state } = await this.#own(taskId, sessionId, status === 'cancelled' ? 'cancel' : 'update')
      if (isSettled(view.status)) {
        throw new Error(`Cannot update task ${taskId} from terminal status '${view.status}' to '${status}'`)
      }
      const statusMessage = message === undefined ? undefined : cleanText(message, MESSAGE_BYTES_MAX)
      const { core } = this.durable
      if (status === 'cancelled') {
        await core.holdfast.cancel(taskId, { ...scope, reason: statusMessage })
        return
      }
      if (view.kind !== 'session') throw new Error(`Cannot update task ${taskId}: only its body changes its status`)
      const records = core.records.records
      await records.write([storeState(records, taskId, { ...state, status, statusMessage })])
      if (status === 'completed' || status === 'failed') {
        await core.holdfast.completeSessionTask(taskId, outcomeOf(status, statusMessage), scope)
      } else {
        core.hub.tell(taskId, { kind: 'changed' })
      }
    })
  }

  async listTasks(cursor?: string, sessionId?: string): Promise<{ tasks: Task[]; nextCursor?: string }> {
    await this.#ready()
    const { options, holdfast } = this.durable.core
    // Without authentication all clients share one owner, so a list would return the tasks of all clients.
    if (options.access === 'open') return { tasks: [] }
    const caller = await storeCallerOf(options, sessionId)
    await scopeFor(options, 'read', caller)
    const page = await holdfast.list({ owner: caller.owner, limit: PAGE, cursor }).catch((error: unknown) => {
      if (error instanceof HoldfastError && error.code === 'INVALID_CURSOR')
        throw invalidParams(`Invalid cursor: ${cursor}`)
      throw error
    })
    const tasks = await Promise.all(page.tasks.map((view) => this.durable.project(view)))
    return { tasks, ...(page.cursor === undefined ? {} : { nextCursor: page.cursor }) }
  }

  /** Finds the task, if it belongs to the caller. */
  async #find(
    action: Exclude<AccessRequest['action'], 'create'>,
    taskId: string,
    sessionId: string | undefined,
  ): Promise<(TaskView & { scope: Scope }) | undefined> {
    await this.#ready()
    const { options, holdfast } = this.durable.core
    const caller = await storeCallerOf(options, sessionId)
    try {
      const scope = await scopeFor(options, action, caller, { taskId })
      return { ...(await holdfast.get(taskId, scope)), scope }
    } catch (error) {
      if (error instanceof TaskNotFound || (error instanceof HoldfastError && error.code === 'TASK_NOT_FOUND'))
        return undefined
      throw error
    }
  }

  async #own(taskId: string, sessionId: string | undefined, action: 'update' | 'cancel' = 'update') {
    const view = await this.#find(action, taskId, sessionId)
    if (!view) throw notFound(taskId)
    const state = (await readStoreState(this.durable.core.records.records, taskId)) ?? { status: 'working' as const }
    return { view, scope: view.scope, state }
  }

  async #settleOrphans(): Promise<void> {
    const { core } = this.durable
    if (core.options.orphans === 'keep') return
    const found = [...core.binding.liveTasks()].filter(({ kind }) => kind === 'session').map(({ taskId }) => taskId)
    for (const taskId of found) {
      const origin = await core.records.readOrigin(taskId)
      if (origin?.kind !== 'store' || this.#made.has(taskId)) continue
      await this.#queue.dropQuestions(taskId)
      const error = { name: 'TaskOrphaned', message: ORPHANED }
      await core.holdfast.completeSessionTask(taskId, { kind: 'error', error }).catch((cause: unknown) => {
        if (!(cause instanceof HoldfastError && cause.code === 'TASK_SETTLED')) throw cause
      })
      await core.records.records.write([
        storeState(core.records.records, taskId, { status: 'failed', statusMessage: ORPHANED }),
      ])
    }
  }
}

function notFound(taskId: string): Error {
  return new Error(`Task with ID ${cleanText(taskId, 80)} not found`)
}

function outcomeOf(status: 'completed' | 'failed', message: string | undefined): Outcome {
  if (status === 'completed') return { kind: 'result' }
  return { kind: 'error', error: { name: 'ToolError', message: message ?? 'The tool failed' } }
}

/** First text of a failed tool's result, for the status message. */
function textOf({ content }: Result): string | undefined {
  const [first] = Array.isArray(content) ? content : []
  const text = (first as { text?: unknown } | undefined)?.text
  return typeof text === 'string' ? cleanText(text, MESSAGE_BYTES_MAX) : undefined
}

/**
 * Finds the caller of the store.
 * @throws NoPrincipal in `'principal'` mode, if the caller is unknown
 */
async function storeCallerOf(options: CheckedDurableOptions, sessionId: string | undefined): Promise<Caller> {
  if (options.access === 'principal' && !isCallerKnown()) {
    throw new NoPrincipal(
      "The task store does not know who calls it, and with `access: 'principal'` it has to: wrap the call in `durable.withAuth(authInfo, () => …)`, with the verified token of the user that it is made for. The body of a task has no caller either, not even that of the request that started it.",
    )
  }
  return callerOf(options, { sessionId })
}
