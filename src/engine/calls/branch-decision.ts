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
import type { Branch } from '../replay/branch-scopes.js'
import { newPendingRecord, type PendingCall, placeOf } from '../replay/pending-call.js'
import type { Run } from '../replay/run.js'
import type { Undoer } from '../undo/undo.js'
import { lateResults, undoSteps, untilOrGrace } from '../undo/undo-steps.js'
import { inputsOf } from './question.js'
import { messagesOf } from './receive.js'
import { commitResult, recordResult } from './record-result.js'

/** The end of a call of `race`, `any` or `all`: the branch that decided it, and the branches that lost. */
export interface BranchDecision {
  /** Name of the branch that decided. */
  readonly branch: string
  /** The branches that lost. */
  readonly lost: readonly Branch[]
  /** True if the clean-up waits for all functions of the lost branches, also for those without an undo. */
  readonly awaitsFunctions: boolean
}

/** Cleans up the lost branches and records the decision. Never rejects. */
export async function runBranchDecision(
  run: Run,
  asked: PendingCall,
  { branch, lost, awaitsFunctions }: BranchDecision,
): Promise<void> {
  const { host, task } = run
  const { store, clock, keys } = host
  const { taskId } = task
  const scopes = lost.map(({ scope }) => scope)
  const isLost = ({ segment, scope }: { readonly segment: number; readonly scope: string }) =>
    segment === asked.ask.segment && scopes.some((outer) => isWithin(scope, outer))
  await recordResult(run, asked, async () => {
    const noted = run.noteOf(asked)
    if (noted && noted.id !== asked.ask.id) return undefined
    if (noted?.decided && noted.decided.branch !== branch) {
      void run.park(
        `the log has a decision of branch '${noted.decided.branch}' where the code now decides for branch '${branch}'`,
      )
      return undefined
    }
    const at = noted?.decided?.at ?? clock.now()
    const note: PendingRecord = noted ?? { ...newPendingRecord(asked), decided: { branch, lost: scopes, at } }
    const record = { kind: 'decision', ...placeOf(asked), startedAt: at, branch, lost: scopes } as const

    // After this, all commits of the lost branches are on disk or refused.
    await task.commits.allWritten()
    const readLost = async () => (await store.readPatiently((level) => readUndoRecords(level, taskId))).filter(isLost)
    const intents = task.head.intents ? await readLost() : []
    const cancel = async () => {
      const all = task.head.hasStepStates
        ? await store.readPatiently((level) => readPendingRecords(level, taskId))
        : undefined
      const notes = [...(all?.values() ?? [])].filter(isLost)
      const children = notes.filter(({ child }) => child)
      if (noted) return children
      const returned = run.branches.receivedBy(lost)
      if (intents.length === 0 && children.length === 0 && !(awaitsFunctions && run.branchesAreBusy)) {
        await commitResult(run, asked, { record, beside: { ended: notes, returned } })
        if (returned.length > 0) run.waits.nudge()
        return undefined
      }
      const ended = notes.filter(({ child }) => !child)
      await host.record(task, { kind: 'note', run: run.number, beside: { begun: [note], ended, returned } })
      // Another call of the body may wait for a message that was put back.
      if (returned.length > 0) run.waits.nudge()
      return children
    }
    const children = await keys.run(inputsOf(taskId), () => keys.run(messagesOf(taskId), cancel))
    if (!children) return 'recorded'

    const graceUntil = at + run.definition.cleanUp.graceMs
    const reason = `branch '${branch}' of its parent task ${taskId} was decided without it`
    await Promise.all(children.map(({ child }) => child && host.children.end(child.taskId, reason)))
    if (awaitsFunctions) await untilOrGrace(host, run.branchesAtRest(), graceUntil)
    if (intents.length > 0) {
      // A decision inside a lost branch may be undoing the same steps, or have undone them since the read.
      const inner = [...run.undoing].flatMap(([{ branch: of }, undoing]) => (of?.isOver ? undoing : []))
      if (inner.length > 0) await untilOrGrace(host, Promise.allSettled(inner), graceUntil)
      const known = await lateResults(host, task, await readLost(), run.functions, graceUntil)
      const input = await store.readPatiently((level) => readInput(level, task.head))
      const undoing = undoSteps(undoerOf(run, asked), known, input)
      run.undoing.set(asked, undoing)
      if (!(await undoing.finally(() => run.undoing.delete(asked)))) return undefined
    }
    return { record, beside: { ended: [note, ...children] } }
  })
}

function undoerOf(run: Run, asked: PendingCall): Undoer {
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
