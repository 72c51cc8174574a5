/**
 * Counts the crashes of processes against the tasks that ran in them. Pure.
 *
 * - The commit that starts a run marks the head with the number of the opening (`life`). Progress or a wait removes the
 *     mark. So a head that has the number of a crashed opening at the next open was running, and had recorded nothing
 *     in that opening.
 * - Each such crash adds one to the count (`deaths`). A new record resets the count. From the second crash on, the task
 *     is a suspect. Suspects run one at a time (engine/recovery/suspects.ts) and have the mark only in their turn, so
 *     only a crash in that turn counts.
 * - The status is not read here: the clean-up of a settled task is marked, counted and suspected in the same way.
 */
import type { TaskDecision } from '../changes.js'
import { PARKED_REASON_BYTES_MAX, type Parked, type TaskHead } from '../head.js'
import { bytesLeft } from '../head-codec.js'
import type { PendingRecord } from '../log/pending-record.js'
import { cutText } from '../names.js'
import type { TaskEvent } from '../task-event.js'

/** Crash-tracking fields of a task head. */
export type CrashMarks = Pick<TaskHead, 'life' | 'deaths' | 'begun'>

/** Number of crashes in a row from which a task is a suspect. */
const SUSPECT_CRASHES = 2

/** Removes the mark of the opening: a crash from here on does not count. */
const EXCUSED: CrashMarks = { life: undefined }
/** Resets the crash count after progress or a parking. */
const CLEARED: CrashMarks = { ...EXCUSED, deaths: undefined, begun: undefined }
const NONE: CrashMarks = {}

/** The crash-tracking fields that `event` changes. */
export function marksAfter(head: TaskHead, event: TaskEvent): CrashMarks {
  switch (event.kind) {
    case 'start':
    case 'clean-up':
      return { life: event.life }
    case 'record':
    case 'retry':
    case 'settle':
    case 'undo':
    case 'late-result':
    case 'cleaned-up':
    case 'park':
    case 'resume':
      return CLEARED
    case 'excuse':
    case 'unload':
      return EXCUSED
    case 'begin':
      return { begun: cutText(event.what, bytesLeft({ ...head, begun: '' }, BEGUN_BYTES_MAX)) }
    case 'note': {
      if (event.isNew) return CLEARED
      // A sleep, an input, a child or a delay before an attempt is a wait. The begin of a step is not: the step may
      // crash.
      const { begun = [], changed = [] } = event.beside
      return [...begun, ...changed].some(isWait) ? EXCUSED : NONE
    }
    default:
      return NONE
  }
}

function isWait({ wait, retryAt, input, child }: PendingRecord): boolean {
  return wait !== undefined || retryAt !== undefined || input !== undefined || child !== undefined
}

/** True if the crash of opening `died` counts against the task. */
export function countsAgainst(head: TaskHead, died: number): boolean {
  return head.life === died
}

/** Counts a crash and removes the mark in the same commit. Without this, a crash could count twice. */
export function countCrash(head: TaskHead, now: number): TaskDecision {
  const deaths = (head.deaths ?? 0) + 1
  const counted: TaskHead = { ...head, ...EXCUSED, deaths, updatedAt: now, seq: head.seq + 1 }
  return { head: counted, changes: [{ kind: 'head', head: counted }] }
}

/** True if the task is a suspect, which runs only while no other suspect runs. */
export function isSuspect({ deaths = 0 }: CrashMarks): boolean {
  return deaths >= SUSPECT_CRASHES
}

/**
 * True if the name of each call is committed before the call begins, because the next crash may park the task and names
 * it.
 */
export function mustNoteBegun({ deaths = 0 }: CrashMarks, maximumRecoveries: number): boolean {
  return deaths > 0 && deaths >= Math.min(SUSPECT_CRASHES, maximumRecoveries - 1)
}

/** True if `maximumRecoveries` processes in a row crashed while they ran the task. */
export function isPoisoned({ deaths = 0 }: CrashMarks, maximumRecoveries: number): boolean {
  return deaths >= maximumRecoveries
}

/** The parking of a poisoned task. The reason names its last step. */
export function poisoned({ deaths = 0, begun, completedSteps }: TaskHead): Omit<Parked, 'since'> {
  const where = begun ?? `its body, before a step began that is known (${completedSteps} completed)`
  const times = deaths === 1 ? '1 process' : `${deaths} processes in a row`
  const reason = `${times} crashed running it and recorded nothing, the last in ${where}`
  return { code: 'POISONED', reason: cutText(reason, PARKED_REASON_BYTES_MAX) }
}

// The name and the text around it fit into the reason of a parking, even if each quote in the name needs two bytes.
const BEGUN_BYTES_MAX = 160
