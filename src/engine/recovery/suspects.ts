/**
 * Runs suspects one at a time. A suspect is a task during which two processes in a row crashed. With one suspect at a
 * time, the next crash shows which task causes it. Owns the queue of suspects and their turn.
 * `task/decisions/crash-count.ts` counts.
 *
 * - A turn begins when the `start` of the suspect is on disk, with the mark by which a crash counts. No other suspect
 *     has the mark. The turn ends when the mark is removed on disk: the task recorded something, waits, was parked or
 *     settled, or ran for 30 s (then the mark is removed, and the task continues). Only then the next turn begins.
 * - Tasks during which one process crashed run first, all at once. The first turn waits until each of them has made
 *     progress, for at most 30 s.
 * - If the next crash may park a task, the names of its calls are committed before they begin, so that the reason of
 *     the parking can name them.
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
  /**
   * The watched tasks (the one in its turn, and those with one crash before it). True if the disk has the mark of a
   * run.
   */
  readonly #watched = new Map<LiveTask, boolean>()
  readonly #noted = new WeakMap<LiveTask, { readonly what: string; writing: Promise<void> | undefined }>()
  #disarmTurn = () => {}
  #disarmAhead: (() => void) | undefined

  constructor(
    private readonly engine: Engine,
    private readonly options: { readonly maximumRecoveries: number },
  ) {}

  /** True if the task is a suspect and must wait for its turn. It is scheduled when its turn begins. */
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

  /** To be called when a commit of the task is on disk. */
  seen(task: LiveTask): void {
    const ran = this.#watched.get(task)
    if (ran === undefined) return
    const runs = task.committed?.life !== undefined
    if (ran && !runs) this.over(task)
    if (ran || !runs) return
    this.#watched.set(task, true)
    if (task === this.#turn) this.#disarmTurn = this.#afterSuspectTime(() => this.#excuse(task))
  }

  /** To be called when the run of the task only waits. A crash then does not count against the task. */
  waits(task: LiveTask): void {
    if (task.head.life !== undefined) this.#excuse(task)
  }

  /** Ends the turn of a task that has stopped running, or has made progress. */
  over(task: LiveTask): void {
    this.#watched.delete(task)
    this.#queue.delete(task)
    if (task === this.#turn) {
      this.#turn = undefined
      this.#disarmTurn()
    }
    this.#next()
  }

  /** Returns a promise that a run must await before it begins these calls. `undefined` for most tasks. */
  beforeBegin(
    task: LiveTask,
    asked: readonly { readonly ask: { readonly name: RecordName }; readonly isDeferred?: boolean | undefined }[],
  ): Promise<void> | undefined {
    const [first, ...others] = asked
    if (!first || !mustNoteBegun(task.head, this.options.maximumRecoveries)) return undefined
    // Of a deferred step no record shows on disk that it ended, and the steps after it are not noted.
    const orLater = asked.some(({ isDeferred }) => isDeferred) ? ' or a step after it' : ''
    const more = others.length === 0 ? '' : ` and ${others.length} more`
    const what = `${describeRecord(first.ask.name)}${more}${orLater}`
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

  /** Prevents further turns. */
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

  /** Commits that later crashes do not count against the task, which continues to run. */
  #excuse(task: LiveTask): void {
    void this.#record(task, { kind: 'excuse', run: task.head.run })
  }

  async #record(task: LiveTask, event: Parameters<Engine['record']>[1]): Promise<void> {
    try {
      await this.engine.record(task, event)
    } catch (error) {
      // The task was settled, or its run superseded. The code that did this ends the turn.
      if (isFenced(error)) return
      this.engine.logger.debug('The state of a suspect could not be recorded. The next suspect starts now.', {
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
