/**
 * Starts a task: checks the input, settles what an idempotency key means, decides, commits, and only then lets it run.
 *
 * What if it dies here? Before the commit there is no task. After it there is one, whether or not the caller was told:
 * the next open runs it, and the caller finds it under its idempotency key.
 */
import { createHash } from 'node:crypto'
import { type Duration, durationMs, instantOf } from '../duration.js'
import { HoldfastError } from '../errors.js'
import { canonicalJson, fromJson, type JsonUse, toJson } from '../json.js'
import { readHead, readIdempotency } from '../store/reads.js'
import type { BindingRecord } from '../task/changes.js'
import { createTask, type NewTask } from '../task/create.js'
import type { AnyTaskDefinition } from '../task/definition.js'
import { forgetAt } from '../task/expiry.js'
import { checkName, NAME_BYTES_MAX } from '../task/names.js'
import type { Engine } from './engine.js'
import { LiveTask } from './live-task.js'
import { checkInput } from './schemas.js'

/** The options of `start`. */
export interface StartOptions {
  /** Whose task it is: a principal, never a session. Without it only unscoped calls reach the task. */
  readonly owner?: string | undefined
  /** A second start of the same task type, owner and key answers with the first task. */
  readonly idempotencyKey?: string | undefined
  /** How long the task is wanted, from its creation. Default: for good. */
  readonly ttl?: Duration | undefined
  /** When the task fails with `TIMEOUT` if it is not settled: a `Date`, or milliseconds since the epoch. */
  readonly deadline?: Date | number | undefined
}

/** What `start` answers once the task is durable. */
export interface Started {
  readonly taskId: string
  /** `false` if the idempotency key had a task already. */
  readonly created: boolean
}

/** What a binding wants written in the batch that creates the task of this ID. */
export type Beside = (taskId: string) => readonly BindingRecord[]

/** Starts a task of `definition`. */
export async function startTask(
  engine: Engine,
  definition: AnyTaskDefinition,
  input: unknown,
  options: StartOptions,
  beside: Beside = () => [],
): Promise<Started> {
  const { owner, idempotencyKey: key } = options
  if (owner !== undefined) checkName(owner, 'owner', NAME_BYTES_MAX.owner)
  if (key !== undefined) checkName(key, 'idempotencyKey', NAME_BYTES_MAX.idempotencyKey)
  const ttlMs = options.ttl === undefined ? undefined : durationMs(options.ttl, 'ttl')
  const deadlineAt = options.deadline === undefined ? undefined : instantOf(options.deadline, 'deadline')

  const use: JsonUse = {
    what: `the input of task '${definition.name}'`,
    bytesMax: engine.limits.inputBytesMax,
    option: 'limits.inputBytesMax',
  }
  // The raw input is what a repeat is compared with; the parsed one is what is stored, and never parsed again.
  const rawText = toJson(input, use)
  const inputText = toJson(await checkInput(definition, input), use)
  engine.assertOpen()

  const { clock, ids, store } = engine
  const fingerprint = createHash('sha256')
    .update(canonicalJson(fromJson(rawText)))
    .digest('hex')
  const create = async (): Promise<Started> => {
    const now = clock.now()
    const taskId = ids.taskId(now)
    const task: Omit<NewTask, 'startNow'> = {
      taskId,
      beside: beside(taskId),
      seed: ids.seed(),
      type: definition.name,
      kind: 'body',
      version: definition.version,
      owner,
      durability: store.durability,
      ttlMs,
      deadlineAt,
      timeoutMs: definition.timeoutMs,
      idempotency: key === undefined ? undefined : { key, fingerprint },
      inputText,
      by: owner ?? 'admin',
    }
    return { taskId: await createAndRun(engine, task), created: true }
  }
  if (key === undefined) return create()

  const scope = { owner, type: definition.name, key }
  return engine.keys.run(JSON.stringify(scope), async () => {
    const first = await store.read((level) => readIdempotency(level, scope))
    if (!first || (await isForgotten(engine, first.taskId))) return create()
    if (first.fingerprint === fingerprint) return { taskId: first.taskId, created: false }
    throw new HoldfastError(
      'IDEMPOTENCY_CONFLICT',
      `The idempotency key '${key}' started task ${first.taskId} of type '${definition.name}' with another input. Use another key, or the same input.`,
      { details: { taskId: first.taskId, idempotencyKey: key } },
    )
  })
}

/** Creates a task without a body, driven from outside. */
export async function createSessionTask(
  engine: Engine,
  options: { type: string; owner?: string | undefined; ttl?: Duration | undefined },
  beside: Beside = () => [],
): Promise<Started> {
  const { type, owner } = options
  checkName(type, 'type', 128)
  if (owner !== undefined) checkName(owner, 'owner', NAME_BYTES_MAX.owner)
  const ttlMs = options.ttl === undefined ? undefined : durationMs(options.ttl, 'ttl')
  const { clock, ids, store } = engine
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
    startNow: true,
    by: owner ?? 'admin',
  }
  return { taskId: (await commitNew(engine, task)).taskId, created: true }
}

async function createAndRun(engine: Engine, about: Omit<NewTask, 'startNow'>): Promise<string> {
  const startNow = engine.scheduler.tryTake()
  let task: LiveTask
  try {
    task = await commitNew(engine, { ...about, startNow })
  } catch (error) {
    if (startNow) engine.scheduler.release()
    throw error
  }
  if (startNow) engine.begin(task, { inputText: about.inputText })
  else engine.schedule(task)
  return task.taskId
}

async function commitNew(engine: Engine, about: NewTask): Promise<LiveTask> {
  const { tasks, limits, store, clock, events } = engine
  engine.assertOpen()
  if (tasks.size >= limits.liveTasksMax) throw tooManyTasks(limits.liveTasksMax)
  const decision = createTask(about, clock.now())
  const task = new LiveTask(decision.head)
  const { taskId, type, owner } = decision.head
  engine.add(task)
  try {
    await store.commit(decision, { patient: false })
  } catch (error) {
    // Whether it landed is read once the store is open again; until then the task stays here, and nobody sees it.
    if (isUnknown(error)) throw startUnknown(taskId, error)
    tasks.delete(taskId)
    throw error
  }
  task.committed = decision.head
  engine.arm(task)
  events.emit('task:created', { taskId, type, owner })
  return task
}

/** A key whose task is settled for longer than the retention, or gone, counts no more. */
async function isForgotten(engine: Engine, taskId: string): Promise<boolean> {
  const head = engine.tasks.get(taskId)?.head ?? (await engine.store.read((level) => readHead(level, taskId)))
  if (!head) return true
  const at = forgetAt(head, engine.retentionMs)
  return at !== undefined && at <= engine.clock.now()
}

function isUnknown(error: unknown): boolean {
  return error instanceof HoldfastError && error.details['unknown'] === true
}

function startUnknown(taskId: string, cause: unknown): HoldfastError {
  return new HoldfastError(
    'START_UNKNOWN',
    `The disk failed while task ${taskId} was being created; whether it was is unknown. Look with \`get\`, or start it again under the same idempotency key.`,
    { cause, details: { taskId } },
  )
}

function tooManyTasks(max: number): HoldfastError {
  return new HoldfastError(
    'LIMIT_EXCEEDED',
    `There are ${max} unfinished tasks (option \`limits.liveTasksMax\`). Start again when some have settled.`,
    { details: { max, option: 'limits.liveTasksMax' } },
  )
}
