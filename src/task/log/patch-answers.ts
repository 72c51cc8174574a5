/**
 * Answers of `patched(id)`: true if the body runs the new code of a change, false if it runs the old code. Pure.
 *
 * - The first answer in a segment holds for that segment. The answer is `false` while records or pending calls (a wait,
 *     a child) of an earlier run are ahead of the body. Otherwise it is `true`.
 * patch-answers-2. An answer is on disk before the next function begins. If the process crashes before that, no
 *     function ran because of the answer, and the next run may get another answer.
 * patch-answers-3. A record can depend on an answer only if it was recorded after the answer was given.
 */

import { SmallMap } from '../../base/collections.js'
import { HoldfastError } from '../../base/errors.js'

/** One answer of `patched`. */
export interface PatchAnswer {
  readonly isPatched: boolean
  /** The number of the record that the body had received last when the answer was given. -1 before the first. */
  readonly after: number
}

/** The answers of one segment, by patch ID. */
export type PatchAnswers = ReadonlyMap<string, PatchAnswer>

/** All answers of a segment as text for the store. */
export interface StoredPatches {
  readonly segment: number
  readonly text: string
}

/** Most answers in one segment. All of them are one value, which is rewritten with each new answer. */
export const PATCHES_PER_SEGMENT_MAX = 256

const NO_PATCHES: readonly StoredPatches[] = []

/** The answers of `patched` in one run. */
export class Patches {
  readonly #answers = new SmallMap<number, Map<string, PatchAnswer>>()
  /** Segments whose answers are not all on disk. `undefined` before the first answer. */
  #unkept: Set<number> | undefined

  /** @param stored the answers of earlier runs, by segment */
  constructor(stored: ReadonlyMap<number, PatchAnswers>) {
    for (const [segment, answers] of stored) this.#answers.set(segment, new Map(answers))
  }

  /**
   * Answers the call `patched(id)` of the body.
   * @throws HoldfastError `LIMIT_EXCEEDED`
   */
  answer(id: string, at: { readonly segment: number; readonly after: number; readonly isBehind: boolean }): boolean {
    const answers = this.#answersOf(at.segment)
    const first = answers.get(id)
    if (first) return first.isPatched
    if (answers.size >= PATCHES_PER_SEGMENT_MAX) throw tooMany(id)
    answers.set(id, { isPatched: !at.isBehind, after: at.after })
    this.#unkept ??= new Set()
    this.#unkept.add(at.segment)
    return !at.isBehind
  }

  /** Removes and returns the answers that are not on disk. The caller commits them before the next function begins. */
  takeUnkept(): readonly StoredPatches[] {
    const unkept = this.#unkept
    if (!unkept) return NO_PATCHES
    this.#unkept = undefined
    return [...unkept].map((segment) => ({ segment, text: encodePatches(this.#answersOf(segment)) }))
  }

  #answersOf(segment: number): Map<string, PatchAnswer> {
    const there = this.#answers.get(segment)
    if (there) return there
    // A body never returns to an earlier segment. Without this, the answers of a million segments would stay in memory.
    for (const left of [...this.#answers.keys()]) {
      if (left < segment && !this.#unkept?.has(left)) this.#answers.delete(left)
    }
    const answers = new Map<string, PatchAnswer>()
    this.#answers.set(segment, answers)
    return answers
  }
}

/** The answers as text for the store. */
export function encodePatches(answers: PatchAnswers): string {
  return JSON.stringify([...answers])
}

/** The answers that `encodePatches` wrote. */
export function decodePatches(text: string): PatchAnswers {
  return new Map(JSON.parse(text) as [string, PatchAnswer][])
}

/**
 * The answers that a fork copies: those that a copied record may depend on (patch-answers-3). With fewer answers, the
 * replay of the copied records would run the wrong side of a change. With more, new calls of the fork would run the old
 * code.
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
    `'${id}' would be number ${max + 1} of the IDs of \`task.patched\` in this body between two checkpoints; ${max} are kept. An ID names a change of the code, not a row of the data.`,
    { details: { id, max } },
  )
}
