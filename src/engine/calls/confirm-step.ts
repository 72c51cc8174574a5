/** Asks somebody whether a step took place that a crash interrupted, and that must not run twice. */
import { toJson } from '../../base/json.js'
import type { InterruptedStep } from '../../task/definition/step-options.js'
import type { PendingCall } from '../replay/pending-call.js'
import type { Run } from '../replay/run.js'
import { askAndWait } from './question.js'
import type { StepTrial } from './step.js'

/** What `respond` answers such a question with. */
export interface TookPlace {
  readonly tookPlace: boolean
  /** What the step would have returned. */
  readonly result?: unknown
}

/** True if an answer says what was asked. */
export function saysWhether(answer: unknown): answer is TookPlace {
  return typeof (answer as TookPlace | null | undefined)?.tookPlace === 'boolean'
}

/**
 * Asks, and waits as long as it takes.
 * @returns whether it took place, and its result as JSON text; `undefined` if the run ends before
 */
export async function confirmStep(
  run: Run,
  asked: PendingCall,
  trial: StepTrial,
  step: InterruptedStep,
): Promise<{ tookPlace: boolean; value?: string | undefined } | undefined> {
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
  return askAndWait(run, asked, trial.note, { name, request }, async (note, text = '') => {
    const { tookPlace, result } = JSON.parse(text) as TookPlace
    trial.note = note
    if (tookPlace) return { tookPlace, value: toJson(result, resultUse(run, name)) }
    // It begins once more, and from now on that is what is not known.
    trial.note = { ...note, begunAt: undefined, input: undefined }
    await run.host.record(run.task, { kind: 'note', run: run.number, beside: { changed: [trial.note] } })
    return { tookPlace }
  })
}

function resultUse(run: Run, name: string) {
  const { resultBytesMax: bytesMax } = run.host.limits
  return { what: `the result of step '${name}'`, bytesMax, option: 'limits.resultBytesMax' }
}
