/**
 * Limits the lines of the log that clients can cause. Of warnings and errors with the same message, code and task type,
 * one line a minute is written, and the others are counted. Owns these counts.
 */
import type { Clock } from './clock.js'
import type { Logger } from './logger.js'

/** Time in which one line of each kind is written. */
const WINDOW_MS = 60_000
/** Number of kinds of lines that have counts of their own. Lines of further kinds are counted together. */
const KINDS_MAX = 100

type Fields = Record<string, unknown>
type Level = 'warn' | 'error'

interface Kind {
  readonly level: Level
  readonly message: string
  readonly about: Fields
  notWritten: number
}

export class LimitedLogger implements Logger {
  #kinds = new Map<string, Kind>()
  #disarm: (() => void) | undefined

  constructor(
    /** Logger that writes every line, for the lines of a task's own code. */
    readonly unlimited: Logger,
    private readonly clock: Clock,
  ) {}

  debug(message: string, fields?: Fields): void {
    this.unlimited.debug(message, fields)
  }

  info(message: string, fields?: Fields): void {
    this.unlimited.info(message, fields)
  }

  warn(message: string, fields?: Fields): void {
    this.#write('warn', message, fields)
  }

  error(message: string, fields?: Fields): void {
    this.#write('error', message, fields)
  }

  /** Writes, for each kind, the number of lines that were only counted. Begins a new minute. */
  flush(): void {
    this.#disarm?.()
    this.#disarm = undefined
    const kinds = [...this.#kinds.values()]
    this.#kinds = new Map()
    for (const { level, message, about, notWritten } of kinds) {
      if (notWritten > 0) this.unlimited[level](message, { ...about, more: notWritten })
    }
  }

  #write(level: Level, message: string, fields?: Fields): void {
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
    if (!isOther) this.unlimited[level](message, fields && withIdOnce(fields))
  }
}

/** Replaces the task's ID, and the key of a record, in other fields of a line by the name of their field. */
function withIdOnce(fields: Fields): Fields {
  const { taskId, key } = fields
  const shown = Object.entries(fields).map(([name, value]) => {
    let text = value
    for (const [of, id] of [['key', key] as const, ['taskId', taskId] as const]) {
      if (name !== of && typeof text === 'string' && typeof id === 'string' && id !== '') {
        text = text.replaceAll(id, `(${of})`)
      }
    }
    return [name, text]
  })
  return Object.fromEntries(shown)
}
