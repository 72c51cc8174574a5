/**
 * The common part of both protocol revisions: tools, rights, counts, and the start of a call's task. A call creates a
 * task or joins one. Imports no SDK.
 *
 * An inline call of one function waits for two writes, one after the other (docs/internals/mcp-calls.md):
 *
 * mcp-core-1. Nothing of an answer leaves before the outcome of its task is on disk.
 * mcp-core-2. The answer is sent before the write that stores it. Until that write is on disk, the request is open: after a
 *   crash it is resumed, its settled task gives the same answer, and that has the same event number.
 * mcp-core-3. The answer of a `toResult` or `toError` is stored before it is sent, which is one more wait.
 * mcp-core-4. The record that an answer is not delivered is deleted once the response was handed to the socket, and not
 *   before. Until then, a repeat of the call after a crash or a lost connection joins its task.
 * mcp-core-5. A call reads nothing: head and outcome come from the commit that settled the task, the origin from the
 *   start, and the undelivered calls from memory.
 */

import type { Holdfast } from '../../api/holdfast.js'
import type { TaskView } from '../../api/task-view.js'
import { HoldfastError, ProtocolError } from '../../base/errors.js'
import { toPlain } from '../../base/json.js'
import type { Quota } from '../../engine/scheduling/admission.js'
import { checkJson } from '../../http/json-limits.js'
import type { BindingRecord } from '../../task/changes.js'
import type { TaskDefinition } from '../../task/definition/definition.js'
import { type Trace, traceOf } from '../../task/trace.js'
import { accountOf, type Caller, countedAs } from '../access/caller.js'
import { type CheckedDurableOptions, checkDurableOptions, type DurableOptions } from '../access/options.js'
import { RPC } from '../access/refusal.js'
import { type Scope, scopeFor } from '../access/rights.js'
import { grantTtl } from '../access/ttl.js'
import { type Answer, answerOf } from './answer.js'
import { type IsHeard, REJOIN_SETTLED_MS } from './join-call.js'
import { type OpenHoldfast, Opening } from './opening.js'
import { StoreAccess } from './store-access.js'
import { type CallExtra, type DurableTool, type InputRequired, makeTool, type ToolOptions } from './tool.js'
import {
  checkArgumentBytes,
  givenKey,
  InvalidArguments,
  inputUse,
  isInputRequired,
  mapped,
  parseArguments,
  scopedKey,
} from './tool-arguments.js'
import type { Origin } from './tool-records.js'

/**
 * Error of a call whose `toInput` requests input from the client. A revision without such a request refuses the call
 * with it.
 */
export class InputNeeded extends ProtocolError {
  override readonly name = 'InputNeeded'

  constructor(
    tool: string,
    readonly required: InputRequired,
  ) {
    super(RPC.internal, `Tool ${tool} asks for input before its task, and this protocol revision has no words for that`)
  }
}

/** Data of a call besides its arguments. */
export interface CallAbout extends Pick<CallExtra, 'inputResponses' | 'requestState'> {
  readonly meta?: Record<string, unknown> | undefined
  readonly ttlMs?: number | undefined
  readonly isHeard: IsHeard
}

/** A checked call without a task yet. */
export interface PreparedCall {
  readonly tool: DurableTool
  readonly caller: Caller
  readonly kind: Exclude<Origin['kind'], 'store'>
  readonly input: unknown
  readonly idempotencyKey: string | undefined
  /** Prefix of the keys under which a repeat of the call is found. */
  readonly rejoinPrefix: string | undefined
  readonly ttlMs: number | undefined
  readonly trace: Trace | undefined
  /** True if the client of an inline call is connected. */
  readonly isHeard: IsHeard
}

/** Task of a call. */
export interface StartedCall {
  readonly taskId: string
  readonly created: boolean
  /** Key of the record that the answer is not delivered. */
  readonly rejoinKey: string | undefined
  /** Origin of a task that this call created. That of any other task is on disk. */
  readonly origin?: Origin | undefined
}

export class McpCore extends StoreAccess {
  readonly options: CheckedDurableOptions
  readonly tools = new Map<string, { readonly tool: DurableTool; readonly role: 'call' | 'start' }>()
  readonly #said = new Set<string>()

  constructor(given: Holdfast | OpenHoldfast, options: DurableOptions) {
    const opening = Opening.of(given)
    const checked = checkDurableOptions(options)
    super(opening, checked.limits)
    this.options = checked
  }

  /**
   * Adds a tool.
   * @throws TypeError for a tool that cannot be listed, or a name that is in use
   */
  addTool<Input, Output>(
    definition: TaskDefinition<Input, Output>,
    options: ToolOptions<Input, Output>,
    lateCalls?: 'handle' | 'task',
  ): DurableTool {
    const tool = makeTool(definition, options, lateCalls)
    for (const name of [tool.name, tool.startName]) {
      if (name !== undefined && this.tools.has(name)) throw new TypeError(`There is a durable tool '${name}' already`)
    }
    this.opening.define(tool.definition)
    this.tools.set(tool.name, { tool, role: 'call' })
    if (tool.startName !== undefined) this.tools.set(tool.startName, { tool, role: 'start' })
    return tool
  }

  /**
   * Checks the limits and rights of a request, and returns the tasks that it may reach.
   * @throws ProtocolError if the caller has no right, or made too many requests
   */
  async scope(
    action: 'read' | 'update' | 'cancel' | 'checkpoint',
    caller: Caller,
    about: { readonly taskId?: string } = {},
  ): Promise<Scope> {
    const counted = countedAs(this.options.access, caller)
    if (counted !== undefined) this.counts.checkRequest(counted)
    return scopeFor(this.options, action, caller, about)
  }

  /**
   * Limits of the caller's starts. Without authentication all clients share one owner, so the limits count the session,
   * or the address if there is no session. Without either, a caller has no limits of its own.
   */
  quotaOf(caller: Caller, origin?: 'store'): Quota | undefined {
    const { access, limits, ratePerOwner } = this.options
    const account = countedAs(access, caller)
    if (account === undefined) return undefined
    const { liveTasksPerOwnerMax, sessionTasksPerOwnerMax } = limits
    return {
      account: access === 'open' ? account : undefined,
      liveTasksPerOwnerMax,
      // Tasks of a server's own `taskStore` calls have no body either, but are no sessions.
      sessionTasksPerOwnerMax: origin === 'store' ? liveTasksPerOwnerMax : sessionTasksPerOwnerMax,
      ratePerOwner,
    }
  }

  /**
   * Counts a request that was refused for its body.
   * @returns true if its account may make further requests
   */
  countRefusal(caller: Caller): boolean {
    const counted = countedAs(this.options.access, caller)
    // The counts belong to a store, so there are none before it is open.
    return counted === undefined || !this.isOpen || this.counts.tryRequest(counted)
  }

  /**
   * Checks a call before its task is created.
   * @throws InvalidArguments; InputNeeded; ProtocolError
   */
  async prepare(
    tool: DurableTool,
    kind: PreparedCall['kind'],
    args: unknown,
    caller: Caller,
    { meta, ttlMs, isHeard, inputResponses, requestState }: CallAbout,
  ): Promise<PreparedCall> {
    const { access, limits, ttl } = this.options
    const [account, counted] = [accountOf(access, caller), countedAs(access, caller)]
    // A call that is refused below costs as much as one that is not, so it is counted here.
    if (counted !== undefined) this.counts.checkRequest(counted)
    checkJson(args, 'The arguments', limits)
    checkArgumentBytes(tool, args, this.binding.inputBytesMax)
    await scopeFor(this.options, 'create', caller, { tool: tool.name })
    const extra: CallExtra = {
      owner: caller.owner,
      authInfo: caller.authInfo,
      sessionId: caller.sessionId,
      _meta: meta,
      inputResponses,
      requestState,
    }
    const parsed = tool.parsesArguments ? await parseArguments(tool, args) : (args ?? {})
    const { input, ownKey } = await mapped(tool, parsed, extra)
    if (tool.toInput && isInputRequired(input)) throw new InputNeeded(tool.name, input)
    const key = ownKey ?? givenKey(meta)
    const canJoin = kind === 'inline' && tool.rejoin && key === undefined && account !== undefined
    return {
      tool,
      caller,
      kind,
      input,
      idempotencyKey: account === undefined || key === undefined ? undefined : scopedKey(access, account, key),
      rejoinPrefix: canJoin
        ? this.records.rejoinPrefix(account, tool.name, toPlain(input, inputUse(tool, this.binding.inputBytesMax)))
        : undefined,
      ttlMs: grantTtl(ttl, ttlMs, tool.definition.timeoutMs),
      trace: traceOf(meta),
      isHeard,
    }
  }

  /**
   * Creates the task of a call, or joins one. The records that `beside` returns are on disk with it.
   * @throws InvalidArguments; HoldfastError
   */
  async start(
    call: PreparedCall,
    beside: (started: StartedCall) => readonly BindingRecord[] = () => [],
  ): Promise<StartedCall> {
    const { tool, caller, kind, isHeard } = call
    const given = await this.#givenUp(call)
    if (given) {
      if (kind === 'inline') this.openCalls.add(given.taskId, isHeard)
      await this.records.records.write(beside(given))
      return given
    }
    const rejoinKey = (taskId: string) =>
      call.rejoinPrefix === undefined ? undefined : `${call.rejoinPrefix}${taskId}`
    const origin: Origin = {
      tool: tool.name,
      kind,
      projection: tool.toResult || tool.toError ? 'custom' : 'default',
      ...(this.options.access === 'open' ? { sessionId: caller.sessionId } : {}),
      ...(call.trace ? { trace: call.trace } : {}),
    }
    const { owner } = caller
    const options = { owner, idempotencyKey: call.idempotencyKey, ttl: call.ttlMs }
    let made: string | undefined
    const { taskId, created } = await this.binding
      .start(tool.definition, call.input, options, {
        quota: this.quotaOf(caller),
        beside: (taskId) => {
          const key = rejoinKey(taskId)
          made = taskId
          // The open call is added before the commit, because the task may settle before the commit is reported.
          if (kind === 'inline') this.openCalls.add(taskId, isHeard)
          const undelivered = key === undefined ? [] : [this.records.records.own(key, '')]
          const started = { taskId, created: true, rejoinKey: key, origin }
          const own = key === undefined ? [] : [key]
          return [this.records.origin(taskId, origin, own), ...undelivered, ...beside(started)]
        },
      })
      .catch((error: unknown) => {
        const key = made === undefined ? undefined : rejoinKey(made)
        if (made !== undefined) this.openCalls.remove(made, isHeard)
        // The task may be on disk all the same.
        if (key !== undefined && error instanceof HoldfastError && error.mayBeWritten) this.undelivered.add(key)
        throw error instanceof HoldfastError && error.code === 'INVALID_INPUT'
          ? new InvalidArguments(error.message)
          : error
      })
    if (!created) {
      if (kind === 'inline') this.openCalls.add(taskId, isHeard)
      const joined = { taskId, created, rejoinKey: undefined }
      await this.records.records.write(beside(joined))
      return joined
    }
    this.logger.debug('A task was created', { taskId, tool: tool.name, owner })
    const key = rejoinKey(taskId)
    if (key !== undefined) this.undelivered.add(key)
    return { taskId, created, rejoinKey: key, origin }
  }

  /**
   * Deletes the record that an inline call's answer is not delivered: a repeat is then a new call. Called once the
   * answer was handed to the connection, and not before (mcp-core-4).
   */
  deliver({ rejoinKey }: Pick<StartedCall, 'rejoinKey'>): void {
    if (rejoinKey !== undefined) this.undelivered.delete(rejoinKey)
  }

  /** Logs a mistake of the server's author, once. */
  logOnce(message: string): void {
    if (this.#said.has(message)) return
    this.#said.add(message)
    this.logger.error(message)
  }

  /**
   * Makes the answer for clients of one revision. The same task always has the same answer. That of an author's function is
   * stored before it is returned (mcp-core-3).
   */
  async answer(era: string, view: TaskView, origin: Origin | undefined): Promise<Answer> {
    const { taskId, outcome } = view
    if (!outcome) throw new Error(`Task ${taskId} has not settled`)
    if (origin?.projection !== 'custom') {
      // Clients check a result against the current schema. No other property of the tool may change a default answer.
      const { name = '', outputSchema } = this.tools.get(origin?.tool ?? '')?.tool ?? {}
      return answerOf(outcome, taskId, { name, outputSchema, toResult: undefined, toError: undefined })
    }
    const told = await this.records.readAnswer(taskId, era)
    if (told) return told
    const tool = this.tools.get(origin.tool)?.tool
    const answer = answerOf(outcome, taskId, tool)
    if (tool) await this.records.writeAnswer(taskId, era, answer)
    return answer
  }

  /** Finds the task of an equal call whose client gave up before the answer. */
  async #givenUp({ rejoinPrefix, caller }: PreparedCall): Promise<StartedCall | undefined> {
    if (rejoinPrefix === undefined) return undefined
    for (const taskId of await this.undelivered.find(rejoinPrefix)) {
      if (this.openCalls.isHeard(taskId)) continue
      const rejoinKey = `${rejoinPrefix}${taskId}`
      const view = await this.holdfast.get(taskId, { owner: caller.owner }).catch(() => undefined)
      const isStale =
        !view || (view.settledAt ?? Number.POSITIVE_INFINITY) + REJOIN_SETTLED_MS < this.binding.clock.now()
      if (!isStale) return { taskId, created: false, rejoinKey }
      this.undelivered.delete(rejoinKey)
    }
    return undefined
  }
}
