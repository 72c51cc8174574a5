/** Puts a decision together: the head first, then its audit entry, then the rest. */
import type { Change, TaskDecision } from '../changes.js'
import type { TaskHead } from '../head.js'

/** An audit entry before the store gives it an ID. */
export type Entry = Extract<Change, { kind: 'audit' }>['entry']

/** The decision that makes `head` of the task. */
export function decide(head: TaskHead, entry?: Entry, ...more: readonly Change[]): TaskDecision {
  const audit: Change[] = entry ? [{ kind: 'audit', entry }] : []
  return { head, changes: [{ kind: 'head', head }, ...audit, ...more] }
}
