/**
 * Answers `task.patched(id)`, and commits the answers before further functions begin (patch-answers-2 of
 * task/log/patch-answers.ts).
 *
 * After a crash before the commit, no function has begun since the answer. After a crash after the commit, every later
 * run gets the same answer.
 */

import { isFenced } from '../../task/decisions/transition.js'
import type { Patches } from '../../task/log/patch-answers.js'
import type { PendingRecord } from '../../task/log/pending-record.js'
import type { PatchKeeper, RunCore } from '../replay/host.js'

export class Patched implements PatchKeeper {
  #keeping: Promise<void> | undefined

  constructor(
    private readonly patches: Patches,
    /** Pending records of earlier runs at the start of this run. */
    private readonly begun: readonly PendingRecord[],
  ) {}

  /**
   * Answers one call of `patched`.
   * @param recordsAtStart the next record number at the start of the run. Records with lower numbers are of earlier
   *   runs
   */
  answer({ history }: RunCore, id: string, recordsAtStart: number): boolean {
    const next = history.next()
    const isBehind =
      (next !== undefined && next.seq < recordsAtStart) || this.begun.some((note) => history.isAhead(note))
    return this.patches.answer(id, { segment: history.segment, after: history.position, isBehind })
  }

  /**
   * Resolves when every answer is on disk. Stays pending if the run is superseded. `undefined` if there is nothing to
   * commit.
   */
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
