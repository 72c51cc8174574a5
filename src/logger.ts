/** Where the library's own words go. Inputs, results and states are never among them. */

/**
 * Takes a sentence and a few fields (IDs, codes, counts). Winston's loggers fit, and `console` where nothing speaks a
 * protocol on standard output. Pino wants them the other way round: `info: (message, fields) => log.info(fields, message)`.
 */
export interface Logger {
  debug(message: string, fields?: Record<string, unknown>): void
  info(message: string, fields?: Record<string, unknown>): void
  warn(message: string, fields?: Record<string, unknown>): void
  error(message: string, fields?: Record<string, unknown>): void
}

// Standard output belongs to the protocol of a stdio server, so even warnings go to standard error.
const toStderr = (level: string) => (message: string, fields?: Record<string, unknown>) => {
  process.stderr.write(`holdfast ${level}: ${message}${fields ? ` ${JSON.stringify(fields)}` : ''}\n`)
}
const quiet = () => {}

/** The default: warnings and errors to standard error, the rest dropped. */
export const stderrLogger: Logger = {
  debug: quiet,
  info: quiet,
  warn: toStderr('warning'),
  error: toStderr('error'),
}

/** Says nothing. */
export const silentLogger: Logger = { debug: quiet, info: quiet, warn: quiet, error: quiet }

/** What was thrown, for a line of the log. Never throws, whatever it is. */
export function textOf(thrown: unknown): string {
  try {
    return String(thrown)
  } catch {
    return 'something that has no text'
  }
}

/** The same logger; what it throws is dropped, for there is nobody to tell, and no task fails for a line of a log. */
export function unfailing(logger: Logger): Logger {
  const say = (level: keyof Logger) => (message: string, fields?: Record<string, unknown>) => {
    try {
      logger[level](message, fields)
    } catch {
      // It may be closed, or its disk be full.
    }
  }
  return { debug: say('debug'), info: say('info'), warn: say('warn'), error: say('error') }
}

/** The same logger, with `about` on every line. */
export function loggerAbout(logger: Logger, about: Record<string, unknown>): Logger {
  const say = (level: keyof Logger) => (message: string, fields?: Record<string, unknown>) =>
    logger[level](message, { ...about, ...fields })
  return { debug: say('debug'), info: say('info'), warn: say('warn'), error: say('error') }
}
