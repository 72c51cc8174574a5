/** The client's side of `sessions/*` on this SDK. */
import type { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { TaskSchema } from '@modelcontextprotocol/sdk/types.js'
import { checkpointCalls } from '../../checkpoints/client.js'

/** True if the server that `client` is connected to keeps checkpoints. */
export function hasCheckpoints(client: Client): boolean {
  return client.getServerCapabilities()?.experimental?.['holdfast/checkpoints'] !== undefined
}

/**
 * Typed calls of a server's checkpoint methods.
 * @example
 * const sessions = checkpointClient(client)
 * const { taskId } = await sessions.createTask({ type: 'support' })
 * await sessions.saveCheckpoint(taskId, { step: 'address' }, { label: 'before payment' })
 */
export function checkpointClient(client: Client) {
  // A method of ours: the SDK's types know its own only.
  return checkpointCalls(
    (method, params, schema) => client.request({ method, params } as never, schema as never) as Promise<never>,
    TaskSchema,
  )
}
