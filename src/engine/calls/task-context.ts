/**
 * The `TaskContext` of a body and of each branch, on top of a run. A promise from it that is not awaited never raises
 * an unhandled rejection.
 */
import { type Duration, durationMs, instantOf } from '../../base/duration.js'
import { checkOptionsOf, expected, isObject } from '../../base/expected.js'
import { uuidOf } from '../../base/ids.js'
import type { Jsonified } from '../../base/json.js'
import { anyOf } from '../../base/lazy-abort.js'
import { loggerAbout } from '../../base/logger.js'
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
import type { NamedKind } from '../../task/log/records.js'
import { PREFIX } from '../../task/log/segment.js'
import { checkName, cutText, NAME_BYTES_MAX } from '../../task/names.js'
import { inFlight } from '../replay/body-errors.js'
import type { Branch } from '../replay/branch-scopes.js'
import type { PendingCall, RecordEffects } from '../replay/pending-call.js'
import type { Run } from '../replay/run.js'
import { checkStep } from './checked-step.js'
import { runChild } from './child.js'
import { DEFERRED, refuseUndo, runDeferredStep } from './deferred-step.js'
import { runInput } from './input.js'
import { isolatedStep } from './isolated/isolated-step.js'
import { type BranchesKind, runBranches } from './race.js'
import { runReceive } from './receive.js'
import { RESTORE_CALL, restoreCheckpoint } from './restore-checkpoint.js'
import { saveCheckpoint } from './save-checkpoint.js'
import { runSleep } from './sleep.js'
import { runStep } from './step.js'

/** Creates the context of the body of a run, or of one of its branches. */
export function taskContext(run: Run, branch?: Branch): TaskContext {
  const { scope } = branch ?? { scope: '' }
  const { task, host, history, recovered } = run
  const { taskId, type, version, owner, attempt, seed, nextRecord } = task.head
  let restoredInPrefix = false
  let uuids = { segment: PREFIX, made: 0 }
  let signal: AbortSignal | undefined

  /**
   * Runs a call of the body. `name` is for messages. An error of `act` is a refusal: no call is pending, and the
   * body receives the error in a turn of its own.
   */
  const call = <T>(name: string, act: () => unknown): Promise<T> =>
    quiet(() => {
      const left = run.enter(name, branch)
      if (left) return left
      try {
        return act()
      } catch (error) {
        return run.unrecorded.refuse(name, error, branch)
      }
    })

  /** Makes a call that has a name. */
  const ask = (kind: NamedKind, name: string, begin: (asked: PendingCall) => Promise<void>, about?: RecordEffects) => {
    checkName(name, 'name', NAME_BYTES_MAX.step)
    return run.ask(() => history.askNamed(kind, name, scope), begin, branch, about)
  }

  const branches = <T>(kind: BranchesKind, given: BranchesOf<unknown>) =>
    call<T>(`task.${kind}(…)`, () => runBranches(run, branch, kind, given, (inner) => taskContext(run, inner)))

  const refuseInBranch = (done: string) => {
    if (branch) throw inFlight(taskId, `a checkpoint is ${done} in a branch`)
  }

  const context: TaskContext = {
    taskId,
    type,
    version,
    owner,
    attempt,
    recovered,
    get signal() {
      if (!branch) return run.signal
      // Created once, because the source signals keep each signal that is made of them in memory.
      signal ??= anyOf([run.signal, branch.signal])
      return signal
    },
    log: loggerAbout(host.logger.unlimited, { taskId, type }),

    step<T>(name: string, fn: (step: StepContext) => T | Promise<T>, options: StepOptions = {}) {
      return call<Jsonified<T>>(callOf('step', name), () => {
        const step = checkStep(name, fn, options)
        if (step.isDeferred) {
          refuseUndo(run, step)
          return ask('step', name, (asked) => runDeferredStep(run, asked, step), DEFERRED)
        }
        if (run.definition.undo) run.stepNames.add(name)
        return ask('step', name, (asked) => runStep(run, asked, step))
      })
    },

    isolated<T>(name: string, moduleUrl: string | URL, args?: unknown, options: IsolatedOptions = {}) {
      return call<Jsonified<T>>(callOf('isolated', name), () => {
        const isolated = isolatedStep(run, name, moduleUrl, args, options)
        const step = checkStep(name, isolated.fn, isolated.options)
        return ask('step', name, (asked) => runStep(run, asked, step))
      })
    },

    sleep(name: string, duration: Duration) {
      return call<void>(callOf('sleep', name), () => {
        const ms = durationMs(duration, 'duration', { zero: true })
        return ask('sleep', name, (asked) => runSleep(run, asked, (now) => now + ms))
      })
    },

    sleepUntil(name: string, instant: Date | number) {
      return call<void>(callOf('sleepUntil', name), () => {
        const at = instantOf(instant, 'instant')
        return ask('sleep', name, (asked) => runSleep(run, asked, () => at))
      })
    },

    input<Answer>(name: string, request?: unknown, options: WaitOptions = {}) {
      return call<Answer>(callOf('input', name), () => {
        checkOptionsOf('task.input', options, WAIT_OPTIONS)
        const { timeout } = options
        const timeoutMs = timeout === undefined ? undefined : durationMs(timeout, 'timeout')
        return ask('input', name, (asked) => runInput(run, asked, { name, request, timeoutMs }))
      })
    },

    receive<Payload>(name: string, options: WaitOptions = {}) {
      return call<Payload>(callOf('receive', name), () => {
        checkOptionsOf('task.receive', options, WAIT_OPTIONS)
        const { timeout } = options
        const timeoutMs = timeout === undefined ? undefined : durationMs(timeout, 'timeout', { zero: true })
        return ask('receive', name, (asked) => runReceive(run, asked, name, timeoutMs))
      })
    },

    all: <Results>(given: BranchesOf<Results>) => branches<Results>('all', given),
    race: <Results>(given: BranchesOf<Results>) => branches<Results[keyof Results]>('race', given),
    any: <Results>(given: BranchesOf<Results>) => branches<Results[keyof Results]>('any', given),

    child<Output>(definition: string | AnyTaskDefinition, input?: unknown, options: ChildOptions = {}) {
      return call<Output>(callOf('child', typeof definition === 'string' ? definition : definition?.name), () => {
        checkOptionsOf('task.child', options, CHILD_OPTIONS)
        const childType = host.children.typeOf(definition)
        const { name = childType } = options
        return ask('child', name, (asked) => runChild(run, asked, () => host.children.check(childType, input)))
      })
    },

    saveCheckpoint(state: unknown, options: SaveCheckpointOptions = {}) {
      return call<{ checkpointId: string }>('task.saveCheckpoint(…)', () => {
        refuseInBranch('saved')
        return saveCheckpoint(run, state, options, restoredInPrefix)
      })
    },

    restoreCheckpoint<State>(checkpointId?: string) {
      return call<RestoredCheckpoint<State> | undefined>(RESTORE_CALL, () => {
        if (checkpointId !== undefined) checkName(checkpointId, 'checkpointId', NAME_BYTES_MAX.label)
        refuseInBranch('restored')
        const inPrefix = history.segment === PREFIX
        const restored = restoreCheckpoint(run, checkpointId)
        // Set only after a restore that was not refused. `prune` needs it: a later run must not need the pruned
        // records.
        restoredInPrefix ||= inPrefix
        return restored
      })
    },

    progress(progress: Progress) {
      const clean = cleanProgress(progress)
      if (run.isOver || branch?.isOver) return
      task.progress = clean
      host.events.emit('task:progress', { taskId, type, ...task.progress })
    },

    now() {
      const name = 'task.now()'
      return call(name, () => run.unrecorded.derive(name, run.unrecorded.lastRecordAt, branch))
    },

    uuid() {
      const name = 'task.uuid()'
      return call(name, () => {
        if (uuids.segment !== history.segment) uuids = { segment: history.segment, made: 0 }
        uuids.made++
        return run.unrecorded.derive(name, uuidOf(seed, `${uuids.segment}/${scope}/${uuids.made}`), branch)
      })
    },

    // Asynchronous like `now()`: the answer of a run that has ended stays pending, which only a promise can.
    patched(id: string) {
      const name = callOf('patched', id)
      return call(name, () => {
        checkName(id, 'id', NAME_BYTES_MAX.step)
        return run.unrecorded.derive(name, run.patched.answer(run, id, nextRecord), branch)
      })
    },
  }
  return context
}

/** Name of a call in messages. The `name` argument is not checked yet. */
function callOf(call: string, name: unknown): string {
  return `task.${call}('${typeof name === 'string' ? name : '…'}', …)`
}

const ignore = () => {}

// The rejection of a promise that the body does not await must not end the process.
function quiet<T>(act: () => unknown): Promise<T> {
  let promise: Promise<T>
  try {
    promise = Promise.resolve(act() as T)
  } catch (error) {
    promise = Promise.reject(error)
  }
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
