/** Loggers. Inputs, results and states are never logged. */

/**
 * Destination of log lines: a sentence and a few fields (IDs, codes, counts). A Winston logger fits, and so does
 * `console` in a program without a protocol on standard output. Pino has the parameters in the other order: `info:
 * (message, fields) => log.info(fields, message)`.
 */
export interface Logger {
  debug(message: string, fields?: Record<string, unknown>): void
  info(message: string, fields?: Record<string, unknown>): void
  warn(message: string, fields?: Record<string, unknown>): void
  error(message: string, fields?: Record<string, unknown>): void
}

/** The least severe lines that the default logger writes; `'silent'` writes none. */
export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent'

/** All levels, the least severe first. */
export const LOG_LEVELS: readonly LogLevel[] = ['debug', 'info', 'warn', 'error', 'silent']

// A write to a closed standard error fails with an event. Without a listener, that event would end the server.
let outlivesStderr = false
function outliveStderr(): void {
  if (outlivesStderr) return
  outlivesStderr = true
  process.stderr.on('error', () => {})
}

// Standard output belongs to the protocol of a stdio server, so even warnings go to standard error.
const toStderr = (level: string) => (message: string, fields?: Record<string, unknown>) => {
  outliveStderr()
  process.stderr.write(`holdfast ${level}: ${message}${fields ? ` ${JSON.stringify(fields)}` : ''}\n`)
}
const quiet = () => {}

/** A logger that writes lines of `level` and above to standard error. */
function stderrLoggerAt(level: LogLevel): Logger {
  const from = LOG_LEVELS.indexOf(level)
  const at = (line: LogLevel, label: string) => (LOG_LEVELS.indexOf(line) < from ? quiet : toStderr(label))
  return {
    debug: at('debug', 'debug'),
    info: at('info', 'info'),
    warn: at('warn', 'warning'),
    error: at('error', 'error'),
  }
}

/**
 * Creates the logger that `open` uses by default. `environment`, the value of `HOLDFAST_LOG`, overrides `logLevel`,
 * because it belongs to the operator. A value that is no level is reported once and otherwise ignored.
 */
export function defaultLogger(logLevel: LogLevel, environment: string | undefined): Logger {
  if (environment === undefined || environment === '') return stderrLoggerAt(logLevel)
  const level = LOG_LEVELS.find((known) => known === environment)
  const logger = stderrLoggerAt(level ?? logLevel)
  if (level === undefined) logger.warn(`HOLDFAST_LOG is not one of ${LOG_LEVELS.join(', ')}. It has no effect.`)
  return logger
}

/** Writes lines of level `info` and above to standard error, regardless of `HOLDFAST_LOG`. */
export const stderrLogger: Logger = stderrLoggerAt('info')

/** A logger that writes nothing. */
export const silentLogger: Logger = { debug: quiet, info: quiet, warn: quiet, error: quiet }

/**
 * Wraps a logger so that it never throws. An error of a logger is dropped, so no task fails because of a line of the
 * log.
 */
export function unfailing(logger: Logger): Logger {
  const say = (level: keyof Logger) => (message: string, fields?: Record<string, unknown>) => {
    try {
      logger[level](message, fields)
    } catch {
      // The logger may be closed, or its disk full.
    }
  }
  return { debug: say('debug'), info: say('info'), warn: say('warn'), error: say('error') }
}

/** Wraps a logger so that it adds the fields `about` to every line. */
export function loggerAbout(logger: Logger, about: Record<string, unknown>): Logger {
  const say = (level: keyof Logger) => (message: string, fields?: Record<string, unknown>) =>
    logger[level](message, { ...about, ...fields })
  return { debug: say('debug'), info: say('info'), warn: say('warn'), error: say('error') }
}
