/** Waits until a task has settled, without polling. Returns the output or throws the error. */

import { HoldfastError, TaskCancelledError, TaskFailedError } from '../../base/errors.js'
import type { JsonValue } from '../../base/json.js'
import { onAbort } from '../../base/on-abort.js'
import { isLive, isSettled, type TaskHead } from '../../task/head.js'
import { failureCode, type Outcome, reviveError } from '../../task/log/outcome.js'
import { checkResult, type ResultOptions } from '../checks/call-options.js'
import { readConsistentOutcome } from '../core/consistent-read.js'
import type { Engine } from '../core/engine.js'
import { findLive, findTask } from '../core/find-task.js'
import type { WaitEnd } from '../core/waiters.js'

/** Waits for the output of a task. */
export async function waitForResult(
  engine: Engine,
  taskId: string,
  options: ResultOptions,
): Promise<JsonValue | undefined> {
  const { owner, signal, timeoutMs, waitParked = false } = checkResult(options)
  const giveUpAt = timeoutMs === undefined ? undefined : engine.clock.now() + timeoutMs
  for (;;) {
    const head = findLive(engine, taskId, owner) ?? (await findTask(engine, taskId, owner))
    if (!isLive(head)) return unwrap(taskId, await readConsistentOutcome(engine, head))
    signal?.throwIfAborted()
    // A parked task that is being tried again may continue with new code, so it is waited for.
    if (head.parked && !waitParked && !engine.tasks.get(taskId)?.recovery.isRetrying) throw parkedError(head)
    // Nothing is awaited between this line and `add`. So a task that settles later notifies the new waiter, and one
    // that settled before is not in the map any more.
    if (!engine.tasks.has(taskId)) continue
    engine.assertOpen()
    const end = await nextEnd(engine, taskId, signal, giveUpAt)
    if (end === 'late') {
      throw new HoldfastError(
        'WAIT_TIMEOUT',
        `Task ${taskId} did not settle within ${timeoutMs} ms. The task continues.`,
        {
          details: { taskId, timeoutMs },
        },
      )
    }
    if (end.kind === 'settled') return unwrap(taskId, JSON.parse(end.outcomeText) as Outcome)
    if (end.kind === 'closed') engine.assertOpen()
  }
}

function nextEnd(
  engine: Pick<Engine, 'waiters' | 'clock'>,
  taskId: string,
  signal: AbortSignal | undefined,
  giveUpAt: number | undefined,
): Promise<WaitEnd | 'late'> {
  return new Promise((resolve, reject) => {
    const over = (settle: () => void) => {
      stopWaiting()
      disarm()
      stopListening()
      settle()
    }
    const stopListening = signal ? onAbort(signal, () => over(() => reject(signal.reason))) : () => {}
    const stopWaiting = engine.waiters.add(taskId, (end) => over(() => resolve(end)))
    const giveUp = () => over(() => resolve('late'))
    const disarm = giveUpAt === undefined ? () => {} : engine.clock.setTimer(giveUpAt, giveUp, { elapsed: true })
  })
}

function unwrap(taskId: string, outcome: Outcome): JsonValue | undefined {
  if (outcome.kind === 'result') return outcome.result
  if (outcome.kind === 'cancelled') throw new TaskCancelledError(taskId, outcome.reason)
  const { error } = outcome
  // The message of an error of the engine may name the task already.
  const said = error.message.includes(taskId) ? error.message : `Task ${taskId} failed: ${error.message}`
  throw new TaskFailedError(taskId, failureCode(error), said, reviveError(error))
}

/** Creates the refusal of a wait for a parked task. */
function parkedError({ taskId, status, parked }: TaskHead): HoldfastError {
  const why = parked ? `${parked.code}: ${parked.reason}` : 'it is parked'
  const [what, then] = isSettled(status)
    ? [`Task ${taskId} is '${status}', and its clean-up`, '`waitParked` waits for that, and `resume` tries it again.']
    : [`Task ${taskId}`, '`resume` tries it again, and `cancel` settles it.']
  return new HoldfastError(
    'TASK_PARKED',
    `${what} is parked: ${why}. It stays parked until the cause is fixed; ${then}`,
    { details: { taskId, parked } },
  )
}
