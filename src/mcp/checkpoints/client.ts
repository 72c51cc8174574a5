/** The client's side of `sessions/*`, typed, for the client of any SDK. */
import { z } from 'zod'
import type { Outcome } from '../../task/log/outcome.js'

const checkpoint = { checkpointId: z.string(), createdAt: z.string(), completedSteps: z.number() }
const saved = z.looseObject({ checkpointId: z.string() })
const restored = z.looseObject({ ...checkpoint, state: z.unknown() })
const listed = z.looseObject({
  checkpoints: z.array(
    z.looseObject({ ...checkpoint, label: z.string().optional(), savedBy: z.enum(['client', 'body']) }),
  ),
})

/** Sends a request and checks its result. */
export type Send = <T extends z.ZodType>(
  method: string,
  params: Record<string, unknown>,
  schema: T,
) => Promise<z.output<T>>

/**
 * Creates the calls of a client.
 * @param task schema of a task in the revision's form
 */
export function checkpointCalls<Task extends z.ZodType>(send: Send, task: Task) {
  return {
    saveCheckpoint: (taskId: string, state: unknown, { label }: { label?: string } = {}) =>
      send('sessions/saveCheckpoint', { taskId, state, ...(label === undefined ? {} : { label }) }, saved),
    restoreCheckpoint: (taskId: string, checkpointId?: string) =>
      send('sessions/restoreCheckpoint', { taskId, ...(checkpointId === undefined ? {} : { checkpointId }) }, restored),
    listCheckpoints: (taskId: string) => send('sessions/listCheckpoints', { taskId }, listed),
    createTask: (options: { type?: string; ttl?: number } = {}) =>
      send('sessions/createTask', options, z.looseObject({ taskId: z.string(), task })),
    completeTask: (taskId: string, outcome?: Outcome) =>
      send('sessions/completeTask', { taskId, ...(outcome ? { outcome } : {}) }, z.looseObject({ task })),
  }
}
