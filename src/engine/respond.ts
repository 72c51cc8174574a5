/**
 * Answers what a task asks for. What can't be an answer is ignored, and said to be: nobody is told off for being late.
 * See https://modelcontextprotocol.io, SEP-2663, "tasks/update": responses to unknown or answered keys are ignored.
 */
import { HoldfastError } from '../errors.js'
import { expected, isObject } from '../expected.js'
import { toJson } from '../json.js'
import { readNotes } from '../store/reads.js'
import { isSettled } from '../task/head.js'
import type { Note } from '../task/note.js'
import { saysWhether } from './ask-whether.js'
import { inputsOf } from './await-answer.js'
import type { Engine } from './engine.js'

/** What became of answers. */
export interface Responded {
  /** The keys whose answers count. They are on disk. */
  readonly accepted: readonly string[]
  /**
   * The others, and why: `unknown`: the task never asked for it, or not yet · `answered`: somebody was faster, or it is
   * asked for no more · `settled`: the task is · `invalid`: whether a step took place is answered with
   * `{ tookPlace: boolean }`.
   */
  readonly ignored: readonly { readonly key: string; readonly reason: 'unknown' | 'answered' | 'settled' | 'invalid' }[]
}

/** @throws TypeError, HoldfastError `NOT_SERIALIZABLE`, `TOO_LARGE`: nothing was answered */
export function checkResponses(engine: Engine, responses: unknown): Map<string, string> {
  if (!isObject(responses)) throw expected('responses', 'an object of answers, by the keys of inputs', responses)
  const { resultBytesMax: bytesMax } = engine.limits
  return new Map(
    Object.entries(responses).map(([key, answer]) => {
      const use = { what: `the answer to input '${key}'`, bytesMax, option: 'limits.resultBytesMax' }
      return [key, toJson(answer, use) ?? '']
    }),
  )
}

/**
 * Answers inputs of the task. Resolves once what is accepted is on disk.
 * @param refused why nobody can be asked, in place of an answer: the input rejects with `INPUT_UNAVAILABLE`
 */
export function respond(
  engine: Engine,
  taskId: string,
  answers: ReadonlyMap<string, string>,
  by: string,
  refused?: string,
): Promise<Responded> {
  return engine.keys.run(inputsOf(taskId), async () => {
    const task = engine.tasks.get(taskId)
    if (!task || isSettled(task.head.status)) return ignoreAll(answers)
    const { store } = engine
    const notes = task.head.hasStepStates
      ? await store.read((level) => readNotes(level, taskId))
      : new Map<string, Note>()
    const asked = new Map([...notes.values()].flatMap((note) => (note.input ? [[note.input.key, note] as const] : [])))
    const ignored: Responded['ignored'][number][] = []
    const answered: Note[] = []
    for (const [key, answer] of answers) {
      const note = asked.get(key)
      const { input } = note ?? {}
      if (!note || !input) ignored.push({ key, reason: wasAsked(key, task.head.inputsAsked) ? 'answered' : 'unknown' })
      else if (input.answer !== undefined) ignored.push({ key, reason: 'answered' })
      else if (note.begunAt !== undefined && !saysWhether(answer === '' ? undefined : JSON.parse(answer))) {
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
    engine.hasNews(task)
    return { accepted: answered.map(({ input }) => input?.key ?? ''), ignored }
  })
}

function ignoreAll(answers: ReadonlyMap<string, string>): Responded {
  return { accepted: [], ignored: [...answers.keys()].map((key) => ({ key, reason: 'settled' })) }
}

/** Keys end in the number of their question. */
function wasAsked(key: string, asked = 0): boolean {
  const number = Number(/-(\d+)$/.exec(key)?.[1] ?? Number.NaN)
  return number >= 1 && number <= asked
}
