/** Options of `durable.serveStdio` that both revisions share, with checks and defaults. */
import { type Duration, durationMs } from '../../base/duration.js'
import { checkFlag, type Names, oneOf } from '../../base/expected.js'

/** The options for the start and the end of a stdio server. */
export interface StdioLifeOptions {
  /**
   * Longest time that running steps may continue after the shutdown has begun. Then their signals are aborted. The
   * process ends at most 150 ms after that. Clients kill a server after 500 ms (Claude Code) to 4 s (the SDKs).
   * @default 200 ms
   */
  readonly grace?: Duration | undefined
  /**
   * False to let the process continue after the shutdown. `await handle.ended` gives the reason.
   * @default true: the process exits with code 0
   */
  readonly exit?: boolean | undefined
  /**
   * False to handle SIGTERM, SIGINT and SIGHUP (SIGBREAK on Windows) in your code.
   * @default true: each of them begins the shutdown
   */
  readonly signals?: boolean | undefined
  /**
   * Time of the open. With `'at-start'`, the store is opened at once. By default it is opened at the first message that
   * needs it (any but `server/discover`, `initialize` and notifications), or after a second: clients start processes
   * that they only probe.
   * @default 'when-needed'
   */
  readonly open?: 'when-needed' | 'at-start' | undefined
  /**
   * With `'keep'`, `console.log`, `console.info` and `console.debug` of this process write to standard output, where
   * any line of their own breaks the protocol.
   * @default 'redirect': they write to standard error, with one warning
   */
  readonly console?: 'redirect' | 'keep' | undefined
}

/** Names of these options. */
export const STDIO_OPTIONS: Names<StdioLifeOptions> = {
  grace: true,
  exit: true,
  signals: true,
  open: true,
  console: true,
}

/** Checked options with their defaults. */
export interface CheckedStdioOptions {
  readonly graceMs: number
  readonly exits: boolean
  readonly listensToSignals: boolean
  readonly opensAtStart: boolean
  readonly redirectsConsole: boolean
}

/**
 * Checks the options and adds the defaults.
 * @param isProcess false if a given transport replaces this process's streams: then nothing exits, and no signal is
 * handled
 * @throws TypeError for an option of the wrong type
 */
export function checkStdioOptions(options: StdioLifeOptions, isProcess: boolean): CheckedStdioOptions {
  const { grace = 200, exit = true, signals = true, open = 'when-needed', console = 'redirect' } = options
  const graceMs = durationMs(grace, 'grace', { zero: true })
  checkFlag('exit', exit)
  checkFlag('signals', signals)
  oneOf('open', open, ['when-needed', 'at-start'])
  oneOf('console', console, ['redirect', 'keep'])
  return {
    graceMs,
    exits: isProcess && exit,
    listensToSignals: isProcess && signals,
    opensAtStart: open === 'at-start',
    redirectsConsole: isProcess && console === 'redirect',
  }
}
