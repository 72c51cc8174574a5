/**
 * Handlers of `tasks/get`, `tasks/result`, `tasks/list` and `tasks/cancel`. `params.taskId` names the task, regardless
 * of the related-task hint of a request. Parameters are checked here, because a failed check of the SDK's schemas would
 * be answered with -32603.
 */
import { type CallToolResult, RELATED_TASK_META_KEY } from '@modelcontextprotocol/sdk/types.js'
import { z } from 'zod'
import type { TaskView } from '../../../api/task-view.js'
import { ProtocolError } from '../../../base/errors.js'
import { isSettled } from '../../../task/head.js'
import { type Caller, callerOf } from '../../access/caller.js'
import { type Params, taskIdOf } from '../../access/params.js'
import { invalidParams, RPC, refusalOf, stoppedWordsOf } from '../../access/refusal.js'
import { checkpointMethods } from '../../checkpoints/checkpoint-methods.js'
import { toThrow } from '../../tools/answer.js'
import { waitForEnd } from '../../tools/wait.js'
import { InputAsker } from './ask-inputs.js'
import type { Attachment, DurableBinding, Extra } from './types.js'

const PAGE = 50

/** Installs the handler of a method. Finds the caller, and turns a thrown error into a refusal. */
function serve(
  durable: DurableBinding,
  { server }: Attachment,
  method: string,
  handle: (params: Params, caller: Caller, extra: Extra) => Promise<Record<string, unknown>>,
): void {
  const schema = z.object({ method: z.literal(method), params: z.looseObject({}).optional() })
  server.setRequestHandler(
    schema as never,
    (async (request: { params?: Params }, extra: Extra) => {
      try {
        await durable.core.ready()
        return await handle(request.params ?? {}, await callerOf(durable.core.options, extra), extra)
      } catch (error) {
        throw refusalOf(error, durable.core.logger)
      }
    }) as never,
  )
}

export function installTaskMethods(durable: DurableBinding, attachment: Attachment): void {
  const { core } = durable

  serve(durable, attachment, 'tasks/get', async (params, caller) => {
    const taskId = taskIdOf(params)
    const scope = await core.scope('read', caller, { taskId })
    return { ...(await durable.project(await core.holdfast.get(taskId, scope))) }
  })

  serve(durable, attachment, 'tasks/result', async (params, caller, extra) => {
    const taskId = taskIdOf(params)
    const scope = await core.scope('read', caller, { taskId })
    const asking = new InputAsker({ durable, attachment, taskId, caller, extra, isInline: false })
    const { signal } = extra
    // Questions that a handler of the author asks within a task wait in the message queue, if there is one.
    let relayed = Promise.resolve()
    const relay = () => {
      relayed = relayed.then(() => durable.queue?.relay(taskId, attachment, extra)).catch(() => {})
    }
    const onLook = (view: TaskView) => {
      asking.look(view)
      relay()
    }
    const { kind, view } = await waitForEnd(core, taskId, { ...scope, signal, onLook }).finally(() => asking.stop())
    // A refusal, because a client would take a result for that of the task.
    if (kind === 'stopping') throw new ProtocolError(RPC.internal, stoppedWordsOf(taskId), { code: 'CLOSED', taskId })
    relay()
    await relayed
    // The client cancelled the request, so the SDK sends no answer.
    if (!view) return {}
    core.logger.debug('A result was fetched', { taskId, by: caller.owner })
    const answer = await durable.answer(view)
    if (answer.kind === 'error') throw toThrow(answer.error)
    const result = answer.result as CallToolResult
    return { ...result, _meta: { ...result._meta, [RELATED_TASK_META_KEY]: { taskId } } }
  })

  serve(durable, attachment, 'tasks/cancel', async (params, caller) => {
    const taskId = taskIdOf(params)
    const scope = await core.scope('cancel', caller, { taskId })
    const { status } = await core.holdfast.get(taskId, scope)
    if (isSettled(status)) throw invalidParams(`Cannot cancel task: already in terminal status '${status}'`)
    const reason = 'The client cancelled the task'
    return { ...(await durable.project(await core.holdfast.cancel(taskId, { ...scope, reason }))) }
  })

  // Without authentication, the ID is the only protection of a task: a list would return the IDs of all clients.
  if (core.options.access === 'open') {
    attachment.server.removeRequestHandler('tasks/list')
    return
  }
  serve(durable, attachment, 'tasks/list', async ({ cursor }, caller) => {
    if (cursor !== undefined && typeof cursor !== 'string') throw invalidParams('Invalid cursor')
    // An administrator too gets only a list of own tasks. So the list needs no further right.
    await core.scope('read', caller)
    const page = await core.holdfast.list({ owner: caller.owner, limit: PAGE, cursor })
    const tasks = await Promise.all(page.tasks.map((view) => durable.project(view)))
    return { tasks, ...(page.cursor === undefined ? {} : { nextCursor: page.cursor }) }
  })
}

export function installCheckpointMethods(durable: DurableBinding, attachment: Attachment): void {
  const { core, checkpoints } = durable
  const methods = checkpointMethods({
    core,
    checkpoints,
    show: (view) => durable.project(view),
    answer: (view) => durable.answer(view),
  })
  for (const [method, handle] of Object.entries(methods)) {
    serve(durable, attachment, method, (params, caller, { signal }) => handle(params, caller, signal))
  }
}
