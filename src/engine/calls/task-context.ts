/**
 * What a body sees: `TaskContext` over a run, and one for each of its branches. Every promise it hands out may be left
 * unawaited without harm.
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
import type { PendingCall } from '../replay/pending-call.js'
import type { Run } from '../replay/run.js'
import { checkStep } from './checked-step.js'
import { runChild } from './child.js'
import { runInput } from './input.js'
import { isolatedStep } from './isolated/isolated-step.js'
import { type Kind, runBranches } from './race.js'
import { runReceive } from './receive.js'
import { RESTORE_CALL, restoreCheckpoint } from './restore-checkpoint.js'
import { saveCheckpoint } from './save-checkpoint.js'
import { runSleep } from './sleep.js'
import { runStep } from './step.js'

/** Makes the context of a run's body; with a branch, that of the branch. */
export function taskContext(run: Run, branch?: Branch): TaskContext {
  const { scope } = branch ?? { scope: '' }
  const { task, host, history, recovered } = run
  const { taskId, type, version, owner, attempt, seed, nextRecord } = task.head
  let restoredInPrefix = false
  let uuids = { segment: PREFIX, made: 0 }
  let signal: AbortSignal | undefined

  /**
   * Makes a call of the body, named for messages. What `act` throws is a refusal: nothing was asked for, and the body gets it
   * in a turn of its own.
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

  /** Asks for something that has a name. */
  const ask = (kind: NamedKind, name: string, begin: (asked: PendingCall) => Promise<void>) => {
    checkName(name, 'name', NAME_BYTES_MAX.step)
    return run.ask(() => history.askNamed(kind, name, scope), begin, branch)
  }

  const branches = <T>(kind: Kind, given: BranchesOf<unknown>) =>
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
      // Made once: each that is made is kept by those that it is made of.
      signal ??= anyOf([run.signal, branch.signal])
      return signal
    },
    log: loggerAbout(host.logger.unlimited, { taskId, type }),

    step<T>(name: string, fn: (step: StepContext) => T | Promise<T>, options: StepOptions = {}) {
      return call<Jsonified<T>>(callOf('step', name), () => {
        const step = checkStep(name, fn, options)
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
        // Only one that was not refused counts: what `prune` drops, the next run must not need.
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

    // A promise like `now()`: a run that is over answers nothing, and only a promise can stay pending.
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

/** A call as messages name it. Its name is not checked yet. */
function callOf(call: string, name: unknown): string {
  return `task.${call}('${typeof name === 'string' ? name : '…'}', …)`
}

// An author may leave a promise unawaited; its rejection must not bring the process down.
function quiet<T>(act: () => unknown): Promise<T> {
  let promise: Promise<T>
  try {
    promise = Promise.resolve(act() as T)
  } catch (error) {
    promise = Promise.reject(error)
  }
  promise.catch(() => {})
  return promise
}

function cleanProgress(progress: Progress): Progress {
  if (!isObject(progress)) throw expected('progress', 'an object of done, total, message', progress)
  const { done, total, message } = progress
  const number = (value: unknown) => (typeof value === 'number' && Number.isFinite(value) ? value : undefined)
  const text = message === undefined ? undefined : cutText(String(message), PROGRESS_MESSAGE_BYTES_MAX)
  return { done: number(done), total: number(total), message: text }
}
