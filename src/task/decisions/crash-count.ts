/**
 * Decides what the death of a process counts for. Pure.
 *
 * - A head is marked with the life (the number of the process) in which its body began to run, in the commit that
 *     says so anyway. Whatever shows that it gets on, or only waits, takes the mark away. So at the next open a head
 *     that bears the number of a life that died was executing, and had recorded nothing since that life took it up.
 * - Every such death counts, by one; any new record starts the count anew. From the second on the task is a suspect:
 *     suspects run one at a time (engine/recovery/suspects.ts) and bear the mark in their turn only, so only a death in it counts.
 * - Nothing here looks at a status: the clean-up of a settled task is marked, counted and suspected alike.
 */
import type { TaskDecision } from '../changes.js'
import { bytesLeft, PARKED_REASON_BYTES_MAX, type Parked, type TaskHead } from '../head.js'
import type { PendingRecord } from '../log/pending-record.js'
import { cutText } from '../names.js'
import type { TaskEvent } from '../task-event.js'

/** What a head bears of all this. */
export type DeathMarks = Pick<TaskHead, 'life' | 'deaths' | 'begun'>

/** After so many deaths in a row a task is a suspect. */
export const SUSPECT_DEATHS = 2

/** It is not executing, as far as a death is concerned. */
const EXCUSED: DeathMarks = { life: undefined }
/** It gets on, or is parked, which the head says by itself: what was counted is forgotten. */
const CLEARED: DeathMarks = { ...EXCUSED, deaths: undefined, begun: undefined }
const NONE: DeathMarks = {}

/** What an event makes of the marks. */
export function marksAfter(head: TaskHead, event: TaskEvent): DeathMarks {
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
      // It goes to sleep, asks somebody, or waits for its next attempt. That a step begins is no sign that it will end.
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

/** True if the death of life `died` counts against the task. */
export function countsAgainst(head: TaskHead, died: number): boolean {
  return head.life === died
}

/** Counts a death. The mark goes in the same commit, so that no death is counted twice. */
export function countDeath(head: TaskHead, now: number): TaskDecision {
  const deaths = (head.deaths ?? 0) + 1
  const counted: TaskHead = { ...head, ...EXCUSED, deaths, updatedAt: now, seq: head.seq + 1 }
  return { head: counted, changes: [{ kind: 'head', head: counted }] }
}

/** True if it runs only in a turn of its own. */
export function isSuspect({ deaths = 0 }: DeathMarks): boolean {
  return deaths >= SUSPECT_DEATHS
}

/** True if what it begins is to be on disk first: the next death may be the one that parks it, and its step is named then. */
export function mustNoteBegun({ deaths = 0 }: DeathMarks, maximumRecoveries: number): boolean {
  return deaths > 0 && deaths >= Math.min(SUSPECT_DEATHS, maximumRecoveries - 1)
}

/** True if it has brought the process down too often to be tried again by itself. */
export function isPoisoned({ deaths = 0 }: DeathMarks, maximumRecoveries: number): boolean {
  return deaths >= maximumRecoveries
}

/** Why it is parked, its last step named. */
export function poisoned({ deaths = 0, begun, completedSteps }: TaskHead): Omit<Parked, 'since'> {
  const where = begun ?? `its body, before a step began that is known (${completedSteps} completed)`
  const times = deaths === 1 ? '1 process' : `${deaths} processes in a row`
  const reason = `${times} crashed running it and recorded nothing, the last in ${where}`
  return { code: 'POISONED', reason: cutText(reason, PARKED_REASON_BYTES_MAX) }
}

// With what stands around it, it fits into the reason of a parking, even where each quote in it takes two bytes.
const BEGUN_BYTES_MAX = 160
