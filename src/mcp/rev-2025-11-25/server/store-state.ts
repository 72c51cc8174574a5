/**
 * What is kept of a task that a server made through `durable.taskStore`: it has no body, so its status and its result
 * are what the server said. Beside the task, so that it goes when the task goes.
 */
import type { Result, Task } from '@modelcontextprotocol/sdk/types.js'
import type { BindingRecords } from '../../../store/binding-records.js'
import type { BindingRecord } from '../../../task/changes.js'

/** What the server said last. */
export interface StoreState {
  readonly status: Task['status']
  readonly statusMessage?: string | undefined
  readonly pollIntervalMs?: number | undefined
  readonly result?: Result | undefined
}

/** The record of it. */
export function storeState(records: BindingRecords, taskId: string, state: StoreState): BindingRecord {
  return records.beside(taskId, 'store', JSON.stringify(state))
}

export async function readStoreState(records: BindingRecords, taskId: string): Promise<StoreState | undefined> {
  const text = await records.getBeside(taskId, 'store')
  return text === undefined ? undefined : (JSON.parse(text) as StoreState)
}
