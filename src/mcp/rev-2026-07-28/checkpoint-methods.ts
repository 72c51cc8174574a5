/**
 * `sessions/*`: checkpoints and session tasks as methods of an extension of our own, and on request the names that the
 * reference implementation of an earlier draft used (`aliases`).
 */
import { toThrow } from '../outcome.js'
import { waitForEnd } from '../wait.js'
import type { Attachment } from './attach.js'
import type { DurableTasks } from './durable-tasks.js'
import { serve, taskIdOf } from './task-methods.js'

export function installCheckpointMethods(durable: DurableTasks, attachment: Attachment): void {
  const { core, checkpoints } = durable
  serve(durable, attachment, 'sessions/saveCheckpoint', (params, caller) => checkpoints.save(params, caller))
  serve(durable, attachment, 'sessions/restoreCheckpoint', async (params, caller) => ({
    ...(await checkpoints.restore(params, caller)),
  }))
  serve(durable, attachment, 'sessions/listCheckpoints', (params, caller) => checkpoints.list(params, caller))
  serve(durable, attachment, 'sessions/createTask', async (params, caller) => {
    const task = await durable.detail(await checkpoints.createTask(params, caller))
    return { taskId: task.taskId, task }
  })
  serve(durable, attachment, 'sessions/completeTask', async (params, caller) => ({
    task: await durable.detail(await checkpoints.completeTask(params, caller)),
  }))
  if (!core.options.aliases) return

  serve(durable, attachment, 'tasks/create', async (params, caller) => {
    const task = await durable.detail(await checkpoints.createTask(params, caller))
    return { taskId: task.taskId, task }
  })
  serve(durable, attachment, 'tasks/getStatus', async (params, caller) => {
    const taskId = taskIdOf(params)
    const scope = await core.scope('read', caller, { taskId })
    return { ...(await durable.detail(await core.holdfast.get(taskId, scope))) }
  })
  serve(durable, attachment, 'tasks/getResult', async (params, caller, { mcpReq }) => {
    const taskId = taskIdOf(params)
    const scope = await core.scope('read', caller, { taskId })
    const { view } = await waitForEnd(core, taskId, { ...scope, signal: mcpReq.signal })
    if (!view) return {}
    const answer = await durable.answer(view)
    if (answer.kind === 'error') throw toThrow(answer.error)
    return answer.result
  })
}
