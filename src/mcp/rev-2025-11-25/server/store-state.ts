/**
 * State of a task that a server created through `durable.taskStore`. Such a task has no body, so the server sets its
 * status and its result. The record belongs to the task and is deleted with it.
 */
import type { Result, Task } from '@modelcontextprotocol/sdk/types.js'
import type { BindingRecords } from '../../../store/binding-records.js'
import type { BindingRecord } from '../../../task/changes.js'

/** State that the server set last. */
export interface StoreState {
  readonly status: Task['status']
  readonly statusMessage?: string | undefined
  readonly pollIntervalMs?: number | undefined
  readonly result?: Result | undefined
}

/** Makes the record of the state. */
export function storeState(records: BindingRecords, taskId: string, state: StoreState): BindingRecord {
  return records.beside(taskId, 'store', JSON.stringify(state))
}

export async function readStoreState(records: BindingRecords, taskId: string): Promise<StoreState | undefined> {
  const text = await records.getBeside(taskId, 'store')
  return text === undefined ? undefined : (JSON.parse(text) as StoreState)
}
