/**
 * Asks a question and waits for its answer. Question and answer are on disk, so both survive a crash, and so does the time
 * that is left.
 *
 * question-1. What changes the questions of a task does so one after the other (commit-5): an answer that is accepted
 *     is the answer.
 */
import { toJson } from '../../base/json.js'
import { readInputKeys, readPendingRecord } from '../../store/reads.js'
import { inputKeys, isOlderKey } from '../../task/decisions/input-keys.js'
import { NEVER } from '../../task/head.js'
import type { AskedInput, PendingRecord } from '../../task/log/pending-record.js'
import type { PendingCall } from '../replay/pending-call.js'
import type { Run } from '../replay/run.js'

/** What is asked, and for how long. */
export interface InputQuestion {
  readonly name: string
  readonly request: unknown
  readonly timeoutMs?: number | undefined
}

/** The order in which the questions of a task change. */
export const inputsOf = (taskId: string) => `inputs/${taskId}`

/**
 * Asks, unless that is done already, and waits.
 * @param conclude makes of the answer's text (`undefined`: none came in time) what is returned, and writes it
 * @returns `undefined` if the run ends before
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
    // What is returned from within is wrapped, so that nobody who comes next has to wait for the wait.
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

// A first question needs no look at the store, and a repeated one seldom more than one.
const LOOKED_UP_AT_ONCE = 4

/** The first key that no question of the task has had (input-key-2). Only the commit of this question can give it away. */
async function freeKey({ host, task: { taskId, head } }: Run, name: string): Promise<string> {
  const candidates = inputKeys(name, head)
  for (;;) {
    const next = Array.from({ length: LOOKED_UP_AT_ONCE }, () => candidates.next().value)
    const given = head.inputsAsked
      ? await host.store.readPatiently((level) => readInputKeys(level, taskId, next))
      : new Set<string>()
    const free = next.find((key) => !given.has(key) && !isOlderKey(key, head))
    if (free !== undefined) return free
  }
}
