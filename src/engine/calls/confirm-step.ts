/** Asks the client if an interrupted step took place. For steps that must not run twice. */
import { toJson } from '../../base/json.js'
import type { InterruptedStep } from '../../task/definition/step-options.js'
import type { PendingRecord } from '../../task/log/pending-record.js'
import type { PendingCall } from '../replay/pending-call.js'
import type { Run } from '../replay/run.js'
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

/**
 * Requests the input and waits for the answer, without a time limit.
 * @param first the pending record of the step
 * @returns `undefined` if the run ends first
 */
export async function confirmStep(
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
