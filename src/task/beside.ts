/** What a decision changes beside the log: notes of what has begun, intents, messages. Counts of them are in the head. */
import type { Change } from './changes.js'
import type { TaskHead } from './head.js'
import { inputKeyUsage, withInputs } from './input-keys.js'
import type { Intent } from './intent.js'
import type { Message } from './message.js'
import { type AskedInput, isOutstanding, type Note } from './note.js'
import { grown } from './usage.js'

/** Everything beside the log that goes with one commit. */
export interface Beside {
  /** Notes of something that begins, or begins to ask. */
  readonly begun?: readonly Note[] | undefined
  /** Notes that say more than before. */
  readonly changed?: readonly Note[] | undefined
  /** Notes of what has ended: they go. */
  readonly ended?: readonly Note[] | undefined
  /** An intent to keep. A new one comes after all others: it is given its place in their order. */
  readonly intent?: Intent | undefined
  readonly isNewIntent?: boolean | undefined
  /** A message that is received with this. */
  readonly taken?: Omit<Message, 'text'> | undefined
  /** Messages that go back to their place: whoever had received them is dropped or cancelled. */
  readonly returned?: readonly Message[] | undefined
}

/** The head with all of that counted, and the changes that write it. */
export function withBeside(head: TaskHead, beside: Beside | undefined): { head: TaskHead; changes: Change[] } {
  if (!beside) return { head, changes: [] }
  const { begun = [], changed = [], ended = [], intent, isNewIntent, taken, returned = [] } = beside
  const put = [...begun, ...changed]
  const order = head.intents ?? 0
  const keys = begun.filter(isOutstanding).map(({ input }) => (input as AskedInput).key)
  const inputs = keys.length
  const hasChild = ({ child }: Note) => child !== undefined
  const counted: TaskHead = {
    ...head,
    hasStepStates: head.hasStepStates || put.length > 0 || undefined,
    inputs: sum(head.inputs, inputs, -ended.filter(isOutstanding).length),
    ...withInputs(head, inputs),
    children: sum(head.children, begun.filter(hasChild).length, -ended.filter(hasChild).length),
    intents: sum(head.intents, isNewIntent ? 1 : 0),
    messages: sum(head.messages, returned.length, taken ? -1 : 0),
    bytes: keys.reduce((bytes, key) => grown({ ...head, bytes }, inputKeyUsage(key)), head.bytes),
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

/** A count with more, or less. Zero takes no room in a head. */
export function sum(count: number | undefined, ...more: readonly number[]): number | undefined {
  return more.reduce((total, add) => total + add, count ?? 0) || undefined
}
