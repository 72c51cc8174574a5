/**
 * What a body sees: `TaskContext` over a run, and one for each of its branches. Every promise it hands out may be left
 * unawaited without harm.
 */
import { type Duration, durationMs, instantOf } from '../duration.js'
import { checkOptionsOf, expected, isObject } from '../expected.js'
import type { Jsonified } from '../json.js'
import { loggerAbout } from '../logger.js'
import {
  type BranchesOf,
  CHILD_OPTIONS,
  type ChildOptions,
  type RestoredCheckpoint,
  type SaveCheckpointOptions,
  type StepContext,
  type StepOptions,
  type TaskContext,
  WAIT_OPTIONS,
  type WaitOptions,
} from '../task/context.js'
import type { AnyTaskDefinition } from '../task/definition.js'
import { PREFIX, PROGRESS_MESSAGE_BYTES_MAX, type Progress } from '../task/head.js'
import type { IsolatedOptions } from '../task/isolated.js'
import type { NamedKind } from '../task/log.js'
import { checkName, cutText, NAME_BYTES_MAX } from '../task/names.js'
import type { Asked } from './asked.js'
import type { Branch } from './branches.js'
import { uuidOf } from './derived.js'
import { isolatedStep } from './isolated/isolated-step.js'
import { anyOf } from './lazy-abort.js'
import { inFlight } from './refusals.js'
import { restoreCheckpoint } from './restore-checkpoint.js'
import type { Run } from './run.js'
import { runChild } from './run-child.js'
import { runInput } from './run-input.js'
import { runReceive } from './run-receive.js'
import { runSleep } from './run-sleep.js'
import { runStep } from './run-step.js'
import { saveCheckpoint } from './save-checkpoint.js'
import { type Kind, sideBySide } from './side-by-side.js'
import { checkStep } from './step-call.js'

/** Makes the context of a run's body; with a branch, that of the branch. */
export function taskContext(run: Run, branch?: Branch): TaskContext {
  const { scope } = branch ?? { scope: '' }
  const { task, host, history, recovered } = run
  const { taskId, type, version, owner, attempt, seed, nextRecord } = task.head
  let restoredInPrefix = false
  let uuids = { segment: PREFIX, made: 0 }
  let signal: AbortSignal | undefined

  /** Asks for something that has a name. What `check` throws is the caller's mistake, and nothing is asked for. */
  const ask = <T>(kind: NamedKind, name: string, call: string, check: () => (asked: Asked) => Promise<void>) =>
    quiet(() => {
      checkName(name, 'name', NAME_BYTES_MAX.step)
      const begin = check()
      const place = () => history.askNamed(kind, name, scope)
      return run.enter(`task.${call}('${name}', …)`, branch) ?? run.ask(place, begin, branch)
    }) as Promise<T>

  const branches = <T>(kind: Kind, given: BranchesOf<unknown>) =>
    quiet(() => sideBySide(run, branch, kind, given, (inner) => taskContext(run, inner))) as Promise<T>

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
    log: loggerAbout(host.logger, { taskId, type }),

    step<T>(name: string, fn: (step: StepContext) => T | Promise<T>, options: StepOptions = {}) {
      return ask<Jsonified<T>>('step', name, 'step', () => {
        const step = checkStep(name, fn, options)
        return (asked) => runStep(run, asked, step)
      })
    },

    isolated<T>(name: string, moduleUrl: string | URL, args?: unknown, options: IsolatedOptions = {}) {
      return quiet(() => {
        const step = isolatedStep(run, name, moduleUrl, args, options)
        return context.step(name, step.fn, step.options)
      }) as Promise<Jsonified<T>>
    },

    sleep(name: string, duration: Duration) {
      return ask<void>('sleep', name, 'sleep', () => {
        const ms = durationMs(duration, 'duration', { zero: true })
        return (asked) => runSleep(run, asked, (now) => now + ms)
      })
    },

    sleepUntil(name: string, instant: Date | number) {
      return ask<void>('sleep', name, 'sleepUntil', () => {
        const at = instantOf(instant, 'instant')
        return (asked) => runSleep(run, asked, () => at)
      })
    },

    input<Answer>(name: string, request?: unknown, options: WaitOptions = {}) {
      return ask<Answer>('input', name, 'input', () => {
        checkOptionsOf('task.input', options, WAIT_OPTIONS)
        const { timeout } = options
        const timeoutMs = timeout === undefined ? undefined : durationMs(timeout, 'timeout')
        return (asked) => runInput(run, asked, { name, request, timeoutMs })
      })
    },

    receive<Payload>(name: string, options: WaitOptions = {}) {
      return ask<Payload>('receive', name, 'receive', () => {
        checkOptionsOf('task.receive', options, WAIT_OPTIONS)
        const { timeout } = options
        const timeoutMs = timeout === undefined ? undefined : durationMs(timeout, 'timeout', { zero: true })
        return (asked) => runReceive(run, asked, name, timeoutMs)
      })
    },

    all: <Results>(given: BranchesOf<Results>) => branches<Results>('all', given),
    race: <Results>(given: BranchesOf<Results>) => branches<Results[keyof Results]>('race', given),
    any: <Results>(given: BranchesOf<Results>) => branches<Results[keyof Results]>('any', given),

    child<Output>(definition: string | AnyTaskDefinition, input?: unknown, options: ChildOptions = {}) {
      return quiet(async () => {
        checkOptionsOf('task.child', options, CHILD_OPTIONS)
        const childType = host.children.typeOf(definition)
        const { name = childType } = options
        return ask<Output>('child', name, 'child', () => (asked) => {
          return runChild(run, asked, () => host.children.check(childType, input))
        })
      })
    },

    saveCheckpoint(state: unknown, options: SaveCheckpointOptions = {}) {
      const save = () => {
        refuseInBranch('saved')
        return run.enter('task.saveCheckpoint(…)') ?? saveCheckpoint(run, state, options, restoredInPrefix)
      }
      return quiet(save) as Promise<{ checkpointId: string }>
    },

    restoreCheckpoint<State>(checkpointId?: string) {
      return quiet(() => {
        if (checkpointId !== undefined) checkName(checkpointId, 'checkpointId', NAME_BYTES_MAX.label)
        refuseInBranch('restored')
        const left = run.enter('task.restoreCheckpoint(…)')
        if (left) return left
        const inPrefix = history.segment === PREFIX
        const restored = restoreCheckpoint(run, checkpointId)
        // Only one that was not refused counts: what `prune` drops, the next run must not need.
        restoredInPrefix ||= inPrefix
        return restored
      }) as Promise<RestoredCheckpoint<State> | undefined>
    },

    progress(progress: Progress) {
      const clean = cleanProgress(progress)
      if (run.isOver || branch?.isOver) return
      task.progress = clean
      host.events.emit('task:progress', { taskId, type, ...task.progress })
    },

    now() {
      return quiet(async () => run.enter('task.now()', branch) ?? run.lastAnswerAt)
    },

    uuid() {
      return quiet(async () => {
        const left = run.enter('task.uuid()', branch)
        if (left) return left
        if (uuids.segment !== history.segment) uuids = { segment: history.segment, made: 0 }
        uuids.made++
        return uuidOf(seed, `${uuids.segment}/${scope}/${uuids.made}`)
      })
    },

    // A promise like `now()`: a run that is over answers nothing, and only a promise can stay pending.
    patched(id: string) {
      return quiet(async () => {
        checkName(id, 'id', NAME_BYTES_MAX.step)
        return run.enter(`task.patched('${id}')`, branch) ?? run.patched.answer(run, id, nextRecord)
      })
    },
  }
  return context
}

// An author may leave a promise unawaited; its rejection must not bring the process down.
function quiet<T>(act: () => Promise<T>): Promise<T> {
  let promise: Promise<T>
  try {
    promise = act()
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
