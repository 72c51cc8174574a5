/**
 * Answers `tools/call`. What a request's client knows decides, and nothing else: one that declares the extension gets a
 * task once the tool's `inlineBudget` is over, any other gets the result of the same durable task. Tools that are not
 * ours go on to the author's server.
 *
 * - Nothing is answered before the task is on disk.
 * - What a task asks a client without tasks for is the answer to its call; the next round names the task and waits on.
 *     A close of the store ends such a call with a tool error that names the task: the revision has no way to answer it later.
 * call-tool-2026-3. A first call may bring answers along, by the names of the questions: what they fit is answered as soon as it is asked,
 *     and the rest is left out. Not where the tool has a `toInput`, which may ask before there is a task: they are for that.
 */
import {
  type ClientCapabilities,
  SdkError,
  ProtocolError as SdkProtocolError,
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
import { InputNeeded, type StartedCall } from '../../tools/mcp-core.js'
import { ProgressFeed } from '../../tools/progress-feed.js'
import type { DurableTool, ToolResult } from '../../tools/tool.js'
import { toolErrorOf } from '../../tools/tool-arguments.js'
import { waitForEnd } from '../../tools/wait.js'
import { capabilitiesIn, isModern, knowsTasks, tasksNotDeclared } from './extension.js'
import { answersTo, fittingAnswersTo, type InputResponses } from './input-responses.js'
import { projectNewTask } from './project-task.js'
import { invalidState, RequestStates } from './request-state.js'
import type { Attachment, DurableBinding } from './types.js'

/** What is used of the request's parameters. A `task` among them is 2025-11-25's, and means nothing here. */
export interface CallParams {
  readonly name: string
  readonly arguments?: Record<string, unknown> | undefined
}

interface Call {
  readonly tool: DurableTool
  readonly caller: Caller
  readonly ctx: ServerContext
  readonly capabilities: ClientCapabilities
  readonly started: StartedCall
  readonly isHeard: IsHeard
  /** Answers that came with a first call (call-tool-2026-3). */
  readonly early: InputResponses
}

/** The handler of `tools/call`. */
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
    const call = { tool, caller, ctx, capabilities, started, isHeard, early }
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

/** The next round of a call: its answers are durable before anything is waited for. */
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
  // One that the call joins may be over already.
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
      // Questions that are asked side by side are one round, and not one each.
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
    // Not delivered: the same call to the next process joins the task.
    if (end.kind === 'stopping') return toolError(stoppedWordsOf(taskId))
    // Made first: should that fail, or the process die over it, the repeat of the call still finds the task.
    const answer: Answer = end.kind === 'seen' ? await roundOf(durable, call, view) : await durable.answer(view)
    // Whoever was sent something is not waiting any more.
    core.deliver(started)
    if (answer.kind === 'error') throw toThrow(answer.error)
    return answer.result
  } finally {
    feed?.stop()
    core.openCalls.remove(taskId, call.isHeard)
  }
}

/** Answers what is asked for with what the call brought along (call-tool-2026-3). @returns whether any of it counts */
async function answeredEarly({ core }: DurableBinding, { caller, early }: Call, view: TaskView): Promise<boolean> {
  const { taskId } = view
  const answers = fittingAnswersTo(view, early)
  if (Object.keys(answers).length === 0) return false
  return answerInputs(core, taskId, answers, await core.scope('update', caller, { taskId }))
}

/** The questions that the client can answer, and what names the task when it comes back with the answers. */
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

/** True if the client can be asked for something now. What it can't be asked for, nobody can: that is said to the task. */
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

/** The connection is gone, or its client cancelled the call. Only the second ever ends the task, and only if it may. */
async function interrupted({ core }: DurableBinding, { tool, caller, ctx, started }: Call): Promise<ToolResult> {
  // Over HTTP a client cancels by hanging up, which is what a lost connection looks like too.
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

/** What a server without tools of its own says of an unknown one. */
export function unknownTool(name: unknown): Error {
  return invalidParams(`Tool ${String(name).slice(0, 80)} not found`)
}
