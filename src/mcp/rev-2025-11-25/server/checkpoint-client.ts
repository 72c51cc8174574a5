/** The client's side of `sessions/*`, for the client of this SDK. */
import type { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { TaskSchema } from '@modelcontextprotocol/sdk/types.js'
import { checkpointCalls } from '../../checkpoints/client.js'

/** True if the server of `client` keeps checkpoints. */
export function hasCheckpoints(client: Client): boolean {
  return client.getServerCapabilities()?.experimental?.['holdfast/checkpoints'] !== undefined
}

/**
 * Makes typed calls of a server's checkpoint methods.
 * @example
 * const sessions = checkpointClient(client)
 * const { taskId } = await sessions.createTask({ type: 'support' })
 * await sessions.saveCheckpoint(taskId, { step: 'address' }, { label: 'before payment' })
 */
export function checkpointClient(client: Client) {
  // The SDK's types know only the methods of the protocol.
  return checkpointCalls(
    (method, params, schema) => client.request({ method, params } as never, schema as never) as Promise<never>,
    TaskSchema,
  )
}
