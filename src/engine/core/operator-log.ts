/** Log lines about tasks for operators. They never contain inputs, results or messages of errors. */
import type { LimitedLogger } from '../../base/line-limit.js'
import type { Logger } from '../../base/logger.js'
import type { AnyTaskDefinition } from '../../task/definition/definition.js'
import type { TaskHead } from '../../task/head.js'
import { describeRecord, type RecordName } from '../../task/log/records.js'
import { cutText, NAME_BYTES_MAX } from '../../task/names.js'
import type { RecoveredTask, RecoveryReport } from './recovery-report.js'

/** Most kinds of parkings that the log line of an open names. */
const NAMED_MAX = 5

export class TaskLines {
  /** Warns of calls that a body did not await. */
  readonly forgotten: Forgotten
  /** Warns of undos for steps that did not occur. */
  readonly undos: UnusedUndos

  constructor(private readonly logger: LimitedLogger) {
    this.forgotten = new Forgotten(logger)
    this.undos = new UnusedUndos(logger)
  }

  /** Logs that a task is parked. */
  parked(taskId: string, type: string, code: string): void {
    this.logger.warn('A task is parked. Call get(taskId) for the reason. Correct the cause, or cancel the task.', {
      taskId,
      type,
      code,
    })
  }

  /** Logs that a task failed, by its body or by the engine. */
  failed(taskId: string, type: string, code: string | undefined): void {
    this.logger.warn('A task failed. Call get(taskId) for its error.', { taskId, type, code })
  }

  /** Logs that a step failed for the third time and is tried again. */
  retried(taskId: string, type: string, step: string): void {
    this.logger.warn('A step failed three times and is tried again.', { taskId, type, step })
  }

  /** Logs that a task was started with a definition that was not passed to `Holdfast.open`. */
  startedUnregistered(type: string): void {
    this.logger.warn(
      'A task was started of a definition that is not registered, so a restart parks the task. Pass the definition to Holdfast.open as an option.',
      { type },
    )
  }

  /** Logs that the recovery at open is done. */
  recovered(report: RecoveryReport): void {
    this.logger.info(recoveryLine(report.tasks))
  }

  /** Logs that the store is closed. */
  closed(unfinished: number): void {
    this.logger.flush()
    this.logger.info('The store is closed. Unfinished tasks continue at the next open.', { unfinished })
  }
}

/** Describes the result of a recovery, such as `3 tasks resumed, 1 parked: CODE_CHANGED (import-flights)`. */
function recoveryLine(tasks: readonly RecoveredTask[]): string {
  if (tasks.length === 0) return 'The store is open. No task was unfinished.'
  const counts = new Map<string, number>()
  const parked = new Set<string>()
  for (const { action, reason, type } of tasks) {
    counts.set(action, (counts.get(action) ?? 0) + 1)
    if (action === 'parked') parked.add(`${reason?.split(':')[0]} (${type})`)
  }
  const order = ['resumed', 'waiting', 'kept', 'cleaning-up', 'settled', 'damaged', 'parked']
  const known = order.flatMap((action) => (counts.has(action) ? [[action, counts.get(action) as number] as const] : []))
  const parts = known.map(
    ([action, count], at) => `${count}${at > 0 ? '' : count === 1 ? ' task' : ' tasks'} ${action}`,
  )
  const named = [...parked].slice(0, NAMED_MAX).join(', ')
  const more = parked.size > NAMED_MAX ? ` and ${parked.size - NAMED_MAX} more kinds` : ''
  return `${parts.join(', ')}${named === '' ? '' : `: ${named}${more}`}`
}

/** Warns of calls that a body did not await, once for each definition. */
export class Forgotten {
  readonly #warned = new WeakSet<AnyTaskDefinition>()

  constructor(private readonly logger: Logger) {}

  /** Reports that a body returned while `call`, which it made in an earlier turn, was pending. */
  note(definition: AnyTaskDefinition, taskId: string, call: RecordName | undefined): void {
    if (!call || this.#warned.has(definition)) return
    this.#warned.add(definition)
    this.logger.warn(
      'A body returned without waiting for a call that it had made, so the call may not have run. Await it, unless it lost a race.',
      { taskId, type: definition.name, call: cutText(describeRecord(call), NAME_BYTES_MAX.step) },
    )
  }
}

/** Warns of undos that name no step of a completed task, once for each definition. */
export class UnusedUndos {
  readonly #looked = new WeakSet<AnyTaskDefinition>()

  constructor(private readonly logger: Logger) {}

  /**
   * Reports the steps of a completed task. Ignored after checkpoints, because a restored body may have skipped steps.
   */
  note(definition: AnyTaskDefinition, { head }: { readonly head: TaskHead }, stepNames: ReadonlySet<string>): void {
    if (!definition.undo || head.checkpoints.body > 0 || this.#looked.has(definition)) return
    const unused = Object.keys(definition.undo).filter((name) => !stepNames.has(name))
    if (unused.length === 0) return
    this.#looked.add(definition)
    this.logger.warn(
      'A task completed without a step that has an undo. Compare the name in `undo` with that of the step.',
      {
        type: definition.name,
        step: cutText(unused.join(', '), NAME_BYTES_MAX.step),
      },
    )
  }
}
