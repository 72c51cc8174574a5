/** The wire schemas of the official client as an oracle: every answer that a test gets has to fit the one for its method. */
import {
  CallToolResultV2Schema,
  CancelTaskResultV2Schema,
  CreateTaskResultV2Schema,
  ErrorV2Schema,
  GetTaskResultV2Schema,
  TaskStatusNotificationV2Schema,
  TaskSubscriptionAcknowledgedNotificationsV2Schema,
  UpdateTaskResultV2Schema,
} from '@modelcontextprotocol/ext-tasks/core/v2'

type Schema = { parse: (value: unknown) => unknown }

const RESULTS: Readonly<Record<string, Schema>> = {
  'tasks/get': GetTaskResultV2Schema,
  'tasks/update': UpdateTaskResultV2Schema,
  'tasks/cancel': CancelTaskResultV2Schema,
}

/** Throws unless an answer of the server's is one that the official client understands. */
export function checkSent(method: string, { result, error }: { result?: unknown; error?: unknown }): void {
  if (error !== undefined) {
    ErrorV2Schema.parse(error)
    return
  }
  if (method === 'tools/call') {
    const isTask = (result as { resultType?: unknown }).resultType === 'task'
    ;(isTask ? CreateTaskResultV2Schema : CallToolResultV2Schema).parse(result)
    return
  }
  RESULTS[method]?.parse(result)
  // A completed task's result is what its call would have answered.
  const { status, result: inlined } = result as { status?: unknown; result?: unknown }
  if (method === 'tasks/get' && status === 'completed') CallToolResultV2Schema.parse(inlined)
}

/** The same for a notification. */
export function checkNotified(notification: { method: string; params: Record<string, unknown> }): void {
  if (notification.method === 'notifications/tasks') {
    TaskStatusNotificationV2Schema.parse({ jsonrpc: '2.0', ...notification })
  }
  if (notification.method === 'notifications/subscriptions/acknowledged') {
    TaskSubscriptionAcknowledgedNotificationsV2Schema.parse(notification.params['notifications'])
  }
}
