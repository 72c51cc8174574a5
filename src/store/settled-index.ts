/**
 * The index of settled tasks: the entries of a task, and their values. Unfinished tasks are in memory
 * (engine/core/live-tasks.ts), so no entry ever changes.
 *
 * index-1. A task has its entries exactly while `done/` has its head. One batch puts them with it, and one deletes them
 *   with it.
 * index-2. An entry has what a list compares, so that a list reads only the heads of its page.
 */
import type { TaskAttributes } from '../task/attributes.js'
import { byteCountOf } from '../task/byte-count.js'
import { attributesOf, type TaskHead } from '../task/head.js'
import {
  attributeIndexPrefix,
  childIndexPrefix,
  ownerIndexPrefix,
  type SettledStatus,
  statusIndexPrefix,
  typeIndexPrefix,
} from './disk/index-keys.js'

/** An entry before it is sealed. */
export interface IndexEntry {
  readonly key: string
  readonly body: string
}

/** Value of an entry under an owner. */
export type OwnerEntry = readonly [type: string, keptBytes: number, isChild?: 1]
/** Value of an entry under a parent. */
export type ChildEntry = readonly [status: SettledStatus, type: string, owner: string | null]

/** Value of an entry under an attribute. */
export type AttributeEntry = readonly [status: SettledStatus, type: string, owner: string | null, parentId?: string]

/** The entries of a settled task. */
export function indexEntriesOf(head: TaskHead): IndexEntry[] {
  const { taskId, type, owner, parentId } = head
  const status = head.status as SettledStatus
  const entries: IndexEntry[] = [{ key: `${typeIndexPrefix(type, status)}${taskId}`, body: '' }]
  if (owner !== undefined) {
    const entry: OwnerEntry = [type, byteCountOf(head).kept]
    const body = JSON.stringify(parentId === undefined ? entry : [...entry, 1])
    entries.push({ key: `${ownerIndexPrefix(owner, status)}${taskId}`, body })
  }
  if (status !== 'completed') entries.push({ key: `${statusIndexPrefix(status)}${taskId}`, body: '' })
  if (parentId !== undefined) {
    const entry: ChildEntry = [status, type, owner ?? null]
    entries.push({ key: `${childIndexPrefix(parentId)}${taskId}`, body: JSON.stringify(entry) })
  }
  const attributes = attributesOf(head)
  if (attributes) entries.push(...attributeEntriesOf(head, attributes))
  return entries
}

function attributeEntriesOf(head: TaskHead, attributes: TaskAttributes): IndexEntry[] {
  const { taskId, type, owner = null, parentId } = head
  const status = head.status as SettledStatus
  const entry: AttributeEntry = parentId === undefined ? [status, type, owner] : [status, type, owner, parentId]
  const body = JSON.stringify(entry)
  return Object.entries(attributes).map(([name, value]) => ({
    key: `${attributeIndexPrefix(name, value)}${taskId}`,
    body,
  }))
}
