/**
 * Executes one run of a task: loads its log, runs the body over the log, and then settles, retries, unloads or parks
 * the task.
 *
 * After a crash between any two lines, the task is unfinished on disk. The next open finds it and executes it again,
 * with the recorded answers.
 */
import { setImmediate as turn } from 'node:timers/promises'
import { fromJson, toJson } from '../../base/json.js'
import { noteKey } from '../../store/disk/layout.js'
import { readDropped, readLog, readPatches } from '../../store/read-log.js'
import { readPendingRecords, readUndoRecords } from '../../store/reads.js'
import { dueAt, isOutOfTime } from '../../task/decisions/expiry.js'
import { nextAttemptAt } from '../../task/decisions/retry.js'
import { planRetry } from '../../task/decisions/retry-drops.js'
import { isFenced } from '../../task/decisions/transition.js'
import type { AnyTaskDefinition } from '../../task/definition/definition.js'
import { History } from '../../task/log/history.js'
import { describeError, failureCode, type Outcome, type TaskError } from '../../task/log/outcome.js'
import { type PatchAnswers, Patches } from '../../task/log/patch-answers.js'
import type { PendingRecord } from '../../task/log/pending-record.js'
import { undoneRecords } from '../../task/log/undo-record.js'
import { errorCodeOf, type SpanEnd } from '../../task/telemetry.js'
import { runFunction } from '../calls/function-task.js'
import { Patched } from '../calls/patched.js'
import { inputsOf } from '../calls/question.js'
import { messagesOf } from '../calls/receive.js'
import { taskContext } from '../calls/task-context.js'
import { checkOutput } from '../checks/schemas.js'
import { flush } from '../core/deferred-records.js'
import type { Engine } from '../core/engine.js'
import type { LiveTask } from '../core/live-task.js'
import type { RunEnd } from '../replay/pending-call.js'
import { Run } from '../replay/run.js'
import { COMPLETED, INTERRUPTED, RunSpan } from '../state/task-spans.js'
import { clearDropped, droppedOf, logClearing } from './clear-after-retry.js'

/**
 * Runs the body of `task` until it ends, is unloaded or parked, or the engine closes. The task holds a slot.
 * @param fresh the input of a task that was created as running. Without it, the start of the run is committed first
 */
export async function executeTask(
  engine: Engine,
  task: LiveTask,
  fresh: { readonly inputText: string | undefined } | undefined,
): Promise<void> {
  // A time limit may have passed while the task waited for its slot or its next attempt.
  if (isOutOfTime(task.head, engine.clock.now())) return engine.timeOut(task)
  const recovered = !fresh && task.head.run > 0 && task.head.wakeAt === undefined
  const loaded: Loaded | undefined = fresh
    ? { input: fresh.inputText, history: new History([]), ...NO_NOTES }
    : await load(engine, task)
  if (!loaded || isGone(engine, task)) return
  const definition = engine.registry.require(task.head.type)
  if (!fresh && !(await startRun(engine, task, definition, recovered))) return
  if (isGone(engine, task)) return

  const { taskId, type } = task.head
  const report = (replayed: number, next: string | undefined) => {
    const { clock } = engine
    engine.report.note({ taskId, type, action: 'resumed', replayed, resumedAt: next }, clock.now())
  }
  const patched = new Patched(new Patches(loaded.patches), [...loaded.notes.values()])
  const { telemetry } = engine.options
  const span = telemetry && new RunSpan(telemetry, task.head, recovered)
  const run = new Run(engine, task, loaded.history, loaded.notes, patched, definition, recovered, report, span)
  // Each wait reads the store before it begins, so news that came during the load is found.
  task.slot.load(run)
  if (fresh) engine.events.emit('task:started', { taskId, type, run: run.number, recovered })
  const code = codeOf(run, definition, loaded.input)
  const end = await run.execute(span ? () => span.within(code) : code)
  // This function ends here, so that the run is not kept in memory until the commit is on disk.
  if (end.kind === 'unload') {
    span?.end({ outcome: 'waiting' })
    return recordUnload(engine, task, run.number, end)
  }
  try {
    await conclude(engine, task, definition, run, end)
  } finally {
    span?.end(INTERRUPTED)
    run.ending = false
  }
}

// Shared by the runs that have none.
const NO_NOTES = { notes: new Map<string, PendingRecord>(), patches: new Map<number, PatchAnswers>() } as const

/** Records that a run needs. */
interface Loaded {
  readonly input: string | undefined
  readonly history: History
  readonly notes: ReadonlyMap<string, PendingRecord>
  readonly patches: ReadonlyMap<number, PatchAnswers>
}

/** The code of a definition as a body: the function of a task of one function is its only call. */
function codeOf(run: Run, { body, run: fn }: AnyTaskDefinition, inputText: string | undefined): () => unknown {
  if (fn) return () => runFunction(run, fn, fromJson(inputText))
  return () => body?.(taskContext(run), fromJson(inputText) as never)
}

/**
 * Reads the log and the other records that a run needs. If they are damaged, parks the task and returns `undefined`.
 */
async function load(engine: Engine, task: LiveTask): Promise<Loaded | undefined> {
  const { store } = engine
  try {
    if (task.deferred) await flush(engine, task)
    if (task.head.hasDropped) await clearDropped(engine, task.taskId)
    // A head that was read at open may be older than its log. Any other head without records has an empty log.
    const hasLog = task.head.nextRecord > 0 || task.recovery.wasFound
    const { input, log } = await engine.runReads.read(task, { hasLog })
    const history = new History(log.map(({ record }) => record))
    const { hasStepStates, hasPatches } = task.head
    if (!hasStepStates && !hasPatches) return { input, history, ...NO_NOTES }
    return await store.readPatiently(async (level) => ({
      input,
      history,
      notes: hasStepStates ? await readPendingRecords(level, task.taskId) : new Map<string, PendingRecord>(),
      patches: hasPatches ? await readPatches(level, task.head) : new Map<number, PatchAnswers>(),
    }))
  } catch (error) {
    // Parked for every kind of error, so that no task stays pending without a reason (recovery-6). The next open tries
    // again.
    await engine.park(task, { code: 'RECORD_DAMAGED', reason: error instanceof Error ? error.message : String(error) })
    return undefined
  }
}

/**
 * Commits the start of a run. The number of the run is decided at once, so all commits of the run come after it.
 * @returns true if the start is on disk. False if the task was settled before that: then no body may run
 */
async function startRun(
  engine: Engine,
  task: LiveTask,
  definition: AnyTaskDefinition,
  recovered: boolean,
): Promise<boolean> {
  if (!engine.store.connection.isUp) await engine.store.connection.up
  const { timeoutMs } = definition
  const run = task.head.run + 1
  const started = engine.record(task, { kind: 'start', run, timeoutMs, recovered, life: engine.openings.life })
  engine.arm(task)
  // On disk before the body runs, for two reasons: `now()` returns this instant first, and a body that crashes the
  // process at once must count as having run.
  try {
    await started
  } catch (error) {
    if (isFenced(error)) return false
    throw error
  }
  task.recovery.endRetry()
  const { taskId, type } = task.head
  engine.events.emit('task:started', { taskId, type, run, recovered })
  return true
}

type UnloadEnd = Extract<RunEnd, { kind: 'unload' }>

async function recordUnload(
  engine: Engine,
  task: LiveTask,
  run: number,
  { wakeAt, listens, begun }: UnloadEnd,
): Promise<void> {
  try {
    await engine.record(task, { kind: 'unload', run, wakeAt, listens, begun })
  } catch (error) {
    if (!isFenced(error)) throw error
  }
}

async function conclude(
  engine: Engine,
  task: LiveTask,
  definition: AnyTaskDefinition,
  run: Run,
  end: Exclude<RunEnd, UnloadEnd>,
): Promise<void> {
  if (end.kind === 'over') return
  if (end.kind === 'park') {
    run.abandon()
    run.span?.end({ outcome: 'parked', code: end.code })
    return engine.park(task, { code: end.code, reason: end.reason }, run.number)
  }
  if (end.kind === 'threw' && !end.isFinal && (await tryAgain(engine, task, definition, run, end.error))) return
  const checked = end.kind === 'returned' ? outcomeOf(engine, definition, end.value) : failure(end.error)
  const outcome = checked instanceof Promise ? await checked : checked
  try {
    await engine.settle(task, outcome, { run: run.number, by: 'body', patient: true })
    run.span?.end(spanEndOf(outcome))
    if (outcome.kind === 'result') engine.lines.undos.note(definition, task, run.stepNames)
  } catch (error) {
    // The task was settled before its body returned. The result has no effect (recovery-3) and gets an audit entry.
    if (!isFenced(error)) throw error
    if (end.kind === 'returned') engine.noteDropped(task)
  }
}

/**
 * Commits a retry of a body that threw, if one is due. True if the body has another attempt, or the task is settled
 * already.
 */
async function tryAgain(
  engine: Engine,
  task: LiveTask,
  definition: AnyTaskDefinition,
  run: Run,
  thrown: unknown,
): Promise<boolean> {
  const { clock, ids } = engine
  const { head } = task
  const retryAt = nextAttemptAt(definition.retry, {
    attempt: head.attempt,
    error: thrown,
    now: clock.now(),
    dueAt: dueAt(head),
    fraction: ids.fraction(),
  })
  if (retryAt === undefined) return false
  const error = describeError(thrown)
  // Records of other branches may be in flight. The plan reads the log on disk.
  if (task.deferred) await flush(engine, task)
  await task.commits.allWritten()
  const why = `${error.name}: ${error.message}`.slice(0, 200)
  try {
    await retry(engine, task, run, { error, wakeAt: retryAt, why })
  } catch (cause) {
    // The task was settled before the commit: no retry, and nothing to settle.
    if (!isFenced(cause)) throw cause
    return true
  }
  run.span?.end({ outcome: 'retrying', code: errorCodeOf(thrown) })
  return true
}

/** Plans and commits the retry. Inputs and messages of the task are locked during the commit (commit-5). */
async function retry(
  engine: Engine,
  task: LiveTask,
  run: Run,
  { error, wakeAt, why }: { error: TaskError; wakeAt: number; why: string },
): Promise<void> {
  const { store, keys } = engine
  const { taskId, head } = task
  const log = await store.readPatiently((level) => readLog(level, task.head))
  const intents = head.intents ? await store.readPatiently((level) => readUndoRecords(level, taskId)) : []
  const undone = undoneRecords(intents)
  const read = () =>
    head.hasStepStates ? store.readPatiently((level) => readPendingRecords(level, taskId)) : new Map()
  const notes: ReadonlyMap<string, PendingRecord> = await read()
  const plan = await inSlices(planRetry(log, error, task.head, { notes: [...notes.values()], undone }))
  // Ends the children of dropped calls first. After a crash here, the next run reaches the same error again.
  for (const { child } of plan.ended) if (child) await engine.children.end(child.taskId, why)
  const record = async () => {
    // An input that is dropped may have been answered since the first read. The second read has the answer.
    const now: ReadonlyMap<string, PendingRecord> = plan.ended.length > 0 ? await read() : notes
    const ended = plan.ended.map((note) => now.get(noteKey(taskId, note)) ?? note)
    const earlier = await store.readPatiently((level) => readDropped(level, task.head))
    await engine.record(task, { kind: 'retry', run: run.number, wakeAt, why, plan: { ...plan, ended }, earlier })
  }
  await keys.runAll([inputsOf(taskId), messagesOf(taskId), droppedOf(taskId)], record)
  // In the background, because the committed list already excludes the dropped records. After a crash, the next open
  // clears them.
  clearDropped(engine, taskId).catch((cause: unknown) => logClearing(engine, taskId, cause))
}

/** True if the task is settled, was removed from memory, or the engine closes. */
function isGone(engine: Pick<Engine, 'closing' | 'tasks'>, task: LiveTask): boolean {
  return engine.closing || task.settlement.isAnnounced || engine.tasks.get(task.taskId) !== task
}

/** The outcome of a body that returned. A promise only if the definition has a schema of its output. */
function outcomeOf(
  engine: Pick<Engine, 'limits'>,
  definition: AnyTaskDefinition,
  value: unknown,
): Outcome | Promise<Outcome> {
  const result = (checked: unknown) => resultOf(engine, definition, checked)
  return definition.output ? checkOutput(definition, value).then(result, failure) : result(value)
}

function resultOf(engine: Pick<Engine, 'limits'>, definition: AnyTaskDefinition, value: unknown): Outcome {
  try {
    const { outputBytesMax: bytesMax } = engine.limits
    const text = toJson(value, {
      what: `the output of task '${definition.name}'`,
      bytesMax,
      option: 'limits.outputBytesMax',
    })
    return { kind: 'result', result: fromJson(text) }
  } catch (error) {
    return failure(error)
  }
}

function spanEndOf(outcome: Outcome): SpanEnd {
  return outcome.kind === 'error' ? { outcome: 'failed', code: failureCode(outcome.error) } : COMPLETED
}

function failure(thrown: unknown): Outcome {
  return { kind: 'error', error: describeError(thrown) }
}

/** Runs long work in slices, with a turn of the event loop between two slices. Returns the result of the work. */
async function inSlices<T>(work: Generator<void, T>): Promise<T> {
  for (;;) {
    const { done, value } = work.next()
    if (done) return value as T
    await turn()
  }
}
