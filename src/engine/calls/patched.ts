/**
 * Answers `task.patched(id)`, and keeps functions from beginning until the answers are on disk (patch-answers-2 of task/log/patch-answers.ts).
 *
 * What if it dies here? Before the commit no function had begun since the answer was given. After it every later run is
 * answered the same.
 */

import { isFenced } from '../../task/decisions/transition.js'
import type { Patches } from '../../task/log/patch-answers.js'
import type { PendingRecord } from '../../task/log/pending-record.js'
import type { PatchKeeper, RunCore } from '../replay/host.js'

export class Patched implements PatchKeeper {
  #keeping: Promise<void> | undefined

  constructor(
    private readonly patches: Patches,
    /** What earlier runs had begun and not ended when this one began. */
    private readonly begun: readonly PendingRecord[],
  ) {}

  /** @param recordsAtStart how many records the log had had when the run began: what is ahead of those is older than it */
  answer({ history }: RunCore, id: string, recordsAtStart: number): boolean {
    const next = history.next()
    const isBehind =
      (next !== undefined && next.seq < recordsAtStart) || this.begun.some((note) => history.isAhead(note))
    return this.patches.answer(id, { segment: history.segment, after: history.position, isBehind })
  }

  /** Resolves once every answer is on disk, and stays pending if the run is over; `undefined` if all of them are. */
  keep(run: RunCore): Promise<void> | undefined {
    if (this.#keeping) return this.#keeping
    const answers = this.patches.takeUnkept()
    if (answers.length === 0) return undefined
    this.#keeping = run.host.record(run.task, { kind: 'patch', run: run.number, answers }).then(
      () => {
        this.#keeping = undefined
      },
      (error: unknown) => {
        if (!isFenced(error)) run.fail(error)
        return new Promise<never>(() => {})
      },
    )
    return this.#keeping
  }
}
