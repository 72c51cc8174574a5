/** The client's side of `sessions/*`, typed. */
import type { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { TaskSchema } from '@modelcontextprotocol/sdk/types.js'
import { z } from 'zod'
import type { Outcome } from '../../task/outcome.js'

const saved = z.looseObject({ checkpointId: z.string() })
const restored = z.looseObject({
  checkpointId: z.string(),
  state: z.unknown(),
  completedSteps: z.number(),
  createdAt: z.string(),
})
const listed = z.looseObject({
  checkpoints: z.array(
    z.looseObject({
      checkpointId: z.string(),
      label: z.string().optional(),
      savedBy: z.enum(['client', 'body']),
      createdAt: z.string(),
      completedSteps: z.number(),
    }),
  ),
})
const created = z.looseObject({ taskId: z.string(), task: TaskSchema })
const completed = z.looseObject({ task: TaskSchema })

/** Whether the server that `client` is connected to keeps checkpoints. */
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
  const request = <T extends z.ZodType>(method: string, params: Record<string, unknown>, schema: T) =>
    client.request({ method, params } as never, schema as never) as Promise<z.output<T>>
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
