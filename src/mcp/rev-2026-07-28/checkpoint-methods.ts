/** Serves the checkpoint methods, as an extension of our own, on a server of this SDK. */
import { checkpointMethods } from '../checkpoint-methods.js'
import { serve } from './task-methods.js'
import type { Attachment, DurableBinding } from './types.js'

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
