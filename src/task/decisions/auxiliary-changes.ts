/**
 * Record changes of a decision other than log entries: pending records, undo records, messages. The head counts them.
 */

import { grownCount } from '../byte-count.js'
import type { Change } from '../changes.js'
import type { TaskHead } from '../head.js'
import { type AskedInput, isOutstanding, type PendingRecord } from '../log/pending-record.js'
import type { AuxiliaryChanges } from '../task-event.js'
import { inputKeyUsage } from './input-keys.js'

/** The head with the counts of the auxiliary changes, and the changes that write them. */
export function withAuxiliaryChanges(head: TaskHead, beside: AuxiliaryChanges): { head: TaskHead; changes: Change[] } {
  const { begun = [], changed = [], ended = [], intent, isNewIntent, taken, returned = [] } = beside
  const put = [...begun, ...changed]
  const order = head.intents ?? 0
  const keys = begun.filter(isOutstanding).map(({ input }) => (input as AskedInput).key)
  const inputs = keys.length
  const hasChild = ({ child }: PendingRecord) => child !== undefined
  const counted: TaskHead = {
    ...head,
    hasStepStates: head.hasStepStates || put.length > 0 || undefined,
    inputs: sum(head.inputs, inputs, -ended.filter(isOutstanding).length),
    inputsAsked: sum(head.inputsAsked, inputs),
    children: sum(head.children, begun.filter(hasChild).length, -ended.filter(hasChild).length),
    intents: sum(head.intents, isNewIntent ? 1 : 0),
    messages: sum(head.messages, returned.length, taken ? -1 : 0),
    bytes: keys.reduce((bytes, key) => grownCount({ ...head, bytes }, inputKeyUsage(key)), head.bytes),
  }
  const changes: Change[] = [
    ...put.map((note): Change => ({ kind: 'note', note })),
    ...keys.map((key): Change => ({ kind: 'input-key', key })),
    ...ended.map((note): Change => ({ kind: 'drop-note', note })),
    ...(intent ? [{ kind: 'intent', intent: isNewIntent ? { ...intent, order } : intent } as const] : []),
    ...(taken ? [{ kind: 'drop-message', name: taken.name, order: taken.order } as const] : []),
    ...returned.map((message): Change => ({ kind: 'message', message })),
  ]
  return { head: counted, changes }
}

/** The sum of a count and the numbers of `more`. `undefined` for zero, which needs no room in a head. */
export function sum(count: number | undefined, ...more: readonly number[]): number | undefined {
  return more.reduce((total, add) => total + add, count ?? 0) || undefined
}
