/**
 * Ends a call of `all`, `race` or `any` that one branch decided before the others ended. The branches that lost are
 * cancelled and cleaned up. Only then does the body receive the result.
 *
 * The decision is on disk before any step of a lost branch is undone. The same batch withdraws the inputs of the lost
 * branches and puts their messages back. After a crash, a later run reaches the same decision by the log, and
 * continues the clean-up.
 */
import { readInput, readPendingRecords, readUndoRecords } from '../../store/reads.js'
import type { PendingRecord } from '../../task/log/pending-record.js'
import { isWithin } from '../../task/log/scope.js'
import type { UndoRecord } from '../../task/log/undo-record.js'
import type { AuxiliaryChanges } from '../../task/task-event.js'
import type { Branch } from '../replay/branch-scopes.js'
import { newPendingRecord, type PendingCall, placeOf } from '../replay/pending-call.js'
import type { Run } from '../replay/run.js'
import type { Undoer } from '../undo/undo.js'
import { lateResults, undoSteps, untilOrGrace } from '../undo/undo-steps.js'
import { inputsOf } from './question.js'
import { messagesOf } from './receive.js'
import { commitResult } from './record-result.js'

/** The end of a call of `race`, `any` or `all`: the branch that decided it, and the branches that lost. */
export interface BranchDecision {
  /** Name of the branch that decided. */
  readonly branch: string
  /** The branches that lost. */
  readonly lost: readonly Branch[]
  /** True if the clean-up waits for all functions of the lost branches, also for those without an undo. */
  readonly awaitsFunctions: boolean
}

/** Cleans up the lost branches and records the decision. */
export async function runBranchDecision(run: Run, asked: PendingCall, decision: BranchDecision): Promise<void> {
  const stored = run.noteOf(asked)
  if (stored && stored.id !== asked.ask.id) return
  const decided = stored?.decided
  if (!decided || decided.branch === decision.branch) return new LostBranches(run, asked, decision, stored).cleanUp()
  void run.park(
    `the log has a decision of branch '${decided.branch}' where the code now decides for branch '${decision.branch}'`,
  )
}

/** End of the phase `withdraw`: the decision is recorded, or it is noted and these children are left to be ended. */
type Withdrawn = { readonly kind: 'recorded' } | { readonly kind: 'noted'; readonly children: readonly PendingRecord[] }

/**
 * The branches that lost, and the phases of their clean-up:
 *
 *   withdraw      commits the decision, with the end of the inputs and messages of the branches. If nothing else is left,
 *                 this is the record of the call
 *   endChildren   cancels the children of the branches
 *   undo          undoes the steps of the branches
 *
 * Then the record of the call is committed.
 */
class LostBranches {
  readonly #run: Run
  readonly #asked: PendingCall
  readonly #decision: BranchDecision
  readonly #scopes: readonly string[]
  /** True if an earlier run committed the pending record. */
  readonly #isNoted: boolean
  /** Instant of the decision in its first run. */
  readonly #decidedAt: number
  readonly #note: PendingRecord
  readonly #graceUntil: number

  /** @param stored the pending record that an earlier run wrote */
  constructor(run: Run, asked: PendingCall, decision: BranchDecision, stored: PendingRecord | undefined) {
    const { branch, lost } = decision
    const at = stored?.decided?.at ?? run.host.clock.now()
    this.#run = run
    this.#asked = asked
    this.#decision = decision
    this.#scopes = lost.map(({ scope }) => scope)
    this.#isNoted = stored !== undefined
    this.#decidedAt = at
    this.#note = stored ?? { ...newPendingRecord(asked), decided: { branch, lost: this.#scopes, at } }
    this.#graceUntil = at + run.definition.cleanUp.graceMs
  }

  /** Runs the phases. Ends early if the run does. */
  async cleanUp(): Promise<void> {
    const run = this.#run
    const { host, task } = run
    // After this, all commits of the lost branches are on disk or refused.
    await task.commits.allWritten()
    const hasUndos = task.head.intents !== undefined && (await this.#undoRecords()).length > 0
    const mutexes = [inputsOf(task.taskId), messagesOf(task.taskId)]
    const withdrawn = await host.keys.runAll(mutexes, () => this.#withdraw(hasUndos))
    if (withdrawn.kind === 'recorded') return
    const { children } = withdrawn
    await this.#endChildren(children)
    if (this.#decision.awaitsFunctions) await untilOrGrace(host, run.branchesAtRest(), this.#graceUntil)
    if (hasUndos && !(await this.#undo())) return
    await this.#record({ ended: [this.#note, ...children] })
  }

  /** The caller holds the mutexes of the inputs and the messages. */
  async #withdraw(hasUndos: boolean): Promise<Withdrawn> {
    const run = this.#run
    const { host, task, number } = run
    const pending = task.head.hasStepStates
      ? await host.store.readPatiently((level) => readPendingRecords(level, task.taskId))
      : undefined
    const notes = [...(pending?.values() ?? [])].filter((note) => this.#isOfLost(note))
    const children = notes.filter(({ child }) => child)
    if (this.#isNoted) return { kind: 'noted', children }
    const { lost, awaitsFunctions } = this.#decision
    const returned = run.branches.receivedBy(lost)
    const isLast = !hasUndos && children.length === 0 && !(awaitsFunctions && run.branchesAreBusy)
    if (isLast) {
      await this.#record({ ended: notes, returned })
    } else {
      const ended = notes.filter(({ child }) => !child)
      await host.record(task, { kind: 'note', run: number, beside: { begun: [this.#note], ended, returned } })
    }
    // Another call of the body may wait for a message that was put back.
    if (returned.length > 0) run.waits.nudge()
    return isLast ? { kind: 'recorded' } : { kind: 'noted', children }
  }

  async #endChildren(children: readonly PendingRecord[]): Promise<void> {
    const { host, task } = this.#run
    const reason = `branch '${this.#decision.branch}' of its parent task ${task.taskId} was decided without it`
    await Promise.all(children.map(({ child }) => child && host.children.end(child.taskId, reason)))
  }

  /** Undoes the steps of the branches. Resolves with `false` if the run ended first. */
  async #undo(): Promise<boolean> {
    const run = this.#run
    const { host, task, undoing } = run
    // A decision inside a lost branch may be undoing the same steps, or have undone them since the first read.
    const inner = [...undoing].flatMap(([{ branch: of }, working]) => (of?.isOver ? working : []))
    if (inner.length > 0) await untilOrGrace(host, Promise.allSettled(inner), this.#graceUntil)
    const known = await lateResults(host, task, await this.#undoRecords(), run.functions, this.#graceUntil)
    const input = await host.store.readPatiently((level) => readInput(level, task.head))
    const working = undoSteps(this.#undoer(), known, input)
    undoing.set(this.#asked, working)
    const undone = await working.finally(() => undoing.delete(this.#asked))
    return undone !== undefined
  }

  async #record(beside: AuxiliaryChanges): Promise<void> {
    const asked = this.#asked
    const startedAt = this.#decidedAt
    const { branch } = this.#decision
    const record = { kind: 'decision', ...placeOf(asked), startedAt, branch, lost: this.#scopes } as const
    await commitResult(this.#run, asked, { record, beside })
  }

  /** The undo records of the branches. */
  async #undoRecords(): Promise<UndoRecord[]> {
    const { host, task } = this.#run
    const all = await host.store.readPatiently((level) => readUndoRecords(level, task.taskId))
    return all.filter((record) => this.#isOfLost(record))
  }

  #isOfLost({ segment, scope }: { readonly segment: number; readonly scope: string }): boolean {
    return segment === this.#asked.ask.segment && this.#scopes.some((outer) => isWithin(scope, outer))
  }

  #undoer(): Undoer {
    const run = this.#run
    const asked = this.#asked
    const { host, task, definition, number } = run
    return {
      host,
      task,
      definition,
      run: number,
      isOver: () => run.isOverFor(asked) || host.closing,
      until: (instant) => run.waits.until(asked, instant),
      running: (_, aborter) => {
        asked.aborter = aborter
      },
    }
  }
}
