/**
 * Handlers of `tasks/get`, `tasks/update` and `tasks/cancel`. Parameters are checked here, so that every mistake is
 * -32602.
 */
import type { ServerContext } from '@modelcontextprotocol/server'
import { z } from 'zod'
import { HoldfastError, ProtocolError } from '../../../base/errors.js'
import { isSettled } from '../../../task/head.js'
import { type Caller, callerOf } from '../../access/caller.js'
import { type Params, taskIdOf } from '../../access/params.js'
import { invalidParams, RPC, refusalOf } from '../../access/refusal.js'
import { checkpointMethods } from '../../checkpoints/checkpoint-methods.js'
import { answerInputs } from '../../tools/inputs.js'
import { capabilitiesIn, isModern, knowsTasks, tasksNotDeclared } from './extension.js'
import { answersTo } from './input-responses.js'
import type { Attachment, DurableBinding } from './types.js'

type Handle = (params: Params, caller: Caller, ctx: ServerContext) => Promise<Record<string, unknown>>

// The SDK removes `_meta` and the fields of rounds from the parameters. The others are checked here.
const ANY = { params: z.looseObject({}), result: z.looseObject({}) }

/** Installs the handler of a method of our own extension. Finds the caller, and turns a thrown error into a refusal. */
function serve(durable: DurableBinding, { server }: Attachment, method: string, handle: Handle): void {
  const { core } = durable
  server.setRequestHandler(method, ANY, async (params: Params, ctx: ServerContext) => {
    try {
      await core.ready()
      const caller = await callerOf(core.options, { authInfo: ctx.http?.authInfo, sessionId: ctx.sessionId })
      return await handle(params, caller, ctx)
    } catch (error) {
      throw refusalOf(error, core.logger)
    }
  })
}

/** Installs the handler of a method of the tasks extension, for clients that declare the extension in the request. */
function serveTasks(durable: DurableBinding, attachment: Attachment, method: string, handle: Handle): void {
  const { server } = attachment
  const { core } = durable
  server.setRequestHandler(method, ANY, async (params: Params, ctx: ServerContext) => {
    // The extension does not exist in 2025-11-25. That revision's tasks are served by its own binding.
    if (!isModern(ctx)) throw new ProtocolError(RPC.methodNotFound, 'Method not found')
    if (!knowsTasks(capabilitiesIn(ctx))) throw tasksNotDeclared()
    try {
      await core.ready()
      const caller = await callerOf(core.options, { authInfo: ctx.http?.authInfo, sessionId: ctx.sessionId })
      return await handle(params, caller, ctx)
    } catch (error) {
      throw refusalOf(error, core.logger)
    }
  })
}

export function installTaskMethods(durable: DurableBinding, attachment: Attachment): void {
  const { core } = durable

  serveTasks(durable, attachment, 'tasks/get', async (params, caller) => {
    const taskId = taskIdOf(params)
    const scope = await core.scope('read', caller, { taskId })
    const view = await core.holdfast.get(taskId, scope)
    if (isSettled(view.status)) core.logger.debug('A result was fetched', { taskId, by: caller.owner })
    return { ...(await durable.detail(view)) }
  })

  serveTasks(durable, attachment, 'tasks/update', async (params, caller, { mcpReq }) => {
    const taskId = taskIdOf(params)
    const scope = await core.scope('update', caller, { taskId })
    const view = await core.holdfast.get(taskId, scope)
    if (mcpReq.inputResponses === undefined) throw invalidParams('`inputResponses` is missing')
    const answers = answersTo(view, mcpReq.inputResponses)
    if (Object.keys(answers).length > 0) await answerInputs(core, taskId, answers, scope)
    return {}
  })

  serveTasks(durable, attachment, 'tasks/cancel', async (params, caller) => {
    const taskId = taskIdOf(params)
    const scope = await core.scope('cancel', caller, { taskId })
    await core.holdfast
      .cancel(taskId, { ...scope, reason: 'The client cancelled the task' })
      .catch((error: unknown) => {
        // The cancel of a settled task has no effect and is no error.
        if (!(error instanceof HoldfastError && error.code === 'TASK_SETTLED')) throw error
      })
    return {}
  })
}

export function installCheckpointMethods(durable: DurableBinding, attachment: Attachment): void {
  const { core, checkpoints } = durable
  const methods = checkpointMethods({
    core,
    checkpoints,
    show: (view) => durable.detail(view),
    answer: (view) => durable.answer(view),
  })
  for (const [method, handle] of Object.entries(methods)) {
    serve(durable, attachment, method, (params, caller, { mcpReq }) => handle(params, caller, mcpReq.signal))
  }
}
