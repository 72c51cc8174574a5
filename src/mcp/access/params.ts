/** What both revisions read off a request's parameters by themselves. */
import { noSuchTask } from './refusal.js'

/** Parameters as they came. */
export type Params = Readonly<Record<string, unknown>>

/** The task that a request is about. @throws ProtocolError -32602 */
export function taskIdOf({ taskId }: Params): string {
  if (typeof taskId === 'string') return taskId
  throw noSuchTask(taskId)
}
