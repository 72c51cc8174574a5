/** Decides what becomes of a step that began in an earlier process and has no result. For steps that must not run twice. */
import { callIn } from '../../base/empty-context.js'
import { toJson } from '../../base/json.js'
import type { InterruptedStep } from '../../task/definition/step-options.js'
import { describeError } from '../../task/log/outcome.js'
import type { PendingRecord } from '../../task/log/pending-record.js'
import { stepInDoubt } from '../replay/body-errors.js'
import { type Ended, outcomeOf } from '../replay/outcome-of.js'
import type { PendingCall } from '../replay/pending-call.js'
import type { Run } from '../replay/run.js'
import type { StepCall } from './checked-step.js'
import { askAndWait } from './question.js'

/** The answer for a step in doubt. */
export interface TookPlace {
  readonly tookPlace: boolean
  /** The result of the step, if it took place. */
  readonly result?: unknown
}

/** True if an answer has the shape of `TookPlace`. */
export function isTookPlace(answer: unknown): answer is TookPlace {
  return typeof (answer as TookPlace | null | undefined)?.tookPlace === 'boolean'
}

/** The answer of the client, and the pending record of the step after it. */
interface Confirmed {
  readonly tookPlace: boolean
  /** The result as JSON text, if the step took place. */
  readonly value?: string | undefined
  readonly note: PendingRecord
}

/** Decision about a step in doubt: it ended, it begins again, or the run is over. With the pending record of the step. */
export type Resolution =
  | { readonly kind: 'ended'; readonly ended: Ended; readonly note: PendingRecord }
  | { readonly kind: 'again'; readonly note: PendingRecord }
  | { readonly kind: 'over' }

/**
 * Decides by `onInterrupted`.
 * @param note the pending record of the step
 * @param begun start and idempotency key of the interrupted attempt
 */
export async function resolveDoubt(
  run: Run,
  asked: PendingCall,
  { name, onInterrupted, context }: StepCall,
  note: PendingRecord,
  begun: Pick<InterruptedStep, 'startedAt' | 'idempotencyKey'>,
): Promise<Resolution> {
  const step = { name, ...begun, attempt: note.failedAttempts + 1 }
  if (onInterrupted === 'fail') {
    const error = stepInDoubt(run.task.taskId, name, begun.startedAt)
    return { kind: 'ended', ended: { failed: describeError(error) }, note }
  }
  if (typeof onInterrupted === 'function') {
    const call = () => callIn(() => onInterrupted(step), context)
    return { kind: 'ended', ended: await outcomeOf(run, name, call, (ended) => ended), note }
  }
  const answer = await confirmStep(run, asked, note, step)
  if (!answer) return { kind: 'over' }
  if (!answer.tookPlace) return { kind: 'again', note: answer.note }
  return { kind: 'ended', ended: { value: answer.value }, note: answer.note }
}

/**
 * Requests the input and waits for the answer, without a time limit.
 * @param first the pending record of the step
 * @returns `undefined` if the run ends first
 */
async function confirmStep(
  run: Run,
  asked: PendingCall,
  first: PendingRecord,
  step: InterruptedStep,
): Promise<Confirmed | undefined> {
  const { name, startedAt, idempotencyKey, attempt } = step
  const began = new Date(startedAt).toISOString()
  const request = {
    message: `Step '${name}' began at ${began} and was interrupted. Did it take place?`,
    requestedSchema: {
      type: 'object',
      properties: {
        tookPlace: { type: 'boolean', title: `Whether '${name}' took place` },
        result: { type: 'string', title: 'What it returned, if it did' },
      },
      required: ['tookPlace'],
    },
    step: { name, startedAt, idempotencyKey, attempt },
  }
  return askAndWait(run, asked, first, { name, request }, async (answered, text = '') => {
    const { tookPlace, result } = JSON.parse(text) as TookPlace
    if (tookPlace) return { tookPlace, value: toJson(result, resultUse(run, name)), note: answered }
    // The step begins again, so the doubt about the earlier attempt is deleted.
    const note = { ...answered, begunAt: undefined, input: undefined }
    await run.host.record(run.task, { kind: 'note', run: run.number, beside: { changed: [note] } })
    return { tookPlace, note }
  })
}

function resultUse(run: Run, name: string) {
  const { resultBytesMax: bytesMax } = run.host.limits
  return { what: `the result of step '${name}'`, bytesMax, option: 'limits.resultBytesMax' }
}
