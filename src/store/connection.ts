/**
 * Owns the open database handle, and what happens when a write on it fails (commit-3).
 *
 * LevelDB goes on accepting writes after its log could not be written, acknowledges them, and drops them at the next
 * open. So the first failed write is the handle's last: it is closed, the database is opened again, with patience, and
 * what the failed write left is read back. Between the two nothing is read or written.
 */
import type { Clock } from '../base/clock.js'
import { deferred } from '../base/deferred.js'
import { HoldfastError } from '../base/errors.js'
import type { Logger } from '../base/logger.js'
import { databaseBroken, explain, isBroken } from './disk/damage.js'
import type { Level } from './disk/level.js'

const REOPEN_MS_FIRST = 50
const REOPEN_MS_MAX = 2_000

/** What a connection needs to open its database again. */
export interface ConnectionOptions {
  /** Rejects with `STORE_LOST` if the directory is no longer ours: then it is not tried again. */
  readonly reopen: () => Promise<Level>
  /** See `DirectoryLock#assertHeld`. */
  readonly assertHeld: () => void
  readonly clock: Clock
  readonly logger: Logger
}

export class Connection {
  #level: Level | undefined
  #isUp = true
  #closed = false
  #lost: HoldfastError | undefined
  #cause: unknown
  #up = deferred()
  #down = deferred()
  #closing: Promise<void> = Promise.resolve()
  #reopening: Promise<unknown> = Promise.resolve()
  #wake: () => void = () => {}
  #reads = 0
  /** Opening the database again, and not in the pause between two attempts. */
  #isOpening = false

  constructor(
    level: Level,
    private readonly options: ConnectionOptions,
  ) {
    this.#level = level
    this.#up.resolve()
  }

  /** True if reads and writes are possible. */
  get isUp(): boolean {
    return this.#isUp && !this.#closed
  }

  /** True if no read is going on, and no attempt to open the database again. */
  get isAtRest(): boolean {
    return this.#reads === 0 && !this.#isOpening
  }

  /** @throws HoldfastError `STORE_LOST`, `CLOSED` */
  assertOpen(): void {
    if (this.#closed) throw new HoldfastError('CLOSED', 'The store is closed')
    if (this.#lost) throw this.#lost
  }

  /** @throws HoldfastError `STORE_UNAVAILABLE`, `STORE_LOST`, `CLOSED`: a write now would be refused */
  assertUp(): void {
    this.assertOpen()
    if (!this.#isUp) throw unavailable(this.#cause)
  }

  /** @throws HoldfastError `STORE_LOST`; a system error if that is unknown: what was just written may not be acknowledged */
  assertHeld(): void {
    this.options.assertHeld()
  }

  /** Resolves once reads and writes are possible; after `close` or `lose` never. */
  get up(): Promise<void> {
    return this.#up.promise
  }

  /** Resolves once they are not any more. */
  get down(): Promise<void> {
    return this.#down.promise
  }

  /** The handle. @throws HoldfastError `STORE_UNAVAILABLE` while there is none, `STORE_LOST`, `CLOSED` after `close` */
  get level(): Level {
    if (this.#level === undefined || this.#closed) this.assertUp()
    if (this.#level === undefined) throw unavailable(this.#cause)
    return this.#level
  }

  /**
   * Runs a read. A failure of the database becomes `STORE_UNAVAILABLE`, `STORE_DAMAGED` where its files are broken, or
   * `STORE_LOST`.
   */
  async read<T>(read: (level: Level) => Promise<T>): Promise<T> {
    const level = this.level
    this.#reads++
    try {
      return await read(level)
    } catch (cause) {
      if (cause instanceof HoldfastError) throw cause
      throw this.#lost ?? (isBroken(cause) ? databaseBroken(cause) : unavailable(cause))
    } finally {
      this.#reads--
    }
  }

  /**
   * Runs a read for the engine itself: while the store is down it waits instead of failing, after `close` or `lose` for
   * ever.
   */
  async readPatiently<T>(read: (level: Level) => Promise<T>): Promise<T> {
    for (;;) {
      await this.#up.promise
      const level = this.#level
      try {
        return await this.read(read)
      } catch (error) {
        if (this.#closed) return new Promise<never>(() => {})
        // It may have gone down again in the very moment in which this went on.
        if (level !== undefined && this.#level === level) throw error
      }
    }
  }

  /** No more on this handle: the write that failed with `cause` may or may not be in the database. */
  poison(cause: unknown): void {
    this.#cause = cause
    this.#isUp = false
    this.#up = deferred()
    this.#down.resolve()
    this.#closing = this.#level?.close().catch(() => {}) ?? Promise.resolve()
    this.#level = undefined
    this.options.logger.debug('An outage begins')
    this.options.logger.error('The store refused a write; it is closed and opened again until that works', {
      cause: explain(cause),
    })
  }

  /** Another process may hold the directory: nothing is read or written any more. Returns `false` if that was known. */
  lose(lost: HoldfastError): boolean {
    if (this.#lost) return false
    this.#lost = lost
    // Reads wait for it, and get an answer. LevelDB must not go on merging files in a directory that is another process's.
    this.#closing = this.#level?.close().catch(() => {}) ?? this.#closing
    this.#level = undefined
    if (this.#isUp) this.#up = deferred()
    this.#isUp = false
    this.#down.resolve()
    const { dir } = lost.details
    this.options.logger.error('The store is lost: its lock file was deleted or replaced. Start the server again', {
      dir,
    })
    return true
  }

  /**
   * Opens the database again, however long it takes; `check` sees it before anybody else. Never resolves after `close`.
   * @throws HoldfastError `STORE_LOST`
   */
  async reopen<T>(check: (level: Level) => Promise<T>): Promise<T> {
    this.#isOpening = true
    const reopening = this.#openAgain(check).finally(() => {
      this.#isOpening = false
    })
    this.#reopening = reopening
    return (await reopening)?.found ?? new Promise<never>(() => {})
  }

  async #openAgain<T>(check: (level: Level) => Promise<T>): Promise<{ found: T } | undefined> {
    await this.#closing
    for (let wait = REOPEN_MS_FIRST; !this.#closed; wait = Math.min(wait * 2, REOPEN_MS_MAX)) {
      let level: Level | undefined
      try {
        level = await this.options.reopen()
        const found = await check(level)
        this.#level = level
        return { found }
      } catch (cause) {
        this.#cause = cause
        await level?.close().catch(() => {})
        if (isLost(cause)) throw cause
        this.options.logger.debug('The store cannot be opened yet', { cause: explain(cause), nextTryMs: wait })
        this.#isOpening = false
        await this.#pause(wait)
        this.#isOpening = true
      }
    }
    return undefined
  }

  /** Says that the store is whole again. */
  resume(): void {
    this.options.logger.warn('The store is open again')
    this.options.logger.debug('An outage ends')
    this.#isUp = true
    this.#down = deferred()
    this.#up.resolve()
  }

  /** Closes the handle; pending reads are waited for. */
  async close(): Promise<void> {
    this.#closed = true
    this.#wake()
    await this.#reopening.catch(() => {}) // its caller was told
    await this.#closing
    await this.#level?.close()
  }

  #pause(ms: number): Promise<void> {
    if (this.#closed) return Promise.resolve()
    const { clock } = this.options
    return new Promise((resolve) => {
      const disarm = clock.setTimer(clock.now() + ms, resolve, { elapsed: true })
      this.#wake = () => {
        disarm()
        resolve()
      }
    })
  }
}

/** True if `error` says that another process may hold the directory. */
export function isLost(error: unknown): error is HoldfastError {
  return error instanceof HoldfastError && error.code === 'STORE_LOST'
}

/** The refusal of a call while the disk does not take writes. */
export function unavailable(cause: unknown, mayBeWritten = false): HoldfastError {
  const said = mayBeWritten ? 'Whether this call was written is unknown' : 'Nothing of this call was written'
  return new HoldfastError(
    'STORE_UNAVAILABLE',
    `The store is not available: ${explain(cause)}. ${said}; tasks pause and continue once the disk accepts writes again.`,
    { cause, mayBeWritten },
  )
}
