/** What a body sees: `TaskContext` over a run. Every promise it hands out may be left unawaited without harm. */

import { type Duration, durationMs, instantOf } from '../duration.js'
import type { Jsonified } from '../json.js'
import type { Logger } from '../logger.js'
import type {
  RestoredCheckpoint,
  SaveCheckpointOptions,
  StepContext,
  StepOptions,
  TaskContext,
} from '../task/definition.js'
import { PREFIX, PROGRESS_MESSAGE_BYTES_MAX, type Progress } from '../task/head.js'
import { checkName, cutText, NAME_BYTES_MAX } from '../task/names.js'
import { ONE_ATTEMPT, retryPolicy } from '../task/retry.js'
import type { Asked } from './asked.js'
import { uuidOf } from './derived.js'
import { restoreCheckpoint } from './restore-checkpoint.js'
import { insideStep, type Run } from './run.js'
import { runSleep } from './run-sleep.js'
import { runStep, type StepCall } from './run-step.js'
import { saveCheckpoint } from './save-checkpoint.js'

/** Makes the context of a run's body. */
export function taskContext(run: Run): TaskContext {
  const { task, host, history, recovered } = run
  const { taskId, type, version, owner, attempt, seed, nextRecord } = task.head
  let restoredInPrefix = false
  let uuids = { segment: PREFIX, made: 0 }

  const sleep = (name: string, call: string, parse: () => (now: number) => number): Promise<void> =>
    quiet(() => {
      checkName(name, 'name', NAME_BYTES_MAX.step)
      const until = parse()
      const begin = (asked: Asked) => runSleep(run, asked, name, until)
      return run.enter(`task.${call}('${name}', …)`) ?? run.ask(() => history.askNamed('sleep', name), begin)
    }) as Promise<void>

  return {
    taskId,
    type,
    version,
    owner,
    attempt,
    recovered,
    get signal() {
      return run.signal
    },
    log: loggerOf(host.logger, { taskId, type }),

    step<T>(name: string, fn: (step: StepContext) => T | Promise<T>, options: StepOptions = {}) {
      return quiet(() => {
        checkName(name, 'name', NAME_BYTES_MAX.step)
        if (typeof fn !== 'function') throw new TypeError(`Expected \`fn\` to be a function, got ${typeof fn}`)
        const { retry, timeout, onInterrupted = 'retry' } = options
        if (onInterrupted !== 'retry' && onInterrupted !== 'fail' && typeof onInterrupted !== 'function') {
          throw new TypeError(
            `Expected \`onInterrupted\` to be 'retry', 'fail' or a function, got ${String(onInterrupted)}`,
          )
        }
        const timeoutMs = timeout === undefined ? undefined : durationMs(timeout, 'timeout')
        const step: StepCall = { name, fn, retry: retry ? retryPolicy(retry) : ONE_ATTEMPT, timeoutMs, onInterrupted }
        const begin = (asked: Asked) => runStep(run, asked, step)
        return run.enter(`task.step('${name}', …)`) ?? run.ask(() => history.askNamed('step', name), begin)
      }) as Promise<Jsonified<T>>
    },

    sleep(name: string, duration: Duration) {
      return sleep(name, 'sleep', () => {
        const ms = durationMs(duration, 'duration', { zero: true })
        return (now) => now + ms
      })
    },

    sleepUntil(name: string, instant: Date | number) {
      return sleep(name, 'sleepUntil', () => {
        const at = instantOf(instant, 'instant')
        return () => at
      })
    },

    saveCheckpoint(state: unknown, options: SaveCheckpointOptions = {}) {
      const save = () => run.enter('task.saveCheckpoint(…)') ?? saveCheckpoint(run, state, options, restoredInPrefix)
      return quiet(save) as Promise<{ checkpointId: string }>
    },

    restoreCheckpoint<State>(checkpointId?: string) {
      return quiet(() => {
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
      if (run.isOver) return
      task.progress = cleanProgress(progress)
      host.events.emit('task:progress', { taskId, type, ...task.progress })
    },

    now() {
      return quiet(async () => run.enter('task.now()') ?? run.lastAnswerAt)
    },

    uuid() {
      return quiet(async () => {
        const left = run.enter('task.uuid()')
        if (left) return left
        if (uuids.segment !== history.segment) uuids = { segment: history.segment, made: 0 }
        uuids.made++
        return uuidOf(seed, `${uuids.segment}//${uuids.made}`)
      })
    },

    // A promise like `now()`: a run that is over answers nothing, and only a promise can stay pending.
    patched(id: string) {
      return quiet(async () => {
        checkName(id, 'id', NAME_BYTES_MAX.step)
        return run.enter(`task.patched('${id}')`) ?? run.patched.answer(run, id, nextRecord)
      })
    },
  }
}

/** Runs the body itself, outside every step's scope: a task may be started inside another task's step. */
export function outsideSteps<T>(run: () => T): T {
  return insideStep.exit(run)
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

function cleanProgress({ done, total, message }: Progress): Progress {
  const number = (value: unknown) => (typeof value === 'number' && Number.isFinite(value) ? value : undefined)
  const text = message === undefined ? undefined : cutText(String(message), PROGRESS_MESSAGE_BYTES_MAX)
  return { done: number(done), total: number(total), message: text }
}

function loggerOf(logger: Logger, about: Record<string, unknown>): Logger {
  const say = (level: keyof Logger) => (message: string, fields?: Record<string, unknown>) =>
    logger[level](message, { ...about, ...fields })
  return { debug: say('debug'), info: say('info'), warn: say('warn'), error: say('error') }
}
