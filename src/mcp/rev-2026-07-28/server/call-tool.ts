/**
 * Answers `tools/call`. The answer depends on the capabilities in the request. A client that declares the extension
 * gets a task once the tool's `inlineBudget` is over. Any other client gets the result of the same durable task. Other
 * tools are passed on to the author's server.
 *
 * - No call is answered before its task is on disk.
 * - A client without tasks gets the questions of a task as the answer to its call. The next round names the task and
 *   continues to wait. A close of the store ends such a call with a tool error that names the task, because the
 *   revision has no later answer. call-tool-2026-3. A first call may contain answers, by the names of the questions.
 *   Those that fit a question are used as soon as it is asked; the others are dropped. If the tool has a `toInput`,
 *   which may ask before there is a task, the answers are for that function instead.
 */
import {
  type ClientCapabilities,
  SdkError,
  ProtocolError as SdkProtocolError,
  type Server,
  type ServerContext,
} from '@modelcontextprotocol/server'
import type { TaskView } from '../../../api/task-view.js'
import { HoldfastError, ProtocolError } from '../../../base/errors.js'
import { faultOf } from '../../../base/fault.js'
import type { Parked } from '../../../task/head.js'
import { type Caller, callerOf } from '../../access/caller.js'
import { invalidParams, parkedAnswerOf, RPC, refusalOf, stoppedWordsOf } from '../../access/refusal.js'
import { type Answer, toThrow } from '../../tools/answer.js'
import { answerInputs, canAnswer, questionsOf, refuseInput } from '../../tools/inputs.js'
import type { IsHeard } from '../../tools/join-call.js'
import { InputNeeded, type McpCore, type StartedCall } from '../../tools/mcp-core.js'
import { ProgressFeed } from '../../tools/progress-feed.js'
import type { DurableTool, ToolResult } from '../../tools/tool.js'
import { toolErrorOf } from '../../tools/tool-arguments.js'
import { waitForEnd } from '../../tools/wait.js'
import { capabilitiesIn, isModern, knowsTasks, tasksNotDeclared } from './extension.js'
import { onceHandedOver } from './hand-over.js'
import { answersTo, fittingAnswersTo, type InputResponses } from './input-responses.js'
import { projectNewTask } from './project-task.js'
import { invalidState, RequestStates } from './request-state.js'
import type { Attachment, DurableBinding } from './types.js'

/** The parameters that are used. A `task` among them belongs to 2025-11-25 and has no effect here. */
export interface CallParams {
  readonly name: string
  readonly arguments?: Record<string, unknown> | undefined
}

interface Call {
  readonly tool: DurableTool
  readonly caller: Caller
  readonly ctx: ServerContext
  readonly server: Server
  readonly capabilities: ClientCapabilities
  readonly started: StartedCall
  readonly isHeard: IsHeard
  /** Answers in a first call (call-tool-2026-3). */
  readonly early: InputResponses
}

/** Handles `tools/call`. */
export async function callTool(
  durable: DurableBinding,
  attachment: Attachment,
  params: CallParams,
  ctx: ServerContext,
  next: () => unknown,
): Promise<unknown> {
  const { core } = durable
  const found = core.tools.get(params.name)
  if (!found || !attachment.serves(params.name)) return next()
  const { tool, role } = found
  try {
    await core.ready()
    const capabilities = capabilitiesIn(ctx) ?? attachment.server.getClientCapabilities() ?? {}
    const asTask = role === 'call' && tool.taskSupport !== 'forbidden' && isModern(ctx) && knowsTasks(capabilities)
    if (role === 'call' && tool.taskSupport === 'required' && !asTask) throw needsTask(params.name, ctx)
    const caller = await callerOf(core.options, { authInfo: ctx.http?.authInfo, sessionId: ctx.sessionId })
    const kind = role === 'start' ? 'start' : asTask ? 'task' : 'inline'
    const isHeard = () => !ctx.mcpReq.signal.aborted
    const state = ctx.mcpReq.requestState()
    const started = RequestStates.isOurs(state)
      ? await takeUpRound(durable, tool, caller, state, ctx)
      : await start(durable, tool, kind, params, caller, ctx, isHeard)
    const early = RequestStates.isOurs(state) || tool.toInput ? {} : (ctx.mcpReq.inputResponses ?? {})
    const { server } = attachment
    const call = { tool, caller, ctx, server, capabilities, started, isHeard, early }
    if (kind === 'start') return handleOf(started.taskId)
    return asTask ? await answerWithTask(durable, call) : await answerInline(durable, call)
  } catch (error) {
    if (error instanceof InputNeeded) return error.required
    const result = toolErrorOf(error)
    if (result) return result
    throw error instanceof SdkProtocolError ? error : refusalOf(error, core.logger)
  }
}

async function start(
  { core }: DurableBinding,
  tool: DurableTool,
  kind: 'inline' | 'task' | 'start',
  params: CallParams,
  caller: Caller,
  { mcpReq }: ServerContext,
  isHeard: IsHeard,
): Promise<StartedCall> {
  const prepared = await core.prepare(tool, kind, params.arguments, caller, {
    meta: mcpReq._meta,
    isHeard,
    inputResponses: mcpReq.inputResponses,
    requestState: mcpReq.requestState(),
  })
  return core.start(prepared)
}

/** Continues a call in its next round. The answers are durable before the wait. */
async function takeUpRound(
  durable: DurableBinding,
  tool: DurableTool,
  caller: Caller,
  state: string,
  { mcpReq }: ServerContext,
): Promise<StartedCall> {
  const { core } = durable
  const round = await durable.requestStates.verify(state)
  if (round.tool !== tool.name) throw invalidState()
  const { taskId } = round
  const scope = await core.scope('update', caller, { taskId })
  const answers = answersTo(await core.holdfast.get(taskId, scope), mcpReq.inputResponses ?? {})
  if (Object.keys(answers).length > 0) await answerInputs(core, taskId, answers, scope)
  return { taskId, created: false, rejoinKey: undefined }
}

async function answerWithTask(durable: DurableBinding, call: Call): Promise<unknown> {
  const { core } = durable
  const { tool, caller, ctx, started } = call
  const { owner } = caller
  const { taskId, created } = started
  const { pollIntervalMs } = core.options
  const budgetMs = tool.inlineBudgetMs ?? 0
  // A task that the call joins may have settled already.
  if (created && budgetMs === 0) {
    return { resultType: 'task', ...projectNewTask(await core.holdfast.get(taskId, { owner }), pollIntervalMs) }
  }
  const { signal } = ctx.mcpReq
  const asks = (view: TaskView) => questionsOf(view).size > 0
  const end = await waitForEnd(core, taskId, {
    owner,
    signal,
    untilParked: true,
    untilClosing: true,
    until: asks,
    budgetMs,
  })
  if (end.kind === 'aborted') return NOBODY
  const view = end.view as TaskView
  if (end.kind === 'settled') return resultOf(durable, view)
  const { inputRequests: _, ...task } = { inputRequests: undefined, ...(await durable.detail(view)) }
  return { resultType: 'task', ...task }
}

async function answerInline(durable: DurableBinding, call: Call): Promise<unknown> {
  const { core } = durable
  const { caller, ctx, started } = call
  const { taskId } = started
  const feed = progressFeedOf(durable, ctx)
  const isAsked = (view: TaskView) => answerable(durable, view, call.capabilities)
  const wait = () =>
    waitForEnd(core, taskId, {
      owner: caller.owner,
      signal: ctx.mcpReq.signal,
      untilParked: true,
      untilClosing: true,
      until: isAsked,
      onProgress: (progress) => feed?.push(progress),
    })
  try {
    let end = await wait()
    for (; end.kind === 'seen'; end = await wait()) {
      // Questions that are asked at the same time form one round.
      await core.binding.questionsAsked(taskId)
      const view = await core.holdfast.get(taskId, { owner: caller.owner })
      if (await answeredEarly(durable, call, view)) continue
      if (!isAsked(view)) continue
      end = { kind: 'seen', view }
      break
    }
    if (end.kind === 'aborted') return await interrupted(durable, call)
    await feed?.end()
    const view = end.view as TaskView
    if (end.kind === 'parked') return parkedResult(view)
    // The answer is not marked as delivered, so the same call to the next process joins the task.
    if (end.kind === 'stopping') return toolError(stoppedWordsOf(taskId))
    // The answer is made first. If that fails, or the process crashes meanwhile, a repeated call still finds the task.
    const { origin } = started
    const answer: Answer = end.kind === 'seen' ? await roundOf(durable, call, view) : await durable.answer(view, origin)
    handOver(call, core)
    if (answer.kind === 'error') throw toThrow(answer.error)
    return answer.result
  } finally {
    feed?.stop()
    core.openCalls.remove(taskId, call.isHeard)
  }
}

/** The answer is on its way. Until the connection has it, a repeated call after a crash finds the task (mcp-core-4). */
function handOver({ started: { rejoinKey }, ctx, server }: Call, { undelivered }: McpCore): void {
  if (rejoinKey === undefined) return
  undelivered.hold(rejoinKey)
  const deliver = () => undelivered.delete(rejoinKey)
  onceHandedOver(ctx, server, { deliver, release: () => undelivered.release(rejoinKey) })
}

/**
 * Answers questions with the answers of the first call (call-tool-2026-3).
 * @returns true if any of them was accepted
 */
async function answeredEarly({ core }: DurableBinding, { caller, early }: Call, view: TaskView): Promise<boolean> {
  const { taskId } = view
  const answers = fittingAnswersTo(view, early)
  if (Object.keys(answers).length === 0) return false
  return answerInputs(core, taskId, answers, await core.scope('update', caller, { taskId }))
}

/**
 * Makes the answer with the questions that the client can answer, and with the signed state that names the task in the
 * next round.
 */
async function roundOf(durable: DurableBinding, { tool, capabilities }: Call, view: TaskView): Promise<Answer> {
  const requestState = await durable.requestStates.sign({ taskId: view.taskId, tool: tool.name })
  const asked = [...questionsOf(view)].filter(([, { method }]) => canAnswer(capabilities, method))
  const round = { resultType: 'input_required', inputRequests: Object.fromEntries(asked), requestState }
  return { kind: 'result', result: round as unknown as ToolResult }
}

function progressFeedOf({ core }: DurableBinding, { mcpReq }: ServerContext): ProgressFeed | undefined {
  const progressToken = mcpReq._meta?.progressToken
  if (progressToken === undefined) return undefined
  return new ProgressFeed({
    clock: core.binding.clock,
    intervalMs: core.options.progressIntervalMs,
    send: (progress) => mcpReq.notify({ method: 'notifications/progress', params: { progressToken, ...progress } }),
  })
}

/**
 * True if the client can answer an open question. A question that it cannot answer is refused, because no other client
 * can either.
 */
function answerable({ core }: DurableBinding, view: TaskView, capabilities: ClientCapabilities): boolean {
  let found = false
  for (const [key, { method }] of questionsOf(view)) {
    if (canAnswer(capabilities, method)) found = true
    else {
      refuseInput(core, view.taskId, key, `The client can't answer ${method}`).catch((error: unknown) =>
        core.logger.debug('A question of a task could not be refused', { error: faultOf(error) }),
      )
    }
  }
  return found
}

/**
 * Ends an interrupted call: the connection is lost, or the client cancelled the call. Only a cancel can end the task,
 * if the tool allows it.
 */
async function interrupted({ core }: DurableBinding, { tool, caller, ctx, started }: Call): Promise<ToolResult> {
  // Over HTTP, a client cancels by disconnecting, which cannot be distinguished from a lost connection.
  const isCancelled = ctx.http?.req === undefined && !(ctx.mcpReq.signal.reason instanceof SdkError)
  if (isCancelled && tool.onInterrupt === 'cancel') {
    await core.holdfast
      .cancel(started.taskId, { owner: caller.owner, reason: 'The client cancelled the call' })
      .catch((error: unknown) => {
        if (!(error instanceof HoldfastError && error.code === 'TASK_SETTLED')) throw error
      })
  }
  return NOBODY
}

// The SDK answers no request that was aborted.
const NOBODY: ToolResult = { content: [] }

async function resultOf(durable: DurableBinding, view: TaskView): Promise<ToolResult> {
  const answer = await durable.answer(view)
  if (answer.kind === 'error') throw toThrow(answer.error)
  return answer.result
}

function handleOf(taskId: string): ToolResult {
  const content = [{ type: 'text', text: `Started task ${taskId}.` }]
  return { content, structuredContent: { taskId, status: 'working' } }
}

function parkedResult({ taskId, parked }: TaskView): ToolResult {
  return toolError(parkedAnswerOf(taskId, parked as Parked))
}

function toolError(text: string): ToolResult {
  return { content: [{ type: 'text', text }], isError: true }
}

function needsTask(name: string, ctx: ServerContext): Error {
  if (isModern(ctx)) return tasksNotDeclared()
  return new ProtocolError(
    RPC.methodNotFound,
    `Tool ${name} answers with a task, and this connection has none: it needs protocol revision 2026-07-28`,
  )
}

/** Creates the error of an unknown tool, for a server without tools of its own. */
export function unknownTool(name: unknown): Error {
  return invalidParams(`Tool ${String(name).slice(0, 80)} not found`)
}
