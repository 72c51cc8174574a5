/**
 * The support server, for one visit of the customer. The conversation is a session task: it has no body, the server drives
 * it. Each answer is saved as a checkpoint before the customer sees it, so what they have seen is never forgotten.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { Holdfast } from 'holdfast'
import { leave, readJob, tell } from '../shared/demo.js'
import { type Conversation, NEW, reply } from './assistant.js'

/** What the server is to do. */
export interface Visit {
  readonly store: string
  /** The conversation to go on with; without it, a new one. */
  readonly taskId: string | undefined
  readonly owner: string
  /** What the customer says, from the beginning up to the end of this visit. */
  readonly says: readonly string[]
  /** What the assistant thinks about for ever, so that the kill comes while it does. */
  readonly hangsAt: string | undefined
  /** Whether the conversation is over then; if not, the customer closes the window. */
  readonly last: boolean
}

/** What the server tells the demo. */
export type FromServer =
  | { readonly kind: 'open'; readonly taskId: string; readonly restoredLines: number }
  | { readonly kind: 'heard'; readonly said: string }
  | { readonly kind: 'left'; readonly status: string; readonly settled: number; readonly lines: readonly string[] }

// Stands for the model that a real assistant would wait for, and for one that hangs.
const THINKING_MS = 100
const HANGING_MS = 60_000

const say = (message: FromServer) => tell(message)
const { store, owner, says, last, hangsAt, ...visit } = readJob<Visit>()

const holdfast = await Holdfast.open({ dir: store })
const mine = holdfast.forOwner(owner)
const taskId = visit.taskId ?? (await mine.createSessionTask({ type: 'support_conversation' })).taskId
let conversation = visit.taskId ? (await mine.restoreCheckpoint<Conversation>(taskId)).state : NEW
await say({ kind: 'open', taskId, restoredLines: conversation.lines.length })

// Each thing said has an answer, on the next line: what has none yet is said now, or again.
for (const said of says.slice(conversation.lines.length / 2)) {
  await say({ kind: 'heard', said })
  await delay(said === hangsAt ? HANGING_MS : THINKING_MS)
  conversation = reply(conversation, said)
  await mine.saveCheckpoint(taskId, conversation, { label: `after ${conversation.lines.length} lines` })
  for (const line of conversation.lines.slice(-2)) console.log(`  ${line}`)
}

if (last) await mine.completeSessionTask(taskId, { kind: 'result', result: { wish: conversation.wish ?? null } })
const { status } = await mine.get(taskId)
const settled = (await holdfast.audit({ taskId })).filter(({ to }) => to === 'completed').length
await holdfast.close()
await say({ kind: 'left', status, settled, lines: conversation.lines })
leave()
