/**
 * Start and end of a stdio server, for both revisions: the open of its store, and the shutdown. Owns the shutdown.
 *
 * - There is one shutdown. It begins with the first of: end of input, failed output, a signal, `handle.close()`. Later
 *   ones have no effect, and a second signal forces nothing, because Claude Code sends SIGTERM 100 ms after SIGINT.
 * life-2. Its first write, before any wait, records that the process ends on request. So a kill counts as no crash of a
 *   task.
 * - Open calls are answered while the client may be connected. Once it is gone, nothing is written.
 * - The process exits at most `WATCHDOG_MS` after the grace, even if an operation does not return.
 */
import { spawn } from 'node:child_process'
import { type Clock, systemClock } from '../../base/clock.js'
import { faultOf } from '../../base/fault.js'
import type { McpCore } from '../tools/mcp-core.js'
import { redirectConsole } from './console.js'
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
// Time after which a helper process kills this one, if `process.exit` has not ended it.
const KILL_AFTER_MS = 100
// Turns of the event loop that are enough for an answer, and for the last file operation, if both respond.
const TURNS_MAX = 50
const SIGNALS = [
  'SIGTERM',
  'SIGINT',
  'SIGHUP',
  ...(process.platform === 'win32' ? (['SIGBREAK'] as const) : []),
] as const

// Waits for a held directory: the first as long as a restart takes, later ones as long as a person waits.
const LOCK_WAITS_MS = [5_000, 1_000]

// The pipe closes when the parent ends, for any reason. So the helper never kills another process that got the parent's
// ID since.
const HELPER = `process.stdin.on('end', () => process.exit()).on('error', () => process.exit()).resume()
setTimeout(() => { if (process.ppid === Number(process.argv[1])) process.kill(process.ppid, 'SIGKILL') }, ${KILL_AFTER_MS})`

/** Parts that the shutdown ends. */
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
    // The listeners stay: a signal after the shutdown must not end the author's remaining work.
    if (options.listensToSignals) for (const name of SIGNALS) process.on(name, () => void this.end(name))
    if (options.opensAtStart) this.open()
    else
      this.#undo.push(
        clock.setTimer(clock.now() + OPEN_AFTER_MS, () => this.open(), { elapsed: true, background: true }),
      )
  }

  /** Opens the store, unless an open has begun. A failure is logged, and each call that needs the store receives it. */
  open(): void {
    const { opening } = this.served.core
    if (!opening.isEnded && opening.isUnopened) opening.begin().catch(() => {})
  }

  /** Sets the wire on which open calls are answered. */
  over(wire: StdioWire): void {
    this.#wire = wire
    if (this.#isClientGone) wire.mute()
  }

  /** Ends the process, because the server could not be created. */
  fail(error: unknown): void {
    // The error is of the author's function, before any input. So its message may be logged.
    this.served.core.logger.error('The server could not be made. The process ends.', { error: String(error) })
    this.#exitCode = 1
    void this.end('close')
  }

  /** Begins the shutdown, or joins the running one. */
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
    // Nothing is awaited before this line (life-2).
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

/** Waits for turns of the event loop while `isWaiting`, up to a limit: a plain tool may run for hours. */
async function turnsWhile(isWaiting: () => boolean): Promise<void> {
  for (let turn = 0; turn < TURNS_MAX && isWaiting(); turn++) {
    await new Promise((resolve) => setImmediate(resolve))
  }
}

/**
 * Ends this process with `code`. `process.exit` waits for work on Node's thread pool, such as a file operation on a disk that
 * does not respond. So a helper process kills this one if that takes too long.
 */
function exitNow(code: number): never {
  if (hasWaitingThread()) killIfHung()
  process.exit(code)
}

/** True if a file operation, a name look-up or a database write is still running on a thread. */
function hasWaitingThread(): boolean {
  return process.getActiveResourcesInfo().some((name) => /^(FSReq|GetAddrInfo|GetNameInfo)|leveldb|classic/i.test(name))
}

function killIfHung(): void {
  const env = { ...process.env, ELECTRON_RUN_AS_NODE: '1' }
  const args = ['-e', HELPER, String(process.pid)]
  spawn(process.execPath, args, { stdio: ['pipe', 'ignore', 'ignore'], windowsHide: true, env }).unref()
}
