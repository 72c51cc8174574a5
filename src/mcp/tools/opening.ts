/**
 * The `Holdfast` of one or two bindings: given open, or opened by the author's function at first use. Owns the open and
 * the definitions to register.
 *
 * - The function is called once at a time, and not again after it succeeded, for any binding.
 * - A failed open is no unhandled rejection. The next durable call opens again.
 * - After `end` nothing is opened. The instance of an open that was running then is closed.
 */

import { bindingOf } from '../../api/binding.js'
import type { Holdfast } from '../../api/holdfast.js'
import { type Clock, systemClock } from '../../base/clock.js'
import { HoldfastError } from '../../base/errors.js'
import { LimitedLogger } from '../../base/line-limit.js'
import { defaultLogger, type Logger, unfailing } from '../../base/logger.js'
import { isLocked, openWhenUnlocked } from '../../store/lock/lock-wait.js'
import type { AnyTaskDefinition } from '../../task/definition/definition.js'

/** Argument of the function given to `durableTasks`: options for `Holdfast.open`. */
export interface GivenOptions {
  /** The definitions of `durable.tool`. */
  readonly tasks: readonly AnyTaskDefinition[]
}

/** Function of the author that opens the store at first use. */
export type OpenHoldfast = (given: GivenOptions) => Holdfast | Promise<Holdfast>

type State =
  | { readonly kind: 'unopened' }
  | { readonly kind: 'opening'; readonly promise: Promise<Holdfast> }
  | { readonly kind: 'open'; readonly promise: Promise<Holdfast>; readonly holdfast: Holdfast }
  | { readonly kind: 'failed'; readonly promise: Promise<Holdfast> }

const openings = new WeakMap<object, Opening>()

export class Opening {
  #state: State = { kind: 'unopened' }
  readonly #definitions = new Map<string, AnyTaskDefinition>()
  readonly #whenOpen: ((holdfast: Holdfast) => void)[] = []
  #lockWaitsMs: number[] = []
  #end: (() => void) | undefined
  readonly #ended: Promise<'ended'>
  #isEnded = false

  private constructor(
    private readonly open: OpenHoldfast | undefined,
    private readonly clock: Clock,
  ) {
    this.#ended = new Promise((resolve) => {
      this.#end = () => resolve('ended')
    })
  }

  /**
   * Finds the opening of `given`, which both bindings share.
   * @throws TypeError for anything but an open `Holdfast` or a function
   */
  static of(given: Holdfast | OpenHoldfast, clock: Clock = systemClock): Opening {
    if (typeof given !== 'function') bindingOf(given)
    const known = openings.get(given)
    if (known) return known
    const opening = new Opening(typeof given === 'function' ? given : undefined, clock)
    if (typeof given !== 'function') {
      opening.#state = { kind: 'open', promise: Promise.resolve(given), holdfast: given }
    }
    openings.set(given, opening)
    return opening
  }

  /** The open instance; `undefined` before the open. */
  get holdfast(): Holdfast | undefined {
    return this.#state.kind === 'open' ? this.#state.holdfast : undefined
  }

  /** True if no open has begun. */
  get isUnopened(): boolean {
    return this.#state.kind === 'unopened'
  }

  /** True after `end`. */
  get isEnded(): boolean {
    return this.#isEnded
  }

  /** The promise of the newest open. Begins the first open. */
  get opened(): Promise<Holdfast> {
    return this.#state.kind === 'unopened' ? this.begin() : this.#state.promise
  }

  /** Logger of the store once it is open; the default logger before that. */
  get logger(): Logger {
    return this.#state.kind === 'open' ? bindingOf(this.#state.holdfast).logger : defaultLoggerOnce()
  }

  /**
   * Sets the waits for a held directory, in milliseconds: the first value for the first open, the last one for every
   * later open.
   */
  waitForLock(...lockWaitsMs: number[]): void {
    this.#lockWaitsMs = lockWaitsMs
  }

  /**
   * Adds a definition to those that the function receives, or to the open instance.
   * @throws TypeError if another definition has the name
   */
  define(definition: AnyTaskDefinition): void {
    const known = this.#definitions.get(definition.name)
    if (known !== undefined && known !== definition) {
      throw new TypeError(`Another task definition has the name '${definition.name}'`)
    }
    if (this.#state.kind === 'open') this.#state.holdfast.register(definition)
    this.#definitions.set(definition.name, definition)
  }

  /** Calls `act` once the store is open, or at once if it is. */
  whenOpen(act: (holdfast: Holdfast) => void): void {
    if (this.#state.kind === 'open') act(this.#state.holdfast)
    else this.#whenOpen.push(act)
  }

  /** Begins an open, unless one is running or done. After a failure, opens again. */
  begin(): Promise<Holdfast> {
    if (this.#state.kind === 'opening' || this.#state.kind === 'open') return this.#state.promise
    const promise = this.#attempt()
    this.#state = { kind: 'opening', promise }
    promise.then(
      (holdfast) => {
        this.#state = { kind: 'open', promise, holdfast }
        for (const act of this.#whenOpen.splice(0)) act(holdfast)
      },
      (error: unknown) => {
        this.#state = { kind: 'failed', promise }
        this.#logFailure(error)
      },
    )
    return promise
  }

  /**
   * Ends the opening: closes the open instance, and prevents later opens. The commit of the close is queued before this
   * returns. A running open is awaited for `graceMs`; its instance is closed whenever it arrives.
   */
  async end(graceMs: number): Promise<void> {
    this.#isEnded = true
    this.#end?.()
    if (this.#state.kind === 'open') return this.#state.holdfast.close({ grace: graceMs })
    if (this.#state.kind !== 'opening') return
    const closed = this.#state.promise.then(
      (holdfast) => holdfast.close({ grace: 0 }),
      () => {},
    )
    let disarm = () => {}
    const late = new Promise<void>((resolve) => {
      disarm = this.clock.setTimer(this.clock.now() + graceMs, resolve, { elapsed: true })
    })
    await Promise.race([closed, late])
    disarm()
    closed.catch(() => {})
  }

  async #attempt(): Promise<Holdfast> {
    // Definitions that are added in this turn of the event loop are passed to the function too.
    await null
    const open = this.open as OpenHoldfast
    const openOnce = async () => {
      if (this.#isEnded) throw new HoldfastError('CLOSED', 'The server is being stopped, so its store is not opened.')
      const holdfast = await open({ tasks: [...this.#definitions.values()] })
      try {
        this.#register(holdfast)
      } catch (error) {
        // Without this, a Holdfast that no caller gets would keep the directory.
        await closeIfAny(holdfast)
        throw error
      }
      return holdfast
    }
    const [lockWaitMs = 0, ...later] = this.#lockWaitsMs
    if (later.length > 0) this.#lockWaitsMs = later
    const { clock, logger } = this
    return openWhenUnlocked(openOnce, { lockWaitMs, clock, logger, ended: this.#ended })
  }

  /** Registers the definitions that the function did not pass on. */
  #register(holdfast: Holdfast): void {
    const binding = bindingOf(holdfast)
    const missing = [...this.#definitions.values()].filter(({ name }) => !binding.knows(name))
    for (const definition of this.#definitions.values()) holdfast.register(definition)
    if (missing.length === 0) return
    binding.logger.warn(
      'The store was opened without the definitions of some tools, so their tasks were parked first. Pass what the function is given on: `(given) => Holdfast.open({ dir, ...given })`.',
      { tools: missing.map(({ name }) => name) },
    )
  }

  #logFailure(error: unknown): void {
    if (this.#isEnded) return
    // The error is of the author's function, which receives no input. So its message may be logged.
    const fields = { error: String(error) }
    if (isLocked(error))
      this.logger.warn('The store is held by another process. The next durable call tries again.', fields)
    else this.logger.error('The store could not be opened. The next durable call tries again.', fields)
  }
}

async function closeIfAny(holdfast: Holdfast): Promise<void> {
  await holdfast?.close?.({ grace: 0 }).catch(() => {})
}

let usedBeforeOpen: LimitedLogger | undefined
/** Logger before the open, with the level of `HOLDFAST_LOG`. */
function defaultLoggerOnce(): Logger {
  usedBeforeOpen ??= new LimitedLogger(unfailing(defaultLogger('info', process.env['HOLDFAST_LOG'])), systemClock)
  return usedBeforeOpen
}
