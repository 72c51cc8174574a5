/**
 * Knows where the questions of a task lie, by their keys. An answer then reads one note, and not all that a task has.
 *
 * - Only places are kept, no requests: a task that waits for answers uses little memory.
 * - Whether a question is still open is read from disk, so a place that is out of date does no harm.
 * - The places are complete from the first question of a task on. Those of a task that was found at open are
 *              read when it is answered for the first time.
 */
import { readPendingRecords } from '../../store/reads.js'
import type { Store } from '../../store/store.js'
import type { Change, TaskDecision } from '../../task/changes.js'
import type { PendingRecord, Place } from '../../task/log/pending-record.js'
import type { LiveTask } from './live-task.js'

/** Where a question stands. `isAnswered`: its body has not taken the answer yet. */
export interface QuestionPlace extends Place {
  readonly isAnswered: boolean
}

/** Keeps what a decision, which is on disk now, changes. To be called while `task.committed` is the head before it. */
export function noteQuestions(task: LiveTask, { head, changes }: TaskDecision): void {
  if (head.inputsAsked === undefined) return
  if (task.committed?.inputsAsked === undefined) task.questions ??= new Map()
  if (task.questions) for (const change of changes) keep(task.questions, change)
}

/** Where the questions lie, by key. Nothing may change them meanwhile (question-1 of question.ts). */
export async function placesOf(
  { store }: { readonly store: Store },
  task: LiveTask,
): Promise<ReadonlyMap<string, QuestionPlace>> {
  if (!task.questions) {
    const { taskId, head } = task
    const found =
      head.inputsAsked === undefined
        ? []
        : [...(await store.read((level) => readPendingRecords(level, taskId))).values()]
    task.questions = new Map()
    for (const note of found) keep(task.questions, { kind: 'note', note })
  }
  return task.questions
}

function keep(places: Map<string, QuestionPlace>, change: Change): void {
  if (change.kind === 'note' && change.note.input) places.set(change.note.input.key, placeOf(change.note))
  if (change.kind === 'drop-note' && change.note.input) places.delete(change.note.input.key)
}

function placeOf({ segment, scope, ask, input }: PendingRecord): QuestionPlace {
  return { segment, scope, ask, isAnswered: input?.answer !== undefined }
}
