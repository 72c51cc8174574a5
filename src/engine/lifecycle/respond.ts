/**
 * Answers the inputs of a task. Late and unknown answers are ignored and reported as ignored, and are no error.
 * See https://modelcontextprotocol.io, SEP-2663, "tasks/update": responses to unknown or answered keys are ignored.
 */
import { HoldfastError } from '../../base/errors.js'
import { expected, isObject } from '../../base/expected.js'
import { toJson } from '../../base/json.js'
import { readInputKeys, readPendingRecordsAt } from '../../store/reads.js'
import { INPUT_KEY_BYTES_MAX } from '../../task/decisions/input-keys.js'
import { isSettled, type TaskHead } from '../../task/head.js'
import type { PendingRecord } from '../../task/log/pending-record.js'
import { isTookPlace } from '../calls/confirm-step.js'
import { inputsOf } from '../calls/question.js'
import type { Engine } from '../core/engine.js'
import type { LiveTask } from '../core/live-task.js'
import { placesOf } from '../core/question-places.js'

/** Result of `respond`: the accepted and the ignored answers. */
export interface Responded {
  /** Keys of the accepted answers. They are on disk. */
  readonly accepted: readonly string[]
  /**
   * The ignored answers with the reason. `unknown`: the task has no such input, or not yet · `answered`: another
   * answer came first, or the input was withdrawn · `settled`: the task is settled · `invalid`: the answer for a step
   * in doubt is not `{ tookPlace: boolean }`.
   */
  readonly ignored: readonly { readonly key: string; readonly reason: 'unknown' | 'answered' | 'settled' | 'invalid' }[]
  /** Keys of the inputs without an answer, at most the oldest 1,000. */
  readonly open: readonly string[]
}

/**
 * Answers inputs for a caller of the API. Checks the answers at once, and reads the task when the gate for answers lets
 * it pass.
 */
export async function respondForCaller(
  engine: Engine,
  taskId: string,
  responses: unknown,
  owner: string | undefined,
  find: () => Promise<unknown>,
  by = owner ?? 'admin',
): Promise<Responded> {
  const answers = checkResponses(engine, responses)
  engine.assertOpen()
  await engine.answers.pass()
  await find()
  return respond(engine, taskId, answers, by)
}

/**
 * Checks the answers, and encodes each as JSON text.
 * @throws TypeError, HoldfastError `NOT_SERIALIZABLE`, `TOO_LARGE`
 */
function checkResponses(engine: Pick<Engine, 'limits'>, responses: unknown): Map<string, string> {
  if (!isObject(responses)) throw expected('responses', 'an object of answers, by the keys of inputs', responses)
  const { resultBytesMax: bytesMax } = engine.limits
  return new Map(
    Object.entries(responses).map(([key, answer]) => {
      const use = { what: `the answer to input '${key}'`, bytesMax, option: 'limits.resultBytesMax' }
      return [key, toJson(answer, use) ?? '']
    }),
  )
}

// Most answers in one commit. A larger batch would delay the commits of other tasks.
const ANSWERS_PER_COMMIT = 100

/**
 * Answers inputs of the task. Resolves when the accepted answers are on disk. A hundred answers share a commit. If the
 * task settles or the store goes down between two commits, the answers of the first commit stay accepted.
 * @param refused reason for which the client cannot answer. The inputs then reject with `INPUT_UNAVAILABLE`
 */
export function respond(
  engine: Engine,
  taskId: string,
  answers: ReadonlyMap<string, string>,
  by: string,
  refused?: string,
): Promise<Responded> {
  return engine.keys.run(inputsOf(taskId), async () => {
    const accepted: string[] = []
    const ignored: Responded['ignored'][number][] = []
    const all = [...answers]
    for (let at = 0; at < all.length; at += ANSWERS_PER_COMMIT) {
      if (at > 0) await engine.answers.pass()
      const some = await respondSome(engine, taskId, all.slice(at, at + ANSWERS_PER_COMMIT), by, refused)
      accepted.push(...some.accepted)
      ignored.push(...some.ignored)
    }
    return { accepted, ignored, open: await openKeys(engine, taskId) }
  })
}

const OPEN_KEYS_MAX = 1_000

async function openKeys(engine: Engine, taskId: string): Promise<string[]> {
  const task = engine.tasks.get(taskId)
  if (!task || isSettled(task.head.status)) return []
  const open: string[] = []
  for (const [key, { isAnswered }] of await placesOf(engine, task)) {
    if (!isAnswered) open.push(key)
    if (open.length === OPEN_KEYS_MAX) break
  }
  return open
}

async function respondSome(
  engine: Pick<Engine, 'tasks' | 'recordForCaller' | 'hasNews' | 'store'>,
  taskId: string,
  answers: readonly (readonly [key: string, answer: string])[],
  by: string,
  refused: string | undefined,
): Promise<Omit<Responded, 'open'>> {
  const task = engine.tasks.get(taskId)
  if (!task || isSettled(task.head.status)) return ignoreAll(answers)
  const asked = await readAsked(engine, task, answers)
  const others = answers.flatMap(([key]) => (asked.has(key) ? [] : key))
  const earlier = await earlierKeys(engine, task.head, others)
  const ignored: Responded['ignored'][number][] = []
  const answered: PendingRecord[] = []
  for (const [key, answer] of answers) {
    const note = asked.get(key)
    const { input } = note ?? {}
    if (!note || !input) ignored.push({ key, reason: earlier.has(key) ? 'answered' : 'unknown' })
    else if (input.answer !== undefined) ignored.push({ key, reason: 'answered' })
    else if (note.begunAt !== undefined && !isTookPlace(answer === '' ? undefined : JSON.parse(answer))) {
      ignored.push({ key, reason: 'invalid' })
    } else answered.push({ ...note, input: { ...input, answer, ...(refused === undefined ? {} : { refused }) } })
  }
  if (answered.length === 0) return { accepted: [], ignored }
  try {
    await engine.recordForCaller(task, { kind: 'answer', notes: answered, by })
  } catch (error) {
    if (error instanceof HoldfastError && error.code === 'TASK_SETTLED') return ignoreAll(answers)
    throw error
  }
  engine.hasNews(
    task,
    answered.map(({ id }) => id),
  )
  return { accepted: answered.map(({ input }) => input?.key ?? ''), ignored }
}

/** Reads the pending records of the inputs with these keys. */
async function readAsked(
  engine: Pick<Engine, 'store'>,
  task: LiveTask,
  answers: readonly (readonly [key: string, answer: string])[],
): Promise<Map<string, PendingRecord>> {
  const places = await placesOf(engine, task)
  const known = answers.flatMap(([key]) => {
    const place = places.get(key)
    return place ? [{ key, place }] : []
  })
  if (known.length === 0) return new Map()
  const at = known.map(({ place }) => place)
  const notes = await engine.store.read((level) => readPendingRecordsAt(level, task.taskId, at))
  return new Map(
    known.flatMap(({ key }, index) => {
      const note = notes[index]
      return note?.input?.key === key ? [[key, note] as const] : []
    }),
  )
}

function ignoreAll(answers: readonly (readonly [key: string, answer: string])[]): Omit<Responded, 'open'> {
  return { accepted: [], ignored: answers.map(([key]) => ({ key, reason: 'settled' })) }
}

/** The subset of `keys` that earlier inputs of the task had. */
async function earlierKeys(
  { store }: Pick<Engine, 'store'>,
  head: TaskHead,
  keys: readonly string[],
): Promise<ReadonlySet<string>> {
  if (!head.inputsAsked || keys.length === 0) return new Set()
  const possible = keys.filter((key) => Buffer.byteLength(key) <= INPUT_KEY_BYTES_MAX)
  return store.read((level) => readInputKeys(level, head.taskId, possible))
}
