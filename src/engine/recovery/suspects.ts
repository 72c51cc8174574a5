/**
 * Who runs alone. A task that two processes in a row died of is a suspect; suspects are resumed one at a time, so that
 * the next death says whose it is. Owns the queue for that and the turn; `task/decisions/crash-count.ts` decides what counts.
 *
 * - A turn begins when the suspect's `start` is on disk, with the mark that lets a death count; no other suspect bears
 *     it. It is over when the mark is gone from the disk: the task recorded something, waits, was parked or settled, or
 *     ran for 30 s (then the mark is taken away, and the task runs on). Only then the next turn begins.
 * - Those that one process died of come first, all at once: the first turn waits until each of them has got on, for 30
 *     s at the most.
 * - What a task that may be parked for the next death begins is noted before it begins, so that it can be named.
 */

import { faultOf } from '../../base/fault.js'
import { isSuspect, mustNoteBegun } from '../../task/decisions/crash-count.js'
import { isFenced } from '../../task/decisions/transition.js'
import { describeRecord, type RecordName } from '../../task/log/records.js'
import type { SuspectTurns } from '../core/collaborators.js'
import type { Engine } from '../core/engine.js'
import type { LiveTask } from '../core/live-task.js'

// Longest time that a suspect, a task that two processes in a row crashed with, runs alone among suspects.
const SUSPECT_TIME_MS = 30_000

export class Suspects implements SuspectTurns {
  readonly #queue = new Set<LiveTask>()
  #turn: LiveTask | undefined
  /** Those that are watched (the one whose turn it is, and those before), and whether the disk says that they run. */
  readonly #watched = new Map<LiveTask, boolean>()
  readonly #noted = new WeakMap<LiveTask, { readonly what: string; writing: Promise<void> | undefined }>()
  #disarmTurn = () => {}
  #disarmAhead: (() => void) | undefined

  constructor(
    private readonly engine: Engine,
    private readonly options: { readonly maximumRecoveries: number },
  ) {}

  /** True if the task has to wait for its turn. Then it is scheduled once that comes. */
  holds(task: LiveTask): boolean {
    if (task === this.#turn) return false
    if (!isSuspect(task.head)) {
      if ((task.head.deaths ?? 0) > 0) this.#watched.set(task, false)
      return false
    }
    this.#queue.add(task)
    this.#next()
    return true
  }

  /** A commit of the task is on disk. */
  seen(task: LiveTask): void {
    const ran = this.#watched.get(task)
    if (ran === undefined) return
    const runs = task.committed?.life !== undefined
    if (ran && !runs) this.over(task)
    if (ran || !runs) return
    this.#watched.set(task, true)
    if (task === this.#turn) this.#disarmTurn = this.#afterSuspectTime(() => this.#excuse(task))
  }

  /** Its run only waits: if the process dies now, it is not for that. */
  waits(task: LiveTask): void {
    if (task.head.life !== undefined) this.#excuse(task)
  }

  /** Nothing of it runs any more, or it got on. */
  over(task: LiveTask): void {
    this.#watched.delete(task)
    this.#queue.delete(task)
    if (task === this.#turn) {
      this.#turn = undefined
      this.#disarmTurn()
    }
    this.#next()
  }

  /** What is to be waited for before the run begins these; mostly nothing. */
  beforeBegin(
    task: LiveTask,
    asked: readonly { readonly ask: { readonly name: RecordName } }[],
  ): Promise<void> | undefined {
    const [first, ...others] = asked
    if (!first || !mustNoteBegun(task.head, this.options.maximumRecoveries)) return undefined
    const what = `${describeRecord(first.ask.name)}${others.length === 0 ? '' : ` and ${others.length} more`}`
    if (task.committed?.begun === what) return undefined
    const there = this.#noted.get(task)
    if (there?.what === what) return there.writing
    const noted = { what, writing: undefined as Promise<void> | undefined }
    this.#noted.set(task, noted)
    noted.writing = this.#record(task, { kind: 'begin', run: task.head.run, what }).then(() => {
      noted.writing = undefined
    })
    return noted.writing
  }

  /** No turn begins any more. */
  stop(): void {
    this.#queue.clear()
    this.#disarmTurn()
    this.#disarmAhead?.()
  }

  #next(): void {
    if (this.#turn || this.#queue.size === 0 || this.engine.closing) return
    if (this.#watched.size > 0) {
      this.#disarmAhead ??= this.#afterSuspectTime(() => {
        this.#disarmAhead = undefined
        this.#watched.clear()
        this.#next()
      })
      return
    }
    this.#disarmAhead?.()
    this.#disarmAhead = undefined
    const [task] = this.#queue
    if (!task) return
    this.#queue.delete(task)
    this.#turn = task
    this.#watched.set(task, false)
    this.engine.schedule(task)
  }

  /** From here on a death is not counted against the task, which runs on. */
  #excuse(task: LiveTask): void {
    void this.#record(task, { kind: 'excuse', run: task.head.run })
  }

  async #record(task: LiveTask, event: Parameters<Engine['record']>[1]): Promise<void> {
    try {
      await this.engine.record(task, event)
    } catch (error) {
      // Settled meanwhile, or superseded: whoever did that ends the turn.
      if (isFenced(error)) return
      this.engine.logger.debug('What a suspect does could not be noted', {
        taskId: task.taskId,
        error: faultOf(error),
      })
      this.over(task)
    }
  }

  #afterSuspectTime(then: () => void): () => void {
    const { clock } = this.engine
    return clock.setTimer(clock.now() + SUSPECT_TIME_MS, then, { elapsed: true })
  }
}
