/**
 * The `Holdfast` of one or two bindings: given open, or opened by the author's function when it is first needed. Owns that
 * it is opened once, and what is registered with it.
 *
 * - The function is called once at a time, and not again after it succeeded, whichever binding asks.
 * - A failed open is no unhandled rejection. The next durable call tries again.
 * - After `end` nothing is opened. What an open that was under way resolves to is closed.
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

/** Opens the store when it is first needed. */
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
   * The opening of `given`: the same one for both bindings.
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

  /** The open instance; `undefined` before that. */
  get holdfast(): Holdfast | undefined {
    return this.#state.kind === 'open' ? this.#state.holdfast : undefined
  }

  /** True if no open has begun. */
  get isUnopened(): boolean {
    return this.#state.kind === 'unopened'
  }

  /** True once nothing is opened any more. */
  get isEnded(): boolean {
    return this.#isEnded
  }

  /** The promise of the newest open. Begins the first one. */
  get opened(): Promise<Holdfast> {
    return this.#state.kind === 'unopened' ? this.begin() : this.#state.promise
  }

  /** Where the words go: to the logger of the store once there is one. */
  get logger(): Logger {
    return this.#state.kind === 'open' ? bindingOf(this.#state.holdfast).logger : defaultLoggerOnce()
  }

  /** How long to wait for a held directory: the first value for the first open, the last one for every later open. */
  waitForLock(...lockWaitsMs: number[]): void {
    this.#lockWaitsMs = lockWaitsMs
  }

  /**
   * Adds a definition: to what the function is given, or to the open instance.
   * @throws TypeError when another definition has the name
   */
  define(definition: AnyTaskDefinition): void {
    const known = this.#definitions.get(definition.name)
    if (known !== undefined && known !== definition) {
      throw new TypeError(`Another task definition has the name '${definition.name}'`)
    }
    if (this.#state.kind === 'open') this.#state.holdfast.register(definition)
    this.#definitions.set(definition.name, definition)
  }

  /** Calls `act` once the store is open; at once if it is. */
  whenOpen(act: (holdfast: Holdfast) => void): void {
    if (this.#state.kind === 'open') act(this.#state.holdfast)
    else this.#whenOpen.push(act)
  }

  /** Begins to open, unless that has begun or is done; after a failure once more. */
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
   * Nothing is opened from here on, and what is open is closed. The commit that says so is queued before this returns.
   * An open that is under way may take `graceMs`; what comes later is closed when it comes.
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
    // What is registered in this turn of the event loop is given too.
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

  /** Registers what the function did not pass on. */
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
    // Of the author's function, which sees no input: its message says what to correct.
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
/** The default logger, as `HOLDFAST_LOG` sets it. */
function defaultLoggerOnce(): Logger {
  usedBeforeOpen ??= new LimitedLogger(unfailing(defaultLogger('info', process.env['HOLDFAST_LOG'])), systemClock)
  return usedBeforeOpen
}
