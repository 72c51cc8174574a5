/**
 * The `TaskContext` of a body and of each branch, on top of a run. A promise from it that is not awaited never raises
 * an unhandled rejection.
 *
 * The context is a plain object whose functions use no `this`, because bodies take them out of it
 * (`const { step } = task`) and copy it. Each passes its arguments to `BodyCalls`, which has the state and checks them.
 */
import { type Duration, durationMs, instantOf } from '../../base/duration.js'
import { checkOptionsOf, expected, isObject } from '../../base/expected.js'
import { uuidOf } from '../../base/ids.js'
import type { Jsonified } from '../../base/json.js'
import { anyOf } from '../../base/lazy-abort.js'
import { loggerAbout } from '../../base/logger.js'
import { type AttributeChanges, checkAttributes } from '../../task/attributes.js'
import {
  type BranchesOf,
  CHILD_OPTIONS,
  type ChildOptions,
  type RestoredCheckpoint,
  type SaveCheckpointOptions,
  type StepContext,
  type TaskContext,
  WAIT_OPTIONS,
  type WaitOptions,
} from '../../task/definition/context.js'
import type { AnyTaskDefinition } from '../../task/definition/definition.js'
import type { IsolatedOptions } from '../../task/definition/isolated-options.js'
import type { StepOptions } from '../../task/definition/step-options.js'
import { PROGRESS_MESSAGE_BYTES_MAX, type Progress } from '../../task/head.js'
import { type NamedKind, SET_ATTRIBUTES } from '../../task/log/records.js'
import { PREFIX } from '../../task/log/segment.js'
import { checkName, cutText, NAME_BYTES_MAX } from '../../task/names.js'
import { inFlight } from '../replay/body-errors.js'
import type { Branch } from '../replay/branch-scopes.js'
import { type PendingCall, placeOf, type RecordEffects } from '../replay/pending-call.js'
import type { Run } from '../replay/run.js'
import { checkStep } from './checked-step.js'
import { runChild } from './child.js'
import { DEFERRED, refuseUndo, runDeferredStep } from './deferred-step.js'
import { runInput } from './input.js'
import { isolatedStep } from './isolated/isolated-step.js'
import { type BranchesKind, runBranches } from './race.js'
import { runReceive } from './receive.js'
import { beginCommit, runCall } from './record-result.js'
import { RESTORE_CALL, restoreCheckpoint } from './restore-checkpoint.js'
import { saveCheckpoint } from './save-checkpoint.js'
import { runSleep } from './sleep.js'
import { runStep } from './step.js'

/** Creates the context of the body of a run, or of one of its branches. */
export function taskContext(run: Run, branch?: Branch): TaskContext {
  const calls = new BodyCalls(run, branch)
  const { task, host, recovered } = run
  const { taskId, type, version, owner, attempt } = task.head
  const context: Omit<TaskContext, 'signal'> & { readonly [CALLS]: BodyCalls } = {
    [CALLS]: calls,
    taskId,
    type,
    version,
    owner,
    attempt,
    recovered,
    log: loggerAbout(host.logger.unlimited, { taskId, type }),
    step: (name, fn, options) => calls.step(name, fn, options),
    isolated: (name, moduleUrl, args, options) => calls.isolated(name, moduleUrl, args, options),
    sleep: (name, duration) => calls.sleep(name, duration),
    sleepUntil: (name, instant) => calls.sleepUntil(name, instant),
    input: (name, request, options) => calls.input(name, request, options),
    receive: (name, options) => calls.receive(name, options),
    all: (branches) => calls.branches('all', branches),
    race: (branches) => calls.branches('race', branches),
    any: (branches) => calls.branches('any', branches),
    child: <Output>(definition: string | AnyTaskDefinition, input?: unknown, options?: ChildOptions) =>
      calls.child<Output>(definition, input, options),
    saveCheckpoint: (state, options) => calls.saveCheckpoint(state, options),
    restoreCheckpoint: (checkpointId) => calls.restoreCheckpoint(checkpointId),
    setAttributes: (attributes) => calls.setAttributes(attributes),
    progress: (progress) => calls.progress(progress),
    now: () => calls.now(),
    uuid: () => calls.uuid(),
    patched: (id) => calls.patched(id),
  }
  return Object.defineProperty(context, 'signal', SIGNAL) as unknown as TaskContext
}

/** The calls of a context, for its property `signal`. A copy of the context has it too. */
const CALLS = Symbol('calls')

/**
 * The property `signal` of each context. All contexts share its function, so that they have one shape: with a getter in
 * the literal, V8 gave each context a table of its own, which took twice the memory and four times the time.
 */
const SIGNAL: PropertyDescriptor & ThisType<{ readonly [CALLS]: BodyCalls }> = {
  enumerable: true,
  configurable: true,
  get() {
    return this[CALLS].signal
  },
}

/** The calls of a body, or of one of its branches. */
class BodyCalls {
  readonly #run: Run
  readonly #branch: Branch | undefined
  readonly #scope: string
  /** Seed of the body's IDs. */
  readonly #seed: string
  /** Number of the next record of the task when the context was created. */
  readonly #nextRecord: number
  #signal: AbortSignal | undefined
  /** True after a restore in the first segment of the run. */
  #restoredInPrefix = false
  #uuids = { segment: PREFIX, made: 0 }

  constructor(run: Run, branch: Branch | undefined) {
    const { seed, nextRecord } = run.task.head
    this.#run = run
    this.#branch = branch
    this.#scope = branch?.scope ?? ''
    this.#seed = seed
    this.#nextRecord = nextRecord
  }

  get signal(): AbortSignal {
    if (!this.#branch) return this.#run.signal
    // Created once, because the source signals keep each signal that is made of them in memory.
    this.#signal ??= anyOf([this.#run.signal, this.#branch.signal])
    return this.#signal
  }

  step<T>(name: string, fn: (step: StepContext) => T | Promise<T>, options: StepOptions<never> = {}) {
    return this.#recorded<Jsonified<T>>(callOf('step', name), () => {
      const run = this.#run
      const step = checkStep(name, fn, options)
      if (step.isDeferred) {
        refuseUndo(run, step)
        return this.#ask('step', name, (asked) => runDeferredStep(run, asked, step), DEFERRED)
      }
      if (run.definition.undo) run.stepNames.add(name)
      return this.#ask('step', name, (asked) => runStep(run, asked, step))
    })
  }

  isolated<T>(name: string, moduleUrl: string | URL, args?: unknown, options: IsolatedOptions<never> = {}) {
    return this.#recorded<Jsonified<T>>(callOf('isolated', name), () => {
      const isolated = isolatedStep(this.#run, name, moduleUrl, args, options)
      const step = checkStep(name, isolated.fn, isolated.options)
      return this.#ask('step', name, (asked) => runStep(this.#run, asked, step))
    })
  }

  sleep(name: string, duration: Duration) {
    return this.#recorded<void>(callOf('sleep', name), () => {
      const ms = durationMs(duration, 'duration', { zero: true })
      return this.#work('sleep', name, (asked) => runSleep(this.#run, asked, (now) => now + ms))
    })
  }

  sleepUntil(name: string, instant: Date | number) {
    return this.#recorded<void>(callOf('sleepUntil', name), () => {
      const at = instantOf(instant, 'instant')
      return this.#work('sleep', name, (asked) => runSleep(this.#run, asked, () => at))
    })
  }

  input<Answer>(name: string, request?: unknown, options: WaitOptions = {}) {
    return this.#recorded<Answer>(callOf('input', name), () => {
      const timeoutMs = timeoutOf('task.input', options)
      return this.#work('input', name, (asked) => runInput(this.#run, asked, { name, request, timeoutMs }))
    })
  }

  receive<Payload>(name: string, options: WaitOptions = {}) {
    return this.#recorded<Payload>(callOf('receive', name), () => {
      const timeoutMs = timeoutOf('task.receive', options, { zero: true })
      return this.#work('receive', name, (asked) => runReceive(this.#run, asked, name, timeoutMs))
    })
  }

  branches<T>(kind: BranchesKind, given: BranchesOf<unknown>) {
    const contextOf = (inner: Branch) => taskContext(this.#run, inner)
    return this.#call<T>(`task.${kind}(…)`, () => runBranches(this.#run, this.#branch, kind, given, contextOf))
  }

  child<Output>(definition: string | AnyTaskDefinition, input?: unknown, options: ChildOptions = {}) {
    const called = typeof definition === 'string' ? definition : definition?.name
    return this.#recorded<Output>(callOf('child', called), () => {
      const { children } = this.#run.host
      checkOptionsOf('task.child', options, CHILD_OPTIONS)
      const childType = children.typeOf(definition)
      const { name = childType } = options
      return this.#work('child', name, (asked) => runChild(this.#run, asked, () => children.check(childType, input)))
    })
  }

  saveCheckpoint(state: unknown, options: SaveCheckpointOptions = {}) {
    return this.#call<{ checkpointId: string }>('task.saveCheckpoint(…)', () => {
      this.#refuseInBranch('saved')
      return saveCheckpoint(this.#run, state, options, this.#restoredInPrefix)
    })
  }

  restoreCheckpoint<State>(checkpointId?: string) {
    return this.#call<RestoredCheckpoint<State> | undefined>(RESTORE_CALL, () => {
      if (checkpointId !== undefined) checkName(checkpointId, 'checkpointId', NAME_BYTES_MAX.label)
      this.#refuseInBranch('restored')
      const inPrefix = this.#run.history.segment === PREFIX
      const restored = restoreCheckpoint(this.#run, checkpointId)
      // Set only after a restore that was not refused. `prune` needs it: a later run must not need the pruned
      // records.
      this.#restoredInPrefix ||= inPrefix
      return restored
    })
  }

  setAttributes(given: AttributeChanges) {
    return this.#recorded<void>('task.setAttributes(…)', () => {
      const attributes = checkAttributes(given)
      return this.#ask('set', SET_ATTRIBUTES, (asked) => {
        const { startedAt = this.#run.host.clock.now() } = asked
        const record = { kind: 'set', ...placeOf(asked), startedAt } as const
        beginCommit(this.#run, asked, { record, beside: { attributes } })
      })
    })
  }

  progress(progress: Progress): void {
    const { task, host } = this.#run
    const clean = cleanProgress(progress)
    if (this.#run.isOver || this.#branch?.isOver) return
    const { taskId, type } = task.head
    task.progress = clean
    host.events.emit('task:progress', { taskId, type, ...task.progress })
  }

  now() {
    const name = 'task.now()'
    const { unrecorded } = this.#run
    return this.#call<number>(name, () => unrecorded.derive(name, unrecorded.lastRecordAt, this.#branch))
  }

  uuid() {
    const name = 'task.uuid()'
    return this.#call<string>(name, () => {
      const { history, unrecorded } = this.#run
      if (this.#uuids.segment !== history.segment) this.#uuids = { segment: history.segment, made: 0 }
      const { segment } = this.#uuids
      const made = ++this.#uuids.made
      return unrecorded.derive(name, uuidOf(this.#seed, `${segment}/${this.#scope}/${made}`), this.#branch)
    })
  }

  // Asynchronous like `now()`: the answer of a run that has ended stays pending, which only a promise can.
  patched(id: string) {
    const name = callOf('patched', id)
    return this.#call<boolean>(name, () => {
      const run = this.#run
      checkName(id, 'id', NAME_BYTES_MAX.step)
      return run.unrecorded.derive(name, run.patched.answer(run, id, this.#nextRecord), this.#branch)
    })
  }

  /** Runs a call of the body whose promise may raise an unhandled rejection by itself. */
  #call<T>(name: string, act: () => unknown): Promise<T> {
    return this.#recorded(name, () => quiet(act()))
  }

  /**
   * Runs a call of the body. `name` is for messages. An error of `act` is a refusal: no call is pending, and the
   * body receives the error in a turn of its own.
   * @param act returns the promise of a pending call, which never raises an unhandled rejection
   */
  #recorded<T>(name: string, act: () => Promise<unknown>): Promise<T> {
    const run = this.#run
    try {
      const left = run.enter(name, this.#branch)
      if (left) return quiet(left)
    } catch (error) {
      return quiet(Promise.reject(error))
    }
    try {
      return act() as Promise<T>
    } catch (error) {
      return quiet(run.unrecorded.refuse(name, error, this.#branch))
    }
  }

  /** Makes a call that has a name. */
  #ask(kind: NamedKind, name: string, begin: (asked: PendingCall) => void, about?: RecordEffects) {
    checkName(name, 'name', NAME_BYTES_MAX.step)
    const run = this.#run
    return run.ask(() => run.history.askNamed(kind, name, this.#scope), begin, this.#branch, about)
  }

  /** Makes a call that has a name and is one asynchronous function. */
  #work(kind: NamedKind, name: string, work: (asked: PendingCall) => Promise<void>) {
    return this.#ask(kind, name, (asked) => runCall(this.#run, asked, work(asked)))
  }

  #refuseInBranch(done: string): void {
    if (this.#branch) throw inFlight(this.#run.task.taskId, `a checkpoint is ${done} in a branch`)
  }
}

/** Checks the options of a wait. @returns its timeout in milliseconds, if it has one */
function timeoutOf(call: string, options: WaitOptions, rule?: { zero: boolean }): number | undefined {
  checkOptionsOf(call, options, WAIT_OPTIONS)
  const { timeout } = options
  return timeout === undefined ? undefined : durationMs(timeout, 'timeout', rule)
}

/** Name of a call in messages. The `name` argument is not checked yet. */
function callOf(call: string, name: unknown): string {
  return `task.${call}('${typeof name === 'string' ? name : '…'}', …)`
}

const ignore = () => {}

/** Returns a promise of `value`. The rejection of a promise that the body does not await must not end the process. */
function quiet<T>(value: unknown): Promise<T> {
  const promise = Promise.resolve(value as T)
  promise.catch(ignore)
  return promise
}

function cleanProgress(progress: Progress): Progress {
  if (!isObject(progress)) throw expected('progress', 'an object of done, total, message', progress)
  const { done, total, message } = progress
  const number = (value: unknown) => (typeof value === 'number' && Number.isFinite(value) ? value : undefined)
  const text = message === undefined ? undefined : cutText(String(message), PROGRESS_MESSAGE_BYTES_MAX)
  return { done: number(done), total: number(total), message: text }
}
