/** The client's side of `sessions/*`, typed. It knows a client by what it is asked for, so that servers need no client SDK. */
import { z } from 'zod'
import type { Outcome } from '../../task/outcome.js'
import { CHECKPOINTS_EXTENSION } from './extension.js'

/** What is used of the `Client` of `@modelcontextprotocol/client`. */
export interface ClientLike {
  // biome-ignore lint/suspicious/noExplicitAny: the client's overloads are about methods of its own
  readonly request: (request: { method: string; params: Record<string, unknown> }, schema: any) => Promise<any>
  readonly getServerCapabilities: () => { readonly extensions?: Record<string, unknown> | undefined } | undefined
}

const checkpoint = {
  checkpointId: z.string(),
  createdAt: z.string(),
  completedSteps: z.number(),
}
const saved = z.looseObject({ checkpointId: z.string() })
const restored = z.looseObject({ ...checkpoint, state: z.unknown() })
const listed = z.looseObject({
  checkpoints: z.array(
    z.looseObject({ ...checkpoint, label: z.string().optional(), savedBy: z.enum(['client', 'body']) }),
  ),
})
const task = z.looseObject({ taskId: z.string(), status: z.string() })
const created = z.looseObject({ taskId: z.string(), task })
const completed = z.looseObject({ task })

/** Whether the server that `client` is connected to keeps checkpoints. */
export function hasCheckpoints(client: ClientLike): boolean {
  return client.getServerCapabilities()?.extensions?.[CHECKPOINTS_EXTENSION] !== undefined
}

/**
 * Typed calls of a server's checkpoint methods.
 * @example
 * const sessions = checkpointClient(client)
 * const { taskId } = await sessions.createTask({ type: 'support' })
 * await sessions.saveCheckpoint(taskId, { step: 'address' }, { label: 'before payment' })
 */
export function checkpointClient(client: ClientLike) {
  const request = <T extends z.ZodType>(method: string, params: Record<string, unknown>, schema: T) =>
    client.request({ method, params }, schema) as Promise<z.output<T>>
  return {
    saveCheckpoint: (taskId: string, state: unknown, { label }: { label?: string } = {}) =>
      request('sessions/saveCheckpoint', { taskId, state, ...(label === undefined ? {} : { label }) }, saved),
    restoreCheckpoint: (taskId: string, checkpointId?: string) =>
      request(
        'sessions/restoreCheckpoint',
        { taskId, ...(checkpointId === undefined ? {} : { checkpointId }) },
        restored,
      ),
    listCheckpoints: (taskId: string) => request('sessions/listCheckpoints', { taskId }, listed),
    createTask: (options: { type?: string; ttl?: number } = {}) => request('sessions/createTask', options, created),
    completeTask: (taskId: string, outcome?: Outcome) =>
      request('sessions/completeTask', { taskId, ...(outcome ? { outcome } : {}) }, completed),
  }
}
