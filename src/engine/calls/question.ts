/**
 * Requests an input and waits for its answer. The input, its due time and its answer are on disk, so they survive a
 * crash.
 *
 * question-1. Changes to the inputs of a task run one after the other (commit-5). So the first accepted answer of an
 *     input is its only answer.
 */
import { toJson } from '../../base/json.js'
import { readInputKeys, readPendingRecord } from '../../store/reads.js'
import { inputKeys } from '../../task/decisions/input-keys.js'
import { NEVER } from '../../task/head.js'
import type { AskedInput, PendingRecord } from '../../task/log/pending-record.js'
import type { PendingCall } from '../replay/pending-call.js'
import type { Run } from '../replay/run.js'

/** An input to request, and its timeout. */
export interface InputQuestion {
  readonly name: string
  readonly request: unknown
  readonly timeoutMs?: number | undefined
}

/** Name of the mutex for changes to the inputs of a task. */
export const inputsOf = (taskId: string) => `inputs/${taskId}`

/**
 * Requests the input, unless an earlier run did, and waits for the answer.
 * @param conclude commits the answer and returns the result. The answer is `undefined` after the timeout
 * @returns the result of `conclude`. `undefined` if the run ends first
 */
export async function askAndWait<T>(
  run: Run,
  asked: PendingCall,
  first: PendingRecord,
  question: InputQuestion,
  conclude: (note: PendingRecord, answer: string | undefined) => Promise<T>,
): Promise<T | undefined> {
  const { host, task } = run
  const { clock, keys, store } = host
  let note = first
  for (;;) {
    // The promise of the wait is returned inside an object. Without this, the mutex would stay locked during the wait.
    const next = await keys.run(inputsOf(task.taskId), async () => {
      if (run.isOverFor(asked)) return { isOver: true }
      if (!note.input) {
        const key = await freeKey(run, question.name)
        if (run.isOverFor(asked)) return { isOver: true }
        note = await ask(run, note, key, question)
      } else {
        note = (await store.readPatiently((level) => readPendingRecord(level, task.taskId, note))) ?? note
      }
      const { answer, dueAt = NEVER } = note.input as AskedInput
      if (answer !== undefined || dueAt <= clock.now()) return { concluded: await conclude(note, answer) }
      return { waiting: run.waits.until(asked, dueAt, true) }
    })
    if ('concluded' in next) return next.concluded
    if (!(await next.waiting)) return undefined
  }
}

async function ask(
  run: Run,
  note: PendingRecord,
  key: string,
  { name, request, timeoutMs }: InputQuestion,
): Promise<PendingRecord> {
  const { host, task } = run
  const { resultBytesMax: bytesMax } = host.limits
  const text = toJson(request, { what: `the request of input '${name}'`, bytesMax, option: 'limits.resultBytesMax' })
  const requestedAt = host.clock.now()
  const input: AskedInput = {
    key,
    name,
    request: text === undefined ? undefined : JSON.parse(text),
    requestedAt,
    dueAt: timeoutMs === undefined ? undefined : requestedAt + timeoutMs,
  }
  const asking: PendingRecord = { ...note, input }
  await host.record(task, { kind: 'note', run: run.number, beside: { begun: [asking] } })
  const { taskId, type } = task.head
  host.events.emit('task:input-required', { taskId, type, key: input.key })
  return asking
}

// Number of keys in one read. The first input of a task needs no read, and later inputs seldom more than one.
const LOOKED_UP_AT_ONCE = 4

/**
 * The first key that no input of the task had (input-key-2). The caller holds the mutex, so the key stays free until
 * its commit.
 */
async function freeKey({ host, task: { taskId, head } }: Run, name: string): Promise<string> {
  const candidates = inputKeys(name, head)
  for (;;) {
    const next = Array.from({ length: LOOKED_UP_AT_ONCE }, () => candidates.next().value)
    const given = head.inputsAsked
      ? await host.store.readPatiently((level) => readInputKeys(level, taskId, next))
      : new Set<string>()
    const free = next.find((key) => !given.has(key))
    if (free !== undefined) return free
  }
}
