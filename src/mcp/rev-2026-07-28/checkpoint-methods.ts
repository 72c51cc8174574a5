/** Serves the checkpoint methods, as an extension of our own, on a server of this SDK. */
import { checkpointMethods } from '../checkpoint-methods.js'
import type { Attachment } from './attach.js'
import type { DurableTasks } from './durable-tasks.js'
import { serve } from './task-methods.js'

export function installCheckpointMethods(durable: DurableTasks, attachment: Attachment): void {
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
