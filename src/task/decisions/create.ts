/** Decides the creation of a task: its first head, and the changes written with it. Pure. */
import { HoldfastError } from '../../base/errors.js'
import type { TaskAttributes } from '../attributes.js'
import { attributeUsage, bytesOf, TASK_BYTES } from '../byte-count.js'
import type { BindingRecord, Change, IdempotencyEntry, TaskDecision } from '../changes.js'
import {
  draftOf,
  FIXED_PART_BYTES_MAX,
  type ForkedFrom,
  type HeadDraft,
  NO_CHECKPOINTS,
  type TaskHead,
} from '../head.js'
import { encodeFixedPart } from '../head-codec.js'
import { emptySegment, PREFIX } from '../log/segment.js'
import type { EventOf } from '../task-event.js'
import type { Trace } from '../trace.js'
import { namesIn } from './attributes.js'
import { transition } from './transition.js'

/** Values of a new task. */
export interface NewTask {
  readonly taskId: string
  readonly seed: string
  readonly type: string
  readonly kind: 'body' | 'session'
  readonly version?: string | undefined
  readonly owner?: string | undefined
  readonly durability: TaskHead['durability']
  readonly ttlMs?: number | undefined
  readonly deadlineAt?: number | undefined
  readonly timeoutMs?: number | undefined
  readonly priority?: number | undefined
  readonly idempotency?: { readonly key: string; readonly fingerprint: string } | undefined
  readonly title?: string | undefined
  readonly attributes?: TaskAttributes | undefined
  readonly inputText?: string | undefined
  /** Trace context of the span that creates the task. */
  readonly trace?: Trace | undefined
  /** Origin of the task, if it is a fork. */
  readonly forkedFrom?: ForkedFrom | undefined
  /** True if the task starts in the batch that creates it, which saves a second commit. */
  readonly startNow: boolean
  readonly parentId?: string | undefined
  readonly depth?: number | undefined
  /** Number of the opening, if the body starts at once (crash-count.ts). */
  readonly life?: number | undefined
  readonly by: string
  /** Records of a protocol binding that are written in the batch that creates the task. */
  readonly beside?: readonly BindingRecord[] | undefined
}

/**
 * The decision that creates a task.
 * @throws HoldfastError `TOO_LARGE` if the names of the task do not fit into the fixed part of its head
 */
export function createTask(task: NewTask, now: number): TaskDecision {
  const { inputText, title, attributes } = task
  const kept = TASK_BYTES + (inputText === undefined ? 0 : bytesOf(inputText)) + attributeUsage(title, attributes)
  const head = draftOf({
    taskId: task.taskId,
    type: task.type,
    kind: task.kind,
    version: task.version,
    owner: task.owner,
    status: task.startNow ? 'running' : 'pending',
    durability: task.durability,
    createdAt: now,
    updatedAt: now,
    startedAt: task.startNow ? now : undefined,
    ttlMs: task.ttlMs,
    timeoutAt: task.startNow && task.timeoutMs !== undefined ? now + task.timeoutMs : undefined,
    deadlineAt: task.deadlineAt,
    // The default priority is absent from the head, to save room.
    priority: task.priority === 0 ? undefined : task.priority,
    idempotencyKey: task.idempotency?.key,
    title: task.title,
    attributes: task.attributes,
    parentId: task.parentId,
    depth: task.depth,
    hasInput: task.inputText !== undefined,
    seed: task.seed,
    trace: task.trace,
    forkedFrom: task.forkedFrom,
    run: task.startNow ? 1 : 0,
    attempt: 1,
    seq: 1,
    nextRecord: 0,
    prefix: emptySegment(PREFIX),
    open: emptySegment(PREFIX),
    keptFrom: 0,
    records: 0,
    completedSteps: 0,
    checkpoints: NO_CHECKPOINTS,
    bytes: { kept, prunable: 0 },
    life: task.startNow ? task.life : undefined,
    cleanUp: 'none',
  })
  // Without the trace: no task may be refused because of its span.
  const bytes = Buffer.byteLength(encodeFixedPart(withoutAttributes(head))) - traceBytes(task)
  if (bytes > FIXED_PART_BYTES_MAX) {
    const said = `The names of the task take ${bytes} bytes together; ${FIXED_PART_BYTES_MAX} fit`
    throw new HoldfastError('TOO_LARGE', `${said}. Shorten its type, version, owner or idempotency key.`, {
      details: { bytes, bytesMax: FIXED_PART_BYTES_MAX },
    })
  }
  const changes: Change[] = [
    { kind: 'head', head },
    { kind: 'task', inputText: task.inputText },
    { kind: 'audit', entry: { at: now, action: 'created', to: head.status, by: task.by, why: namesIn(attributes) } },
  ]
  if (task.idempotency) {
    const entry: IdempotencyEntry = { owner: task.owner, type: task.type, taskId: task.taskId, ...task.idempotency }
    changes.push({ kind: 'idempotency', entry })
  }
  for (const record of task.beside ?? []) changes.push({ kind: 'binding', record })
  return { head, changes }
}

/** Bytes of the field `trace` in the fixed part of a head, with its comma. */
function traceBytes({ trace }: NewTask): number {
  return trace === undefined ? 0 : Buffer.byteLength(`"trace":${JSON.stringify(trace)},`)
}

/** The head as the limit of its names counts it. A title and attributes have limits of their own. */
function withoutAttributes(head: HeadDraft): TaskHead {
  if (head.title === undefined && head.attributes === undefined) return head
  return { ...head, title: undefined, attributes: undefined }
}

/**
 * The decision that creates a task whose deadline or `ttl` has already passed. The commit that creates the task
 * settles it, and its body never runs.
 * @param created the decision of `createTask` or `forkTask`, for a task that does not run yet
 * @param end the event that settles the task as failed
 */
export function createSettled({ head, changes }: TaskDecision, end: EventOf<'settle'>, now: number): TaskDecision {
  const settled = transition(head, end, now)
  return { ...settled, changes: [...changes.filter(({ kind }) => kind !== 'head'), ...settled.changes] }
}
