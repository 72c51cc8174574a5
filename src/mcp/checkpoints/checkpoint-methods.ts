/**
 * Handlers of `sessions/*`: methods for checkpoints and session tasks, besides those of the protocol. With the option
 * `aliases`, also the method names of an earlier draft's reference implementation. Each revision serves them, and shows
 * tasks in its own form.
 */
import type { TaskView } from '../../api/task-view.js'
import { ProtocolError } from '../../base/errors.js'
import type { Caller } from '../access/caller.js'
import { type Params, taskIdOf } from '../access/params.js'
import { RPC, stoppedWordsOf } from '../access/refusal.js'
import { type Answer, toThrow } from '../tools/answer.js'
import type { McpCore } from '../tools/mcp-core.js'
import { waitForEnd } from '../tools/wait.js'
import type { Checkpoints } from './checkpoints.js'

/** Functions and parts that a revision passes in. */
export interface CheckpointParts {
  readonly core: McpCore
  readonly checkpoints: Checkpoints
  /** Shows a task in the form of the revision. */
  readonly show: (view: TaskView) => Promise<object>
  readonly answer: (view: TaskView) => Promise<Answer>
}

/** Handler of a method. */
export type Method = (params: Params, caller: Caller, signal: AbortSignal) => Promise<Record<string, unknown>>

/** Creates the handlers, by method name. */
export function checkpointMethods({ core, checkpoints, show, answer }: CheckpointParts): Record<string, Method> {
  const createTask: Method = async (params, caller) => {
    const view = await checkpoints.createTask(params, caller)
    return { taskId: view.taskId, task: await show(view) }
  }
  const methods: Record<string, Method> = {
    'sessions/saveCheckpoint': (params, caller) => checkpoints.save(params, caller),
    'sessions/restoreCheckpoint': async (params, caller) => ({ ...(await checkpoints.restore(params, caller)) }),
    'sessions/listCheckpoints': (params, caller) => checkpoints.list(params, caller),
    'sessions/createTask': createTask,
    'sessions/completeTask': async (params, caller) => ({
      task: await show(await checkpoints.completeTask(params, caller)),
    }),
  }
  if (!core.options.aliases) return methods
  return {
    ...methods,
    'tasks/create': createTask,
    'tasks/getStatus': async (params, caller) => {
      const taskId = taskIdOf(params)
      const scope = await core.scope('read', caller, { taskId })
      return { ...(await show(await core.holdfast.get(taskId, scope))) }
    },
    'tasks/getResult': async (params, caller, signal) => {
      const taskId = taskIdOf(params)
      const scope = await core.scope('read', caller, { taskId })
      const { kind, view } = await waitForEnd(core, taskId, { ...scope, signal })
      if (kind === 'stopping') throw new ProtocolError(RPC.internal, stoppedWordsOf(taskId), { code: 'CLOSED', taskId })
      if (!view) return {}
      const told = await answer(view)
      if (told.kind === 'error') throw toThrow(told.error)
      return told.result
    },
  }
}
