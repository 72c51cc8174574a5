/**
 * What both protocol revisions do alike: tools, rights, counts, and the way from a call to a task, a new one or one that
 * the call joins. Knows no SDK.
 */

import type { Holdfast } from '../../api/holdfast.js'
import type { TaskView } from '../../api/task-view.js'
import { HoldfastError, ProtocolError } from '../../base/errors.js'
import { faultOf } from '../../base/fault.js'
import { toPlain } from '../../base/json.js'
import type { Quota } from '../../engine/scheduling/admission.js'
import { checkJson } from '../../http/json-limits.js'
import type { BindingRecord } from '../../task/changes.js'
import type { TaskDefinition } from '../../task/definition/definition.js'
import { accountOf, type Caller, countedAs } from '../access/caller.js'
import { type CheckedDurableOptions, checkDurableOptions, type DurableOptions } from '../access/options.js'
import { RPC } from '../access/refusal.js'
import { type Scope, scopeFor } from '../access/rights.js'
import { grantTtl } from '../access/ttl.js'
import { type Answer, answerOf } from './answer.js'
import type { IsHeard } from './join-call.js'
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
import { type Trace, traceOf } from './trace.js'

// A result that nobody fetched answers a repeated call for this long: later the same call means something new.
const REJOIN_SETTLED_MS = 60 * 60_000

/** `toInput` asks the client for something first. A revision without words for that refuses the call with this. */
export class InputNeeded extends ProtocolError {
  override readonly name = 'InputNeeded'

  constructor(
    tool: string,
    readonly required: InputRequired,
  ) {
    super(RPC.internal, `Tool ${tool} asks for input before its task, and this protocol revision has no words for that`)
  }
}

/** What a call came with, besides its arguments. */
export interface CallAbout extends Pick<CallExtra, 'inputResponses' | 'requestState'> {
  readonly meta?: Record<string, unknown> | undefined
  readonly ttlMs?: number | undefined
  readonly isHeard: IsHeard
}

/** A call that is allowed and understood, and not a task yet. */
export interface PreparedCall {
  readonly tool: DurableTool
  readonly caller: Caller
  readonly kind: Exclude<Origin['kind'], 'store'>
  readonly input: unknown
  readonly idempotencyKey: string | undefined
  /** Where a repeat of it would be found. */
  readonly rejoinPrefix: string | undefined
  readonly ttlMs: number | undefined
  readonly trace: Trace | undefined
  /** Of an inline call: whether its client is there. */
  readonly isHeard: IsHeard
}

/** The task of a call. */
export interface StartedCall {
  readonly taskId: string
  readonly created: boolean
  /** Its note that the answer is not delivered. */
  readonly rejoinKey: string | undefined
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

  /** @throws TypeError for a tool that can't be listed, or a name that is taken */
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

  /** @throws ProtocolError when the caller may not, or does too much */
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
   * Limits of what the caller may start. Without authentication all clients share one owner, so the session is what counts,
   * or the address where there are no sessions; without either a caller has no limits of its own.
   */
  quotaOf(caller: Caller, origin?: 'store'): Quota | undefined {
    const { access, limits, ratePerOwner } = this.options
    const account = countedAs(access, caller)
    if (account === undefined) return undefined
    const { liveTasksPerOwnerMax, sessionTasksPerOwnerMax } = limits
    return {
      account: access === 'open' ? account : undefined,
      liveTasksPerOwnerMax,
      // A server's own tasks through `taskStore` have no body either, and are no sessions.
      sessionTasksPerOwnerMax: origin === 'store' ? liveTasksPerOwnerMax : sessionTasksPerOwnerMax,
      ratePerOwner,
    }
  }

  /** Counts a request whose body was refused before it was understood. @returns true if its account may go on making requests */
  countRefusal(caller: Caller): boolean {
    const counted = countedAs(this.options.access, caller)
    // What is counted belongs to a store; before that is open there is nothing to count with.
    return counted === undefined || !this.isOpen || this.counts.tryRequest(counted)
  }

  /**
   * Everything about a call that comes before its task.
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
    // A call that is refused below has cost as much as one that is not.
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
   * The task of a call: the one it joins, or a new one. What `beside` returns is on disk with it.
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
          // Before the commit, since the task may end before the commit is reported.
          if (kind === 'inline') this.openCalls.add(taskId, isHeard)
          const undelivered = key === undefined ? [] : [this.records.records.own(key, '')]
          const started = { taskId, created: true, rejoinKey: key }
          const own = key === undefined ? [] : [key]
          return [this.records.origin(taskId, origin, own), ...undelivered, ...beside(started)]
        },
      })
      .catch((error: unknown) => {
        if (made !== undefined) {
          this.openCalls.remove(made, isHeard)
        }
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
    return { taskId, created, rejoinKey: rejoinKey(taskId) }
  }

  /**
   * The answer of an inline call is handed over: a repeat is a new call. Not waited for: to be told that nobody waits is
   * worth less than the answer itself, and over HTTP it is one write with the answer.
   */
  deliver({ taskId, rejoinKey }: StartedCall): void {
    if (rejoinKey === undefined) return
    this.delivered.add(taskId)
    this.records.records
      .write([this.records.records.own(rejoinKey, undefined)])
      .catch((error: unknown) => this.logger.debug('A note could not be deleted', { error: faultOf(error) }))
      .finally(() => this.delivered.delete(taskId))
  }

  /** Logs a mistake of the server's author, the first time it is found. */
  logOnce(message: string): void {
    if (this.#said.has(message)) return
    this.#said.add(message)
    this.logger.error(message)
  }

  /** What clients of a revision are told of a settled task: the same every time. */
  async answer(era: string, view: TaskView, origin: Origin | undefined): Promise<Answer> {
    const { taskId, outcome } = view
    if (!outcome) throw new Error(`Task ${taskId} has not settled`)
    if (origin?.projection !== 'custom') {
      // Clients check a result against the schema that is listed now, and nothing else of the tool may change what is said.
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

  /** An earlier call with the same input that its client gave up, and whose answer nobody got. */
  async #givenUp({ rejoinPrefix, caller }: PreparedCall): Promise<StartedCall | undefined> {
    if (rejoinPrefix === undefined) return undefined
    for (const { key } of await this.records.records.list(rejoinPrefix)) {
      const taskId = key.slice(rejoinPrefix.length)
      if (this.openCalls.isHeard(taskId) || this.delivered.has(taskId)) continue
      const view = await this.holdfast.get(taskId, { owner: caller.owner }).catch(() => undefined)
      const isStale =
        !view || (view.settledAt ?? Number.POSITIVE_INFINITY) + REJOIN_SETTLED_MS < this.binding.clock.now()
      if (!isStale) return { taskId, created: false, rejoinKey: key }
      await this.records.records.write([this.records.records.own(key, undefined)])
    }
    return undefined
  }
}
