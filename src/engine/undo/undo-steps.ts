/**
 * Undoes the steps of a task, or of branches that lost: the newest first, one after the other.
 *
 * - Undoing a step begins only when its function has ended, or the grace is over. A result that arrives before that is
 *     written to its intent (C6's exception) and handed to the undo.
 */
import { fromJson, toJson } from '../../base/json.js'
import { isUndoingOver, type UndoRecord } from '../../task/log/undo-record.js'
import type { RunHost } from '../replay/host.js'
import { type Undoer, undo } from './undo.js'

/**
 * Undoes what is not undone yet.
 * @param intents the newest first
 * @param input the task's input as JSON text
 * @returns them as they then are; `undefined` if it was over before
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
 * Waits for functions of steps with an undo, until they end or the grace is over, and writes what they return to their
 * intents.
 * @param functions by the identity of their step
 * @returns the intents, with the results that arrived
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

/** Resolves when `ended` does, or when the grace is over. */
export async function untilOrGrace({ clock }: RunHost, ended: Promise<unknown>, graceUntil: number): Promise<void> {
  let disarm = () => {}
  const grace = new Promise<void>((resolve) => {
    disarm = clock.setTimer(graceUntil, resolve, { elapsed: true })
  })
  await Promise.race([ended, grace])
  disarm()
}
