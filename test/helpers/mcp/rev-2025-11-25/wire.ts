/** The wire schemas of the official client as an oracle: every answer that a raw client gets has to fit the one for its method. */
import {
  CallToolResultV1Schema,
  CancelTaskResultV1Schema,
  CreateTaskResultV1Schema,
  GetTaskResultV1Schema,
  ListTasksResultV1Schema,
  TaskStatusNotificationV1Schema,
} from '@modelcontextprotocol/ext-tasks/core/v1'

const RESULTS: Readonly<Record<string, { parse: (value: unknown) => unknown }>> = {
  'tasks/get': GetTaskResultV1Schema,
  'tasks/list': ListTasksResultV1Schema,
  'tasks/cancel': CancelTaskResultV1Schema,
  'tasks/result': CallToolResultV1Schema,
}

/** Throws unless an answer of the server's is one that the official client understands. */
export function checkSent(method: string, result: unknown): void {
  if (result === undefined) return
  if (method !== 'tools/call') {
    RESULTS[method]?.parse(result)
    return
  }
  const isTask = 'task' in (result as object)
  ;(isTask ? CreateTaskResultV1Schema : CallToolResultV1Schema).parse(result)
}

/** The same for a notification. */
export function checkNotified(notification: { method: string; params?: unknown }): void {
  if (notification.method === 'notifications/tasks/status') TaskStatusNotificationV1Schema.parse(notification)
}
