/**
 * Answers `tools/call`: with a task if the client requested one, else with the result of the same durable task. Other
 * tools are passed on to the SDK, after two checks that it gets wrong.
 */

import {
  type CallToolRequest,
  type CallToolResult,
  type CreateTaskResult,
  RELATED_TASK_META_KEY,
} from '@modelcontextprotocol/sdk/types.js'
import { HoldfastError, ProtocolError } from '../../../base/errors.js'
import type { BindingRecord } from '../../../task/changes.js'
import type { Parked } from '../../../task/head.js'
import { callerOf } from '../../access/caller.js'
import { invalidParams, parkedAnswerOf, RPC, refusalOf, stoppedWordsOf } from '../../access/refusal.js'
import { toThrow } from '../../tools/answer.js'
import type { IsHeard } from '../../tools/join-call.js'
import type { McpCore } from '../../tools/mcp-core.js'
import { ProgressFeed } from '../../tools/progress-feed.js'
import { InvalidArguments, toolErrorOf } from '../../tools/tool-arguments.js'
import { waitForEnd } from '../../tools/wait.js'
import { InputAsker } from './ask-inputs.js'
import { projectNewTask } from './project-task.js'
import type { Attachment, DurableBinding, Extra, OpenCall } from './types.js'

/** Handles `tools/call`. */
export async function callTool(
  durable: DurableBinding,
  attachment: Attachment,
  request: CallToolRequest,
  extra: Extra,
  next: () => unknown,
): Promise<unknown> {
  const { name, task } = request.params
  if (!attachment.serves(name)) return callForeign(attachment, request, next)
  const { transport } = attachment
  const preflight = transport?.preflights.get(extra.requestId)
  try {
    await durable.core.ready()
    const call = await (preflight ?? openCall(durable, request, extra, () => !extra.signal.aborted))
    if (call.kind === 'start') return handleOf(call.started.taskId, `Started task ${call.started.taskId}.`)
    if (call.kind === 'task') return await answerWithTask(durable, attachment, call, extra)
    return await answerInline(durable, attachment, call, extra)
  } catch (error) {
    // A call that requests a task is answered with a task or an error: the SDK refuses a result.
    const result = task === undefined && toolErrorOf(error)
    if (result) return result
    if (error instanceof InvalidArguments) throw invalidParams(error.message)
    throw refusalOf(error, durable.core.logger)
  } finally {
    // A later request with the same ID may have a preflight of its own.
    if (preflight && transport?.preflights.get(extra.requestId) === preflight) {
      transport.preflights.delete(extra.requestId)
    }
  }
}

/**
 * Checks a call of a durable tool and makes its task durable.
 * @throws InvalidArguments; ProtocolError; HoldfastError
 */
export async function openCall(
  durable: DurableBinding,
  { params }: CallToolRequest,
  given: { authInfo?: Extra['authInfo'] | undefined; sessionId?: string | undefined },
  isHeard: IsHeard,
  beside?: (call: OpenCall) => readonly BindingRecord[],
): Promise<OpenCall> {
  const { core } = durable
  const found = core.tools.get(params.name)
  if (!found) throw invalidParams(`Tool ${params.name} not found`)
  const { tool, role } = found
  checkSupport(params.name, role === 'start' ? 'forbidden' : tool.taskSupport, params.task !== undefined)
  const kind = role === 'start' ? 'start' : params.task ? 'task' : 'inline'
  const caller = await callerOf(core.options, given)
  const prepared = await core.prepare(tool, kind, params.arguments, caller, {
    meta: params._meta,
    ttlMs: params.task?.ttl,
    isHeard,
  })
  const call = { tool, kind, caller, isHeard } as const
  const started = await core.start(prepared, beside && ((started) => beside({ ...call, started })))
  return { ...call, started }
}

function checkSupport(name: string, support: 'optional' | 'required' | 'forbidden' | undefined, asTask: boolean): void {
  if (asTask && (support === 'forbidden' || support === undefined)) {
    throw new ProtocolError(RPC.methodNotFound, `Tool ${name} does not support tasks`)
  }
  if (!asTask && support === 'required') {
    throw new ProtocolError(
      RPC.methodNotFound,
      `Tool ${name} has to be called as a task: send \`task\` with the request`,
    )
  }
}

async function callForeign(attachment: Attachment, { params }: CallToolRequest, next: () => unknown): Promise<unknown> {
  const support = await attachment.taskSupportOf(params.name)
  if (support !== 'unknown') checkSupport(params.name, support, params.task !== undefined)
  return next()
}

async function answerWithTask(
  durable: DurableBinding,
  attachment: Attachment,
  { started: { taskId, created }, caller }: OpenCall,
  extra: Extra,
): Promise<CreateTaskResult> {
  const { core } = durable
  attachment.created.set(taskId, caller)
  const view = await core.holdfast.get(taskId, { owner: caller.owner })
  const token = extra._meta?.progressToken
  if (token !== undefined) durable.followProgress(attachment, taskId, token, caller)
  const task = created ? projectNewTask(view, core.options.pollIntervalMs) : await durable.project(view)
  return { task, _meta: { [RELATED_TASK_META_KEY]: { taskId } } }
}

async function answerInline(
  durable: DurableBinding,
  attachment: Attachment,
  { tool, caller, started, isHeard, resumed }: OpenCall,
  extra: Extra,
): Promise<CallToolResult> {
  const { core } = durable
  const { owner } = caller
  const { taskId } = started
  const progressToken = extra._meta?.progressToken
  const feed =
    progressToken === undefined
      ? undefined
      : new ProgressFeed({
          clock: core.binding.clock,
          intervalMs: core.options.progressIntervalMs,
          last: resumed?.lastProgress,
          send: (progress) =>
            extra.sendNotification({ method: 'notifications/progress', params: { progressToken, ...progress } }),
        })
  const asking = new InputAsker({ durable, attachment, taskId, caller, extra, isInline: true })
  try {
    const end = await waitForEnd(core, taskId, {
      owner,
      signal: extra.signal,
      untilParked: true,
      isResumed: resumed !== undefined,
      budgetMs: tool.inlineBudgetMs,
      onProgress: (progress) => feed?.push(progress),
      onLook: (view) => asking.look(view),
    })
    await attachment.transport?.cancelling(extra.requestId)
    if (end.kind === 'aborted' || extra.signal.aborted) {
      return await interrupted(durable, attachment, { tool, caller, started }, extra)
    }
    await feed?.end()
    if (end.kind === 'parked') {
      return told(parkedAnswerOf(taskId, end.view?.parked as Parked), taskId)
    }
    // The answer is not marked as delivered, so the same call to the next process joins the task.
    if (end.kind === 'stopping') return told(stoppedWordsOf(taskId), taskId)
    const ends = (isRepeatable: boolean) => {
      const { rejoinKey } = started
      attachment.transport?.ends(extra.requestId, { rejoinKey, isRepeatable, deliver: () => core.deliver(started) })
    }
    if (end.kind === 'late') {
      ends(false)
      return handleOf(
        taskId,
        `Task ${taskId} continues to run. Get its state and result with tasks/get and tasks/result.`,
      )
    }
    // Made first: if that fails, or the process crashes meanwhile, a repeated call still finds the task.
    const answer = await durable.answer(end.view as NonNullable<typeof end.view>, started.origin)
    ends(true)
    if (answer.kind === 'error') throw toThrow(answer.error)
    return answer.result as CallToolResult
  } finally {
    feed?.stop()
    asking.stop()
    core.openCalls.remove(taskId, isHeard)
  }
}

/**
 * Ends an interrupted call: the connection is lost, or the client cancelled the call. Only a cancel can end the task,
 * if the tool allows it.
 */
async function interrupted(
  { core }: DurableBinding,
  { transport }: Attachment,
  call: Pick<OpenCall, 'tool' | 'caller' | 'started'>,
  { requestId }: Extra,
): Promise<CallToolResult> {
  if (transport?.wasCancelled(requestId)) await cancelTaskOf(core, call)
  // The result is not sent: the SDK answers no request that was cancelled.
  return { content: [] }
}

/**
 * Cancels the task of a call that the client cancelled, if `onInterrupt` of the tool is `'cancel'`. Resolves once that
 * is on disk.
 * @throws HoldfastError `STORE_UNAVAILABLE`, `CLOSED`
 */
export async function cancelTaskOf(
  core: McpCore,
  { tool, caller: { owner }, started: { taskId } }: Pick<OpenCall, 'tool' | 'caller' | 'started'>,
): Promise<void> {
  if (tool.onInterrupt !== 'cancel') return
  await core.holdfast.cancel(taskId, { owner, reason: 'The client cancelled the call' }).catch((error: unknown) => {
    if (!(error instanceof HoldfastError && error.code === 'TASK_SETTLED')) throw error
  })
}

function handleOf(taskId: string, text: string): CallToolResult {
  return { content: [{ type: 'text', text }], structuredContent: { taskId, status: 'working' } }
}

function told(text: string, taskId: string): CallToolResult {
  return { content: [{ type: 'text', text }], isError: true, _meta: { [RELATED_TASK_META_KEY]: { taskId } } }
}
