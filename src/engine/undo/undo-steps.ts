/**
 * Undoes the steps of a task, or of branches that lost, the newest first, one after the other.
 *
 * - The undo of a step begins when its function has ended, or when the grace is over. A result that arrives before that
 *     is written to the undo record (the one exception to commit-6) and passed to the undo.
 */
import { fromJson, toJson } from '../../base/json.js'
import { isUndoingOver, type UndoRecord } from '../../task/log/undo-record.js'
import type { RunHost } from '../replay/host.js'
import { type Undoer, undo } from './undo.js'

/**
 * Undoes the steps that are not undone yet.
 * @param intents undo records, the newest first
 * @param input the input of the task as JSON text
 * @returns the undo records afterwards. `undefined` if the engine closed or the run ended first
 */
export async function undoSteps(
  undoer: Undoer,
  intents: readonly UndoRecord[],
  input: string | undefined,
): Promise<UndoRecord[] | undefined> {
  const undone: UndoRecord[] = []
  for (const intent of intents) {
    if (isUndoingOver(intent)) {
      undone.push(intent)
      continue
    }
    const { name: step, number, value } = intent
    const { undo: undos = {} } = undoer.definition
    const undoes = Object.hasOwn(undos, step) ? undos[step] : undefined
    const ended = await undo(undoer, intent, (context) => {
      if (!undoes)
        throw new Error(`The definition of '${undoer.definition.name}' has no \`undo\` for step '${step}' any more`)
      return undoes(context, { step, number, input: fromJson(input) as never, result: fromJson(value) })
    })
    if (!ended) return undefined
    undone.push(ended)
  }
  return undone
}

/**
 * Waits for functions of steps with an undo, until they end or the grace is over, and writes their results to the undo
 * records.
 * @param functions running functions, by the identity of their step
 * @returns the undo records, with the results that arrived
 */
export async function lateResults(
  host: RunHost,
  task: Undoer['task'],
  intents: readonly UndoRecord[],
  functions: ReadonlyMap<string, Promise<unknown>>,
  graceUntil: number,
): Promise<UndoRecord[]> {
  const running = intents.filter(({ id }) => functions.has(id))
  if (running.length === 0) return [...intents]
  const arrived = new Map<string, UndoRecord>()
  const listening = running.map(async (intent) => {
    const value = await (functions.get(intent.id) as Promise<unknown>)
    const { resultBytesMax: bytesMax } = host.limits
    const use = { what: `the result of step '${intent.name}'`, bytesMax, option: 'limits.resultBytesMax' }
    arrived.set(intent.id, { ...intent, value: toJson(value, use) })
  })
  await untilOrGrace(host, Promise.allSettled(listening), graceUntil)
  const late = [...arrived.values()]
  for (const intent of late) await host.record(task, { kind: 'late-result', intent })
  return intents.map((intent) => arrived.get(intent.id) ?? intent)
}

/** Resolves when `ended` resolves, or when the grace is over. */
export async function untilOrGrace({ clock }: RunHost, ended: Promise<unknown>, graceUntil: number): Promise<void> {
  let disarm = () => {}
  const grace = new Promise<void>((resolve) => {
    disarm = clock.setTimer(graceUntil, resolve, { elapsed: true })
  })
  await Promise.race([ended, grace])
  disarm()
}

/**
 * Calls the function of a step with an undo, and keeps its promise, because an undo waits for the end of the function.
 */
export function watched(functions: Map<string, Promise<unknown>>, id: string, fn: () => unknown): Promise<unknown> {
  const working = new Promise((resolve) => resolve(fn()))
  // A rejection has no result for the undo. The caller of this function handles the rejection.
  working.catch(() => {})
  functions.set(id, working)
  return working
}
