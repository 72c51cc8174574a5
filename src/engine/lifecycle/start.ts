/**
 * Starts a task: checks the input, looks up the idempotency key, decides, commits, and only then runs the task.
 *
 * After a crash before the commit, there is no task. After a crash after the commit, the next open runs the task, and
 * the caller finds it under its idempotency key.
 */
import { createHash } from 'node:crypto'
import { HoldfastError } from '../../base/errors.js'
import { canonicalJson, type JsonUse, type JsonValue, toJson, toPlain } from '../../base/json.js'
import { isLost } from '../../store/connection.js'
import { readHead, readIdempotency } from '../../store/reads.js'
import { byteCountOf } from '../../task/byte-count.js'
import type { BindingRecord, IdempotencyEntry, IdempotencyScope, TaskDecision } from '../../task/changes.js'
import { attributesOfNew } from '../../task/decisions/attributes.js'
import { createSettled, createTask, type NewTask } from '../../task/decisions/create.js'
import { endOfTime, forgetAt } from '../../task/decisions/expiry.js'
import type { AnyTaskDefinition } from '../../task/definition/definition.js'
import { isSettled, type TaskHead } from '../../task/head.js'
import { spanTaskOf } from '../../task/telemetry.js'
import { checkSessionTask, type SessionTaskOptions } from '../checks/call-options.js'
import { checkInput } from '../checks/schemas.js'
import { checkStartOptions, type StartOptions } from '../checks/start-options.js'
import type { Engine } from '../core/engine.js'
import { LiveTask } from '../core/live-task.js'
import type { Admitted, Quota } from '../scheduling/admission.js'
import { COMPLETED, failedWith } from '../state/task-spans.js'
import { announceSettled, settleEvent } from './settle.js'

/** Result of `start`, once the task is durable. */
export interface Started {
  readonly taskId: string
  /** `false` if the idempotency key had a task already. */
  readonly created: boolean
}

/** Function that returns the records of a protocol binding for the batch that creates the task with this ID. */
type BindingRecordsOf = (taskId: string) => readonly BindingRecord[]

/** Additions of a protocol binding to a start. */
export interface BindingStart {
  readonly beside?: BindingRecordsOf
  /** Limits of the client that the binding starts the task for. */
  readonly quota?: Quota | undefined
  /** Actor of the audit entry, in place of the owner. */
  readonly by?: string | undefined
}

/** Starts a task of `definition`. */
export async function startTask(
  engine: Engine,
  definition: AnyTaskDefinition,
  input: unknown,
  options: StartOptions,
  { beside = () => [], quota, by }: BindingStart = {},
): Promise<Started> {
  const { owner, key, ttlMs, deadlineAt, priority, title, attributes } = checkStartOptions(options)
  const { inputBytesMax: bytesMax } = engine.limits
  const use: JsonUse = { what: `the input of task '${definition.name}'`, bytesMax, option: 'limits.inputBytesMax' }
  // A repeated start is compared by the unparsed input. The parsed input is stored, and is never parsed again.
  const raw = toPlain(input, use)
  const parsed = definition.input ? await checkInput(definition, input) : input
  const inputText = toJson(parsed === input ? raw : parsed, use)
  engine.assertOpen()

  const { clock, ids, store } = engine
  const fingerprint = key === undefined ? '' : fingerprintOf(raw)
  const create = async (): Promise<Started> => {
    const { creations } = engine.admission
    const place = creations.take()
    if (place) await place
    try {
      const loading = engine.usage.load(owner)
      if (loading) await loading
      const reading = engine.admission.ready({ owner, type: definition.name, kind: 'body', quota })
      if (reading) await reading
      const { name: type, version, timeoutMs } = definition
      const taskId = ids.taskId(clock.now())
      const records = beside(taskId)
      engine.assertOpen()
      const admitted = engine.admission.admit({ owner, type, kind: 'body', deadlineAt, quota })
      const about: NewTask = {
        taskId,
        beside: records,
        seed: ids.seed(),
        type,
        kind: 'body',
        version,
        owner,
        durability: store.durability,
        ttlMs,
        deadlineAt,
        priority,
        timeoutMs,
        idempotency: key === undefined ? undefined : { key, fingerprint },
        title,
        attributes: attributes && attributesOfNew(taskId, attributes),
        inputText,
        startNow: admitted.startNow,
        life: engine.openings.life,
        by: by ?? owner ?? 'admin',
      }
      const task = await commitNew(engine, about, admitted)
      beginAdmitted(engine, task, admitted, about)
      return { taskId, created: true }
    } finally {
      creations.release()
    }
  }
  return onceUnderKey(
    engine,
    key === undefined ? undefined : { owner, type: definition.name, key },
    fingerprint,
    create,
  )
}

/** Hash by which two starts under the same idempotency key are compared. */
export function fingerprintOf(asked: JsonValue | undefined): string {
  return createHash('sha256').update(canonicalJson(asked)).digest('hex')
}

/**
 * Creates a task, unless its idempotency key has a task already. `scope` is `undefined` for a start without a key.
 * @throws HoldfastError `IDEMPOTENCY_CONFLICT` if the key was used with another input
 * @throws HoldfastError `RESULT_GONE` if the task of the key is swept
 */
export async function onceUnderKey(
  engine: Engine,
  scope: IdempotencyScope | undefined,
  fingerprint: string,
  create: () => Promise<Started>,
): Promise<Started> {
  if (!scope) return create()
  return engine.keys.run(JSON.stringify(scope), async () => {
    const first = await engine.store.read((level) => readIdempotency(level, scope))
    const head = first && (await headOf(engine, first.taskId))
    if (!first || isForgotten(engine, first, head)) return create()
    if (first.fingerprint === fingerprint) {
      if (!head || head.sweeping) throw resultGone(first, head)
      return { taskId: first.taskId, created: false }
    }
    throw new HoldfastError(
      'IDEMPOTENCY_CONFLICT',
      `The idempotency key '${scope.key}' started task ${first.taskId} of type '${scope.type}' with another input. Use another key, or the same input.`,
      { details: { taskId: first.taskId, idempotencyKey: scope.key } },
    )
  })
}

/** Creates a session task, which has no body and is changed by its client. */
export async function createSessionTask(
  engine: Engine,
  options: SessionTaskOptions,
  { beside = () => [], quota }: BindingStart = {},
): Promise<Started> {
  const { type, owner, ttlMs, title, attributes } = checkSessionTask(options)
  const { clock, ids, store, admission } = engine
  await engine.usage.load(owner)
  await admission.ready({ owner, type, kind: 'session', quota })
  const now = clock.now()
  const taskId = ids.taskId(now)
  const task: NewTask = {
    taskId,
    beside: beside(taskId),
    seed: ids.seed(),
    type,
    kind: 'session',
    owner,
    durability: store.durability,
    ttlMs,
    title,
    attributes: attributesOfNew(taskId, attributes),
    startNow: true,
    by: owner ?? 'admin',
  }
  engine.assertOpen()
  const admitted = admission.admit({ ...task, quota })
  return { taskId: (await commitNew(engine, task, admitted)).taskId, created: true }
}

/** Runs a new task in the slot that admission gave to it, or queues it. A late task (`isLate`) is settled already. */
export function beginAdmitted(
  engine: Pick<Engine, 'begin' | 'schedule'>,
  task: LiveTask,
  { startNow, isLate, queued }: Admitted,
  { inputText }: Pick<NewTask, 'inputText'>,
): void {
  if (startNow) engine.begin(task, { inputText })
  else if (!isLate) engine.schedule(task)
  // Until here, admission counts the task as waiting. From here on, the queue counts it.
  queued()
}

/** The decision that creates a task. If a time limit has passed already, the task is created as failed. */
export function decideNew(
  engine: Pick<Engine, 'registry' | 'retentionMs'>,
  { isLate }: Admitted,
  created: TaskDecision,
  now: number,
): TaskDecision {
  const end = isLate ? endOfTime(created.head) : undefined
  if (!end) return created
  const { outcome, stoppedBy } = end
  return createSettled(created, settleEvent(engine, created.head, outcome, { by: 'engine', stoppedBy }), now)
}

/** Notifies listeners of a new task on disk, and sets its timer. A task created as failed is reported as settled. */
export function announceNew(engine: Engine, task: LiveTask, { head, changes }: TaskDecision): void {
  const { taskId, type, owner } = head
  task.commits.land(head)
  engine.arm(task)
  engine.events.emit('task:created', { taskId, type, owner })
  if (!isSettled(head.status)) return
  const outcome = changes.find((change) => change.kind === 'outcome')
  if (outcome) announceSettled(engine, task, outcome.text)
}

/**
 * Commits the creation of an admitted task, and adds the task to memory. The task does not run yet. After any error,
 * the slot and the places of the admission are given back.
 */
export async function commitNew(
  engine: Engine,
  given: NewTask,
  admitted: Admitted,
  decide: (about: NewTask, now: number) => TaskDecision = createTask,
): Promise<LiveTask> {
  const span = engine.options.telemetry?.begin({ kind: 'create', task: spanTaskOf(given) })
  const about = span ? { ...given, trace: span.trace } : given
  try {
    const now = engine.clock.now()
    const decision = decideNew(engine, admitted, decide(about, now), now)
    engine.usage.assertRoom(decision.head.owner, byteCountOf(decision.head).kept)
    const task = new LiveTask(decision.head, { kind: 'start', admitted })
    engine.add(task)
    try {
      await engine.store.commit(decision, { patient: false })
    } catch (error) {
      // The store is read after the outage to find out if the write is on disk. Until then the task stays in memory, not
      // visible.
      if (isUnknown(error)) throw startUnknown(about.taskId, error)
      engine.tasks.delete(about.taskId)
      throw error
    }
    task.commits.endCreation()
    span?.end(COMPLETED)
    announceNew(engine, task, decision)
    return task
  } catch (error) {
    span?.end(failedWith(error))
    admitted.giveBack({ unknown: error instanceof HoldfastError && error.code === 'START_UNKNOWN' })
    throw error
  }
}

async function headOf(
  { tasks, store }: Pick<Engine, 'tasks' | 'store'>,
  taskId: string,
): Promise<TaskHead | undefined> {
  return tasks.get(taskId)?.head ?? (await store.read((level) => readHead(level, taskId)))
}

/** True if the retention of the key is over. For a swept task, the entry of the key has the instant. */
function isForgotten(
  { retentionMs, clock }: Pick<Engine, 'retentionMs' | 'clock'>,
  { forgetAt: keptUntil }: IdempotencyEntry,
  head: TaskHead | undefined,
): boolean {
  const at = head ? forgetAt(head, retentionMs) : (keptUntil ?? 0)
  return at !== undefined && at <= clock.now()
}

/** The error of a start whose task was deleted. Without this error, the work of that task would be done twice. */
function resultGone({ taskId, ...entry }: IdempotencyEntry, head: TaskHead | undefined): HoldfastError {
  const settledAt = head?.settledAt ?? entry.settledAt
  const when = settledAt === undefined ? '' : ` at ${new Date(settledAt).toISOString()}`
  const said = `This idempotency key started task ${taskId}, which settled${when} and has been deleted since, with its result`
  return new HoldfastError('RESULT_GONE', `${said}. Nothing was started. Use another key to run it again.`, {
    details: { taskId, ...(settledAt === undefined ? {} : { settledAt }) },
  })
}

function isUnknown(error: unknown): boolean {
  return error instanceof HoldfastError && error.mayBeWritten
}

function startUnknown(taskId: string, cause: unknown): HoldfastError {
  if (isLost(cause)) {
    const message = `${cause.message} Whether task ${taskId} was created is unknown.`
    return new HoldfastError('STORE_LOST', message, {
      cause,
      details: { ...cause.details, taskId },
      mayBeWritten: true,
    })
  }
  return new HoldfastError(
    'START_UNKNOWN',
    `The disk failed while task ${taskId} was being created; whether it was is unknown. Look with \`get\`, or start it again under the same idempotency key.`,
    { cause, details: { taskId }, mayBeWritten: true },
  )
}
