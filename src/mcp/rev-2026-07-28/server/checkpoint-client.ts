/**
 * The client's side of `sessions/*`, typed. It uses a structural type for the client, so that servers need no client
 * SDK.
 */
import { z } from 'zod'
import { checkpointCalls } from '../../checkpoints/client.js'
import { CHECKPOINTS_EXTENSION } from './extension.js'

/** The part of the `Client` of `@modelcontextprotocol/client` that is used. */
export interface ClientLike {
  // biome-ignore lint/suspicious/noExplicitAny: the client's overloads are about methods of its own
  readonly request: (request: { method: string; params: Record<string, unknown> }, schema: any) => Promise<any>
  readonly getServerCapabilities: () => { readonly extensions?: Record<string, unknown> | undefined } | undefined
}

const task = z.looseObject({ taskId: z.string(), status: z.string() })

/** True if the server of `client` keeps checkpoints. */
export function hasCheckpoints(client: ClientLike): boolean {
  return client.getServerCapabilities()?.extensions?.[CHECKPOINTS_EXTENSION] !== undefined
}

/**
 * Makes typed calls of a server's checkpoint methods.
 * @example
 * const sessions = checkpointClient(client)
 * const { taskId } = await sessions.createTask({ type: 'support' })
 * await sessions.saveCheckpoint(taskId, { step: 'address' }, { label: 'before payment' })
 */
export function checkpointClient(client: ClientLike) {
  return checkpointCalls((method, params, schema) => client.request({ method, params }, schema), task)
}
