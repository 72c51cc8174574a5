/**
 * Owns the open database handle, and handles a failed write on it (commit-3).
 *
 * LevelDB accepts writes after it could not write its log, acknowledges them, and drops them at the next open. So the
 * first failed write is the last one of its handle: the handle is closed, the database is opened again after some
 * attempts, and the result of the failed write is read. Between the two, nothing is read or written.
 */
import type { Clock } from '../base/clock.js'
import { HoldfastError } from '../base/errors.js'
import type { Logger } from '../base/logger.js'
import { deferred, promiseOf } from '../base/promises.js'
import { databaseBroken, explain, isBroken, systemCodeOf } from './disk/damage.js'
import type { Level } from './disk/level.js'

const REOPEN_MS_FIRST = 50
const REOPEN_MS_MAX = 2_000

/** Functions and parts that a connection needs to open its database again. */
export interface ConnectionOptions {
  /**
   * Opens the database again. Rejects with `STORE_LOST` if the directory was lost; then there is no further
   * attempt.
   */
  readonly reopen: () => Promise<Level>
  /** Checks that this process still holds the directory. See `DirectoryLock#assertHeld`. */
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
  /** True while the database is being opened again, and false in the pause between two attempts. */
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

  /** System error code of the failure, while the store is down: `ENOSPC` for a full disk. */
  get causeCode(): string | undefined {
    return this.#isUp ? undefined : systemCodeOf(this.#cause)
  }

  /** True if no read is running, and no attempt to open the database again. */
  get isAtRest(): boolean {
    return this.#reads === 0 && !this.#isOpening
  }

  /**
   * Checks that the store is neither closed nor lost.
   * @throws HoldfastError `STORE_LOST`, `CLOSED`
   */
  assertOpen(): void {
    if (this.#closed) throw new HoldfastError('CLOSED', 'The store is closed')
    if (this.#lost) throw this.#lost
  }

  /**
   * Checks that a write would be accepted now.
   * @throws HoldfastError `STORE_UNAVAILABLE`, `STORE_LOST`, `CLOSED`
   */
  assertUp(): void {
    this.assertOpen()
    if (!this.#isUp) throw unavailable(this.#cause)
  }

  /**
   * Checks that this process still holds the directory, after a write and before its acknowledgement.
   * @throws HoldfastError `STORE_LOST`; a system error if the check itself fails
   */
  assertHeld(): void {
    this.options.assertHeld()
  }

  /** Resolves once reads and writes are possible. Never resolves after `close` or `lose`. */
  get up(): Promise<void> {
    return this.#up.promise
  }

  /** Resolves once reads and writes are no longer possible. */
  get down(): Promise<void> {
    return this.#down.promise
  }

  /**
   * The open database.
   * @throws HoldfastError `STORE_UNAVAILABLE` while there is none, `STORE_LOST`, `CLOSED` after `close`
   */
  get level(): Level {
    if (this.#level === undefined || this.#closed) this.assertUp()
    if (this.#level === undefined) throw unavailable(this.#cause)
    return this.#level
  }

  /**
   * Runs a read. A failure of the database becomes `STORE_UNAVAILABLE`, `STORE_DAMAGED` if its files are damaged, or
   * `STORE_LOST`.
   */
  read<T>(read: (level: Level) => Promise<T>): Promise<T> {
    this.#reads++
    return promiseOf(() => read(this.level)).then(
      (found) => {
        this.#reads--
        return found
      },
      (cause: unknown) => {
        this.#reads--
        if (cause instanceof HoldfastError) throw cause
        throw this.#lost ?? (isBroken(cause) ? databaseBroken(cause) : unavailable(cause))
      },
    )
  }

  /** Runs a read of the engine itself. Waits while the store is down. Never settles after `close` or `lose`. */
  async readPatiently<T>(read: (level: Level) => Promise<T>): Promise<T> {
    for (;;) {
      await this.#up.promise
      const level = this.#level
      try {
        return await this.read(read)
      } catch (error) {
        if (this.#closed) return new Promise<never>(() => {})
        // The store may have gone down again just before this read, and is then waited for again.
        if (level !== undefined && this.#level === level) throw error
      }
    }
  }

  /** Stops using the handle. The write that failed with `cause` may or may not be in the database. */
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

  /**
   * Stops all reads and writes, because another process may hold the directory. Returns `false` if the store was lost
   * already.
   */
  lose(lost: HoldfastError): boolean {
    if (this.#lost) return false
    this.#lost = lost
    // `close` waits for running reads, which still return. An open LevelDB could merge files in a directory of another
    // process.
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
   * Opens the database again, with as many attempts as it takes. `check` reads it before any other code. Never resolves
   * after `close`.
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

  /** Marks the store as usable again. */
  resume(): void {
    this.options.logger.warn('The store is open again')
    this.options.logger.debug('An outage ends')
    this.#isUp = true
    this.#down = deferred()
    this.#up.resolve()
  }

  /** Closes the handle, and waits for running reads. */
  async close(): Promise<void> {
    this.#closed = true
    this.#wake()
    await this.#reopening.catch(() => {}) // The caller of `reopen` received the error.
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

/** True if `error` means that another process may hold the directory. */
export function isLost(error: unknown): error is HoldfastError {
  return error instanceof HoldfastError && error.code === 'STORE_LOST'
}

/** Creates the refusal of a call while the disk does not accept writes. */
export function unavailable(cause: unknown, mayBeWritten = false): HoldfastError {
  const said = mayBeWritten ? 'Whether this call was written is unknown' : 'Nothing of this call was written'
  return new HoldfastError(
    'STORE_UNAVAILABLE',
    `The store is not available: ${explain(cause)}. ${said}; tasks pause and continue once the disk accepts writes again.`,
    { cause, mayBeWritten },
  )
}
