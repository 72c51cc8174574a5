/** Request parameters, as both revisions read them. */
import { noSuchTask } from './refusal.js'

/** Unchecked parameters of a request. */
export type Params = Readonly<Record<string, unknown>>

/**
 * ID of the task that a request is about.
 * @throws ProtocolError -32602 if it is no text
 */
export function taskIdOf({ taskId }: Params): string {
  if (typeof taskId === 'string') return taskId
  throw noSuchTask(taskId)
}
