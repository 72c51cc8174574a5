/**
 * Places of the pending records of a task's inputs, by the keys of the inputs. With them, an answer reads one pending
 * record instead of all pending records of the task.
 *
 * - Only places are kept, and no requests. So a task that waits for answers uses little memory.
 * - The state of an input is read from disk, so an outdated place does no harm.
 * - The places are complete from the first input of a task on. For a task that was found at open, they are read at its
 *     first answer.
 */
import { readPendingRecords } from '../../store/reads.js'
import type { Store } from '../../store/store.js'
import type { Change, TaskDecision } from '../../task/changes.js'
import type { PendingRecord, Place } from '../../task/log/pending-record.js'
import type { LiveTask } from './live-task.js'

/** Place of an input. `isAnswered` is true if the input has an answer that the body has not received. */
export interface QuestionPlace extends Place {
  readonly isAnswered: boolean
}

/**
 * Updates the places of the inputs after a decision is on disk. Call this while `task.committed` is still the head
 * before the decision.
 */
export function noteQuestions(task: LiveTask, { head, changes }: TaskDecision): void {
  if (head.inputsAsked === undefined) return
  if (task.committed?.inputsAsked === undefined) task.questions ??= new Map()
  if (task.questions) for (const change of changes) keep(task.questions, change)
}

/**
 * Returns the places of the inputs, by key. The caller holds the mutex of the task's inputs (question-1 of
 * question.ts).
 */
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
