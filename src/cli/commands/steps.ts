/** `holdfast tasks steps`: the log of a task, with the last attempts of its steps. */

import type { OperatorRouteCalls } from '../../operator/index.js'
import type { Context } from '../terminal/context.js'
import { instantText } from '../terminal/output.js'

type Segment = Awaited<ReturnType<OperatorRouteCalls['listSteps']>>['segments'][number]
type Step = Segment['steps'][number] & Pick<Segment, 'segment'>
/** A row of the log: a call, or one of several attempts of the step before it. */
type StepRow = Omit<Step, 'kind'> & { readonly kind: Step['kind'] | 'attempt' }

/** The row of a step, and one row for each of its last attempts if it had several. */
function withAttempts(step: Step): StepRow[] {
  const { segment, name, number, attempts, lastAttempts = [] } = step
  if (attempts === 1) return [step]
  const rows = lastAttempts.map(({ attempt, startedAt, endedAt, errorCode }): StepRow => {
    const error = errorCode === undefined ? undefined : { name: errorCode, message: errorCode }
    const ended = { state: error ? 'failed' : 'completed', startedAt, recordedAt: endedAt, error } as const
    return { segment, kind: 'attempt', name, number, attempts: attempt, ...ended }
  })
  return [step, ...rows]
}

/** Prints the log of a task. On a terminal and in a pipe, each of several attempts of a step has a row of its own. */
export async function showSteps(context: Context, taskId: string): Promise<void> {
  await context.withStore(async ({ calls }) => {
    const { segments } = await calls.listSteps({ taskId, values: context.values })
    const rows = segments.flatMap(({ segment, steps }) => steps.map((step) => ({ segment, ...step })))
    context.output.rows<StepRow>(context.output.json ? rows : rows.flatMap(withAttempts), [
      { title: 'SEGMENT', text: ({ segment }) => segment },
      { title: 'KIND', text: ({ kind }) => kind },
      { title: 'STEP', text: ({ name }) => name },
      { title: 'NUMBER', text: ({ number }) => number },
      { title: 'STATE', text: ({ state }) => state },
      { title: 'ATTEMPTS', text: ({ attempts }) => attempts },
      { title: 'STARTED', text: ({ startedAt }) => instantText(startedAt) },
      { title: 'RECORDED', text: ({ recordedAt }) => instantText(recordedAt) },
      { title: 'NOTE', text: ({ error, summary, label, branch }) => error?.message ?? summary ?? label ?? branch },
      ...(context.values ? [{ title: 'RESULT', text: ({ result }: StepRow) => JSON.stringify(result) }] : []),
    ])
  })
}
