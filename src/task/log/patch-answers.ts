/**
 * What a body was answered when it asked `patched(id)`: on which side of a change of code it is. Pure.
 *
 * - The first answer of a segment holds for that segment: `false` while answers of an earlier run are ahead of the
 *     body, or something that it had begun (a wait, a child), `true` once they are used up.
 * patch-answers-2. It is on disk before the next function begins. If the process dies before that, nothing was begun on its strength,
 *     and the next run may be answered differently.
 * patch-answers-3. A record can depend on an answer only if it was recorded after the answer was given.
 */
import { HoldfastError } from '../../base/errors.js'

/** One answer. */
export interface PatchAnswer {
  readonly isPatched: boolean
  /** The record that had been handed over last when it was given; -1 before any. */
  readonly after: number
}

/** The answers of one segment, by ID. */
export type PatchAnswers = ReadonlyMap<string, PatchAnswer>

/** Every answer of a segment, as the store keeps them. */
export interface StoredPatches {
  readonly segment: number
  readonly text: string
}

/** All answers of a segment lie in one value, which is written anew with each. */
export const PATCHES_PER_SEGMENT_MAX = 256

/** The answers of one run. */
export class Patches {
  readonly #answers: Map<number, Map<string, PatchAnswer>>
  readonly #unkept = new Set<number>()

  /** @param stored what earlier runs were answered, by segment */
  constructor(stored: ReadonlyMap<number, PatchAnswers>) {
    this.#answers = new Map([...stored].map(([segment, answers]) => [segment, new Map(answers)]))
  }

  /**
   * What the body is told.
   * @throws HoldfastError `LIMIT_EXCEEDED`
   */
  answer(id: string, at: { readonly segment: number; readonly after: number; readonly isBehind: boolean }): boolean {
    const answers = this.#answersOf(at.segment)
    const first = answers.get(id)
    if (first) return first.isPatched
    if (answers.size >= PATCHES_PER_SEGMENT_MAX) throw tooMany(id)
    answers.set(id, { isPatched: !at.isBehind, after: at.after })
    this.#unkept.add(at.segment)
    return !at.isBehind
  }

  /** What has to be on disk before the next function begins. The caller sees to it. */
  takeUnkept(): StoredPatches[] {
    const taken = [...this.#unkept].map((segment) => ({ segment, text: encodePatches(this.#answersOf(segment)) }))
    this.#unkept.clear()
    return taken
  }

  #answersOf(segment: number): Map<string, PatchAnswer> {
    const there = this.#answers.get(segment)
    if (there) return there
    // A body never goes back: a task of a million segments must not be held in memory.
    for (const left of this.#answers.keys()) {
      if (left < segment && !this.#unkept.has(left)) this.#answers.delete(left)
    }
    const answers = new Map<string, PatchAnswer>()
    this.#answers.set(segment, answers)
    return answers
  }
}

/** The answers as the store keeps them. */
export function encodePatches(answers: PatchAnswers): string {
  return JSON.stringify([...answers])
}

/** The answers that `encodePatches` wrote. */
export function decodePatches(text: string): PatchAnswers {
  return new Map(JSON.parse(text) as [string, PatchAnswer][])
}

/**
 * What a fork copies of the answers: those that something it copies may depend on (patch-answers-3). Without them the copied records
 * would be asked for on the other side of the change; with more, what begins anew would be kept on the old side.
 * @param last the number of the last record that is copied
 */
export function patchesForFork(stored: ReadonlyMap<number, PatchAnswers>, last: number): StoredPatches[] {
  return [...stored].flatMap(([segment, answers]) => {
    const needed = new Map([...answers].filter(([, { after }]) => after < last))
    return needed.size === 0 ? [] : [{ segment, text: encodePatches(needed) }]
  })
}

function tooMany(id: string): HoldfastError {
  const max = PATCHES_PER_SEGMENT_MAX
  return new HoldfastError(
    'LIMIT_EXCEEDED',
    `'${id}' would be number ${max + 1} of the IDs that this body asks \`task.patched\` about between two checkpoints; ${max} are kept. An ID names a change of the code, not a row of the data.`,
    { details: { id, max } },
  )
}
