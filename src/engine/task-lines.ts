/**
 * The log lines about tasks, for an operator. Owns the counts that keep clients from writing the log: of lines with the same
 * message, code and task type, one is written in a minute, and the others are counted. Never inputs, results or messages of errors.
 */
import type { Clock } from '../clock.js'
import type { Logger } from '../logger.js'
import type { RecoveredTask, RecoveryReport } from '../recovery/report.js'
import type { AnyTaskDefinition } from '../task/definition.js'
import { describeRecord, type RecordName } from '../task/log.js'
import { cutText, NAME_BYTES_MAX } from '../task/names.js'

/** A line of the same kind is written once in this time. */
const WINDOW_MS = 60_000
/** So many kinds of lines have counts of their own; lines of further kinds are counted together. */
const KINDS_MAX = 100
/** So many kinds of parkings are named in the line of an open. */
const NAMED_MAX = 5

type Fields = Record<string, unknown>
type Level = 'warn' | 'error'

interface Kind {
  readonly level: Level
  readonly message: string
  readonly about: Fields
  notWritten: number
}

export class TaskLines {
  #kinds = new Map<string, Kind>()
  #disarm: (() => void) | undefined
  /** Warns of calls that a body did not await. */
  readonly forgotten: Forgotten

  constructor(
    private readonly logger: Logger,
    private readonly clock: Clock,
  ) {
    this.forgotten = new Forgotten(logger)
  }

  /** A task is parked. */
  parked(taskId: string, type: string, code: string): void {
    this.write('warn', 'A task is parked. Call get(taskId) for the reason. Correct the cause, or cancel the task.', {
      taskId,
      type,
      code,
    })
  }

  /** A task has failed, by its body or by the engine. */
  failed(taskId: string, type: string, code: string | undefined): void {
    this.write('warn', 'A task failed. Call get(taskId) for its error.', { taskId, type, code })
  }

  /** A step failed for the third time and is tried again. */
  retried(taskId: string, type: string, step: string): void {
    this.write('warn', 'A step failed three times and is tried again.', { taskId, type, step })
  }

  /** Writes a line, or counts it if one of its kind was written within the last minute. */
  write(level: Level, message: string, fields?: Fields): void {
    const { code, type } = (fields ?? {}) as { code?: unknown; type?: unknown }
    const own = JSON.stringify([message, code, type])
    const isOther = !this.#kinds.has(own) && this.#kinds.size >= KINDS_MAX
    const key = isOther ? '' : own
    const kind = this.#kinds.get(key)
    if (kind) {
      kind.notWritten++
      return
    }
    const about = isOther ? {} : { type, code }
    const said = isOther ? 'Lines of other kinds' : message
    this.#kinds.set(key, { level, message: said, about, notWritten: isOther ? 1 : 0 })
    const next = this.clock.now() + WINDOW_MS
    this.#disarm ??= this.clock.setTimer(next, () => this.flush(), { background: true, elapsed: true })
    if (!isOther) this.logger[level](message, fields)
  }

  /** Makes the logger for what clients cause: its warnings and errors are counted like the lines about tasks. */
  loggerForClients(): Logger {
    const { logger } = this
    return {
      debug: (message, fields) => logger.debug(message, fields),
      info: (message, fields) => logger.info(message, fields),
      warn: (message, fields) => this.write('warn', message, fields),
      error: (message, fields) => this.write('error', message, fields),
    }
  }

  /** Writes how many lines of each kind were only counted, and begins a new minute. */
  flush(): void {
    this.#disarm?.()
    this.#disarm = undefined
    const kinds = [...this.#kinds.values()]
    this.#kinds = new Map()
    for (const { level, message, about, notWritten } of kinds) {
      if (notWritten > 0) this.logger[level](message, { ...about, more: notWritten })
    }
  }

  /** The recovery at open is done. */
  recovered(report: RecoveryReport): void {
    this.logger.info(recoveryLine(report.tasks))
  }

  /** The store is closed. */
  closed(unfinished: number): void {
    this.flush()
    this.logger.info('The store is closed. Unfinished tasks continue at the next open.', { unfinished })
  }
}

/** Describes what a recovery did, such as `3 tasks resumed, 1 parked: CODE_CHANGED (import-flights)`. */
export function recoveryLine(tasks: readonly RecoveredTask[]): string {
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

/** Warns of calls of earlier turns, once for each definition. */
export class Forgotten {
  readonly #warned = new WeakSet<AnyTaskDefinition>()

  constructor(private readonly logger: Logger) {}

  /** A body returned, and `call` of an earlier turn was pending. */
  note(definition: AnyTaskDefinition, taskId: string, call: RecordName | undefined): void {
    if (!call || this.#warned.has(definition)) return
    this.#warned.add(definition)
    this.logger.warn(
      'A body returned without waiting for a call that it had made, so the call may not have run. Await it, unless it lost a race.',
      { taskId, type: definition.name, call: cutText(describeRecord(call), NAME_BYTES_MAX.step) },
    )
  }
}
