/**
 * The life of a stdio server, for both revisions: when its store is opened, what ends it, and how. Owns the shutdown.
 *
 * - There is one shutdown, begun by the first of: end of input, failed output, a signal, `handle.close()`. Later
 *     ones change nothing, and a second signal forces nothing: Claude Code sends SIGTERM 100 ms after SIGINT.
 * life-2. Its first write, before any wait, says that the process ends on request. So a kill is a crash of no task.
 * - Open calls are answered while the client may be there. Once it is gone, nothing is written.
 * - The process exits at most `WATCHDOG_MS` after the grace, whatever hangs.
 */
import { type Clock, systemClock } from '../../base/clock.js'
import { faultOf } from '../../base/fault.js'
import type { McpCore } from '../tools/mcp-core.js'
import { redirectConsole } from './console.js'
import { exitNow, hasWaitingThread } from './exit.js'
import type { CheckedStdioOptions } from './options.js'
import type { StdioWire } from './wire.js'

/** Reason for which a stdio server ended: its input ended, its output failed, the signal, or `handle.close()` was called. */
export type StdioEnd = 'stdin' | 'stdout' | 'SIGTERM' | 'SIGINT' | 'SIGHUP' | 'SIGBREAK' | 'close'

/** A connection that is served. */
export interface StdioHandle {
  /** Closes the connection and begins the shutdown. Resolves when it is over; by default the process exits then. */
  readonly close: () => Promise<void>
  /** Resolves with the reason once the shutdown is over. By default the process has exited by then. */
  readonly ended: Promise<StdioEnd>
}

const WATCHDOG_MS = 150
const OPEN_AFTER_MS = 1_000
// So many turns of the event loop are enough for an answer, and for the last file operation, where nothing hangs.
const TURNS_MAX = 50
const SIGNALS = [
  'SIGTERM',
  'SIGINT',
  'SIGHUP',
  ...(process.platform === 'win32' ? (['SIGBREAK'] as const) : []),
] as const

// How long a held directory is waited for: at first as long as a restart takes, and later as long as a person waits.
const LOCK_WAITS_MS = [5_000, 1_000]

/** What the shutdown ends. */
export interface Served {
  readonly core: McpCore
  readonly options: CheckedStdioOptions
  readonly clock?: Clock
}

export class StdioLife {
  readonly handle: StdioHandle
  #ended: Promise<StdioEnd> | undefined
  #over: (reason: StdioEnd) => void = () => {}
  #wire: StdioWire | undefined
  #isClientGone = false
  #exitCode = 0
  readonly #undo: (() => void)[] = []
  readonly #clock: Clock

  constructor(private readonly served: Served) {
    const { core, options, clock = systemClock } = served
    this.#clock = clock
    const ended = new Promise<StdioEnd>((resolve) => {
      this.#over = resolve
    })
    this.handle = { ended, close: async () => void (await this.end('close')) }
    core.opening.waitForLock(...LOCK_WAITS_MS)
    if (options.redirectsConsole) this.#undo.push(redirectConsole(core.logger))
    // They stay: a signal after the shutdown must not end what the author does after it.
    if (options.listensToSignals) for (const name of SIGNALS) process.on(name, () => void this.end(name))
    if (options.opensAtStart) this.open()
    else
      this.#undo.push(
        clock.setTimer(clock.now() + OPEN_AFTER_MS, () => this.open(), { elapsed: true, background: true }),
      )
  }

  /** Opens the store, or does nothing if that has begun. What it fails of is logged, and told to who needs it. */
  open(): void {
    const { opening } = this.served.core
    if (!opening.isEnded && opening.isUnopened) opening.begin().catch(() => {})
  }

  /** The wire that open calls are answered over. */
  over(wire: StdioWire): void {
    this.#wire = wire
    if (this.#isClientGone) wire.mute()
  }

  /** The server could not be made. */
  fail(error: unknown): void {
    // Of the author's function, before any input: its message says what to correct.
    this.served.core.logger.error('The server could not be made. The process ends.', { error: String(error) })
    this.#exitCode = 1
    void this.end('close')
  }

  /** Begins the shutdown, or joins the one that continues. */
  end(reason: StdioEnd): Promise<StdioEnd> {
    if (reason === 'stdin' || reason === 'stdout') {
      this.#isClientGone = true
      this.#wire?.mute()
    }
    this.#ended ??= this.#shutDown(reason)
    return this.#ended
  }

  async #shutDown(reason: StdioEnd): Promise<StdioEnd> {
    const { core, options } = this.served
    const { graceMs, exits } = options
    const isOpen = core.opening.holdfast !== undefined
    // Nothing is awaited above this line (life-2).
    const closed = core.opening.end(graceMs).catch((error: unknown) => {
      core.logger.error('The store could not be closed cleanly', { error: faultOf(error) })
    })
    const exit = () => exitNow(this.#exitCode)
    if (exits) this.#undo.push(this.#clock.setTimer(this.#clock.now() + graceMs + WATCHDOG_MS, exit, { elapsed: true }))
    if (isOpen) core.hub.endWaits()
    await closed
    await turnsWhile(() => this.#wire?.hasOpenRequests === true)
    await this.#wire?.close().catch(() => {})
    await this.#wire?.flushed()
    for (const undo of this.#undo.splice(0)) undo()
    if (exits) {
      await turnsWhile(hasWaitingThread)
      exit()
    }
    this.#over(reason)
    return reason
  }
}

/** Lets the event loop turn while there is something to wait for, but not for ever: a plain tool may work on for hours. */
async function turnsWhile(isWaiting: () => boolean): Promise<void> {
  for (let turn = 0; turn < TURNS_MAX && isWaiting(); turn++) {
    await new Promise((resolve) => setImmediate(resolve))
  }
}
