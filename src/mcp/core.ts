/**
 * What both protocol revisions do alike: tools, rights, counts, and the way from a call to a task, a new one or one that
 * the call joins. Knows no SDK.
 */

import { type Binding, bindingOf } from '../engine/binding.js'
import type { Holdfast } from '../engine/holdfast.js'
import type { TaskView } from '../engine/view.js'
import { HoldfastError, isProtocolError, ProtocolError } from '../errors.js'
import { type JsonUse, toPlain } from '../json.js'
import type { BindingRecord } from '../task/changes.js'
import type { TaskDefinition } from '../task/definition.js'
import { accountOf, type Caller } from './caller.js'
import { Counts } from './counts.js'
import type { Hub } from './hub.js'
import { checkJson } from './json-limits.js'
import type { IsHeard, OpenCalls } from './open-calls.js'
import { type CheckedDurableOptions, checkDurableOptions, type DurableOptions } from './options.js'
import { type Answer, answerOf, messageOf } from './outcome.js'
import { McpRecords, type Origin } from './records.js'
import { invalidParams, RPC } from './refusal.js'
import { type Scope, scopeFor } from './rights.js'
import { sharedOf } from './shared.js'
import { type CallExtra, type DurableTool, type InputRequired, makeTool, type ToolOptions } from './tool.js'
import { type Trace, traceOf } from './trace.js'
import { grantTtl } from './ttl.js'

/** Under which a client names a call, so that a repeat joins the first one. */
export const IDEMPOTENCY_META = 'holdfast/idempotencyKey'

// A result that nobody fetched answers a repeated call for this long: later the same call means something new.
const REJOIN_SETTLED_MS = 60 * 60_000

/** A call's arguments that don't fit. */
export class InvalidArguments extends Error {
  override readonly name = 'InvalidArguments'
}

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
  readonly account: string | undefined
  readonly input: unknown
  readonly idempotencyKey: string | undefined
  /** Where a repeat of it would be found. */
  readonly rejoinPrefix: string | undefined
  readonly ttlMs: number
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

export class McpCore {
  readonly options: CheckedDurableOptions
  readonly binding: Binding
  readonly records: McpRecords
  readonly counts: Counts
  readonly hub: Hub
  readonly tools = new Map<string, { readonly tool: DurableTool; readonly role: 'call' | 'start' }>()
  readonly openCalls: OpenCalls
  /** Answered, and the note of it is on its way to be deleted. */
  readonly #delivered: Set<string>

  constructor(
    readonly holdfast: Holdfast,
    options: DurableOptions,
  ) {
    this.options = checkDurableOptions(options)
    this.binding = bindingOf(holdfast)
    this.records = new McpRecords(this.binding.records('mcp'))
    const { hub, openCalls, delivered, counted } = sharedOf(holdfast, this.binding.clock)
    this.counts = new Counts(this.binding.clock, this.options.limits, counted)
    this.hub = hub
    this.openCalls = openCalls
    this.#delivered = delivered
    // Without authentication tasks are counted by session, and sessions of an earlier process are not asked for.
    for (const { taskId, owner, kind } of this.binding.liveTasks()) {
      if (owner !== undefined && this.options.access !== 'open') this.counts.created(taskId, owner, kind)
    }
    holdfast.on('task:settled', ({ taskId }) => this.counts.settled(taskId))
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
    this.holdfast.register(tool.definition)
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
    const account = accountOf(this.options.access, caller)
    if (account !== undefined) this.counts.checkRequest(account)
    return scopeFor(this.options, action, caller, about)
  }

  /** Counts a request whose body was refused before it was understood. @returns true if its account may go on making requests */
  countRefusal(caller: Caller): boolean {
    const account = accountOf(this.options.access, caller)
    return account === undefined || this.counts.tryRequest(account)
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
    const account = accountOf(access, caller)
    // A call that is refused below has cost as much as one that is not.
    if (account !== undefined) this.counts.checkRequest(account)
    checkJson(args, 'The arguments', limits)
    this.#checkArgumentBytes(tool, args)
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
      account,
      input,
      idempotencyKey: account === undefined || key === undefined ? undefined : scopedKey(access, account, key),
      rejoinPrefix: canJoin
        ? this.records.rejoinPrefix(account, tool.name, toPlain(input, this.#inputUse(tool)))
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
    const { tool, caller, kind, account, isHeard } = call
    const given = await this.#givenUp(call)
    if (given) {
      if (kind === 'inline') this.openCalls.add(given.taskId, isHeard)
      await this.records.records.write(beside(given))
      return given
    }
    if (account !== undefined) this.counts.checkCreate(account)
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
      .start(tool.definition, call.input, options, (taskId) => {
        const key = rejoinKey(taskId)
        made = taskId
        // Said before the commit: the engine may tell of the task's end before it tells us of its beginning.
        if (account !== undefined) this.counts.created(taskId, account)
        if (kind === 'inline') this.openCalls.add(taskId, isHeard)
        const undelivered = key === undefined ? [] : [this.records.records.own(key, '')]
        const started = { taskId, created: true, rejoinKey: key }
        const own = key === undefined ? [] : [key]
        return [this.records.origin(taskId, origin, own), ...undelivered, ...beside(started)]
      })
      .catch((error: unknown) => {
        if (made !== undefined) {
          this.counts.settled(made)
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
    this.binding.logger.info('A task was created', { taskId, tool: tool.name, owner })
    return { taskId, created, rejoinKey: rejoinKey(taskId) }
  }

  /**
   * The answer of an inline call is handed over: a repeat is a new call. Not waited for: to be told that nobody waits is
   * worth less than the answer itself, and over HTTP it is one write with the answer.
   */
  deliver({ taskId, rejoinKey }: StartedCall): void {
    if (rejoinKey === undefined) return
    this.#delivered.add(taskId)
    this.records.records
      .write([this.records.records.own(rejoinKey, undefined)])
      .catch((error: unknown) => this.binding.logger.warn('A note could not be deleted', { error: String(error) }))
      .finally(() => this.#delivered.delete(taskId))
  }

  /** What clients of a revision are told of a settled task: the same every time. */
  async answer(era: string, view: TaskView, origin: Origin | undefined): Promise<Answer> {
    const { taskId, outcome } = view
    if (!outcome) throw new Error(`Task ${taskId} has not settled`)
    if (origin?.projection !== 'custom') return answerOf(outcome, taskId)
    const told = await this.records.readAnswer(taskId, era)
    if (told) return told
    const tool = this.tools.get(origin.tool)?.tool
    const answer = answerOf(outcome, taskId, tool)
    if (tool) await this.records.writeAnswer(taskId, era, answer)
    return answer
  }

  /** @throws InvalidArguments when the arguments, as JSON and before anything converts them, take more than an input may */
  #checkArgumentBytes(tool: DurableTool, args: unknown): void {
    const { bytesMax, option } = this.#inputUse(tool)
    const text = args === undefined ? '' : JSON.stringify(args)
    if (text.length * 3 <= bytesMax) return
    const bytes = Buffer.byteLength(text)
    if (bytes <= bytesMax) return
    throw new InvalidArguments(
      `The arguments of tool ${tool.name} take ${bytes} bytes as JSON; the limit is ${bytesMax} (option \`${option}\`)`,
    )
  }

  #inputUse(tool: DurableTool): JsonUse {
    const { inputBytesMax: bytesMax } = this.binding
    return { what: `the input of tool '${tool.name}'`, bytesMax, option: 'limits.inputBytesMax' }
  }

  /** An earlier call with the same input that its client gave up, and whose answer nobody got. */
  async #givenUp({ rejoinPrefix, caller }: PreparedCall): Promise<StartedCall | undefined> {
    if (rejoinPrefix === undefined) return undefined
    for (const { key } of await this.records.records.list(rejoinPrefix)) {
      const taskId = key.slice(rejoinPrefix.length)
      if (this.openCalls.isHeard(taskId) || this.#delivered.has(taskId)) continue
      const view = await this.holdfast.get(taskId, { owner: caller.owner }).catch(() => undefined)
      const isStale =
        !view || (view.settledAt ?? Number.POSITIVE_INFINITY) + REJOIN_SETTLED_MS < this.binding.clock.now()
      if (!isStale) return { taskId, created: false, rejoinKey: key }
      await this.records.records.write([this.records.records.own(key, undefined)])
    }
    return undefined
  }
}

function isInputRequired(input: unknown): input is InputRequired {
  return typeof input === 'object' && input !== null && 'resultType' in input && input.resultType === 'input_required'
}

async function parseArguments(tool: DurableTool, args: unknown): Promise<unknown> {
  if (!tool.inputSchema) return args ?? {}
  const parsed = await tool.inputSchema.safeParseAsync(args ?? {})
  if (parsed.success) return parsed.data
  const issues = parsed.error.issues.map(
    ({ path, message }) => `${path.map(String).join('.') || 'arguments'}: ${message}`,
  )
  throw new InvalidArguments(`Invalid arguments for tool ${tool.name}: ${issues.join('; ')}`)
}

/** What the author's functions make of the arguments. What they throw is said like what a tool throws. */
async function mapped(tool: DurableTool, args: unknown, extra: CallExtra) {
  try {
    const input = tool.toInput ? await tool.toInput(args, extra) : args
    return { input, ownKey: tool.toIdempotencyKey?.(args, extra) }
  } catch (error) {
    if (!(error instanceof Error)) throw new InvalidArguments(String(error))
    if (!isProtocolError(error)) throw new InvalidArguments(error.message)
    throw new ProtocolError(error.code, messageOf(error), error.data)
  }
}

const KEY_BYTES_MAX = 200

function givenKey(meta: Record<string, unknown> | undefined): string | undefined {
  const key = meta?.[IDEMPOTENCY_META]
  if (key === undefined || typeof key === 'string') return key
  throw invalidParams(`_meta['${IDEMPOTENCY_META}'] must be a string`)
}

function scopedKey(access: CheckedDurableOptions['access'], account: string, key: string): string {
  if (Buffer.byteLength(key) > KEY_BYTES_MAX || key === '' || /\p{Cc}|\p{Cs}/u.test(key)) {
    throw invalidParams(`An idempotency key is 1 to ${KEY_BYTES_MAX} bytes of text without control characters`)
  }
  return access === 'open' ? `${account} ${key}` : key
}
