/**
 * The head of a sleeping task in few bytes. A head that decisions change has room for each of its 63 fields, in the one
 * shape that makes copies cheap (`draftOf`). Of a task that sleeps, most fields stay undefined for hours.
 */
import type { HeadDraft, TaskHead } from './head.js'

/** The same head, with room for few fields besides those that most heads have. */
export function compactHead(head: TaskHead): TaskHead {
  // One literal, so that most compact heads have one shape.
  const compact: HeadDraft = {
    taskId: head.taskId,
    type: head.type,
    kind: head.kind,
    version: head.version,
    owner: head.owner,
    status: head.status,
    durability: head.durability,
    createdAt: head.createdAt,
    updatedAt: head.updatedAt,
    startedAt: head.startedAt,
    hasInput: head.hasInput,
    seed: head.seed,
    run: head.run,
    attempt: head.attempt,
    wakeAt: head.wakeAt,
    seq: head.seq,
    nextRecord: head.nextRecord,
    prefix: head.prefix,
    open: head.open,
    keptFrom: head.keptFrom,
    records: head.records,
    completedSteps: head.completedSteps,
    checkpoints: head.checkpoints,
    hasStepStates: head.hasStepStates,
    bytes: head.bytes,
    cleanUp: head.cleanUp,
  }
  return Object.assign(compact, otherFields(head, compact))
}

/** The fields that have a value, and no room in `compact`. `undefined` if there are none. */
function otherFields(head: TaskHead, compact: HeadDraft): Partial<TaskHead> | undefined {
  const fields = head as unknown as Readonly<Record<string, unknown>>
  let others: Record<string, unknown> | undefined
  for (const field in fields) {
    if (fields[field] === undefined || field in compact) continue
    others ??= {}
    others[field] = fields[field]
  }
  return others
}
