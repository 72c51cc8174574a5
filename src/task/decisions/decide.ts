/** Builds decisions: the change of the head first, then its audit entry, then all other changes. */
import type { Change, TaskDecision } from '../changes.js'
import type { TaskHead } from '../head.js'

/** An audit entry before the store gives it an ID. */
export type Entry = Extract<Change, { kind: 'audit' }>['entry']

/** The decision with `head` as the new head, an audit entry and more changes. */
export function decide(head: TaskHead, entry?: Entry, ...more: readonly Change[]): TaskDecision {
  const audit: Change[] = entry ? [{ kind: 'audit', entry }] : []
  return { head, changes: [{ kind: 'head', head }, ...audit, ...more] }
}
