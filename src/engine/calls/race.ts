/**
 * Concurrent branches: `all`, `race`, `any`. Each branch has its own scope, so its names and numbers do not depend on
 * the other branches. Branches run in the turns of the body like any chain of promises. The end of a branch that lost
 * is special.
 *
 * - The log decides in a turn which branch wins, so every run has the same winner. From then on, the lost branches
 *     receive no answers, in this run and in every replay.
 * - The body receives the result after the lost branches are cleaned up and the decision is recorded
 *     (branch-decision.ts).
 * - A branch that lost never continues after its current wait. Its signal is aborted.
 */
import { isObject, shown } from '../../base/expected.js'
import type { BranchesOf, TaskContext } from '../../task/definition/context.js'
import { branchScope } from '../../task/log/scope.js'
import { checkName, NAME_BYTES_MAX } from '../../task/names.js'
import { Branch } from '../replay/branch-scopes.js'
import type { PendingCall } from '../replay/pending-call.js'
import type { Run } from '../replay/run.js'
import { type BranchDecision, runBranchDecision } from './branch-decision.js'
import { runCall } from './record-result.js'

/** The kind of a call of branches, which decides when the call ends. */
export type BranchesKind = 'all' | 'race' | 'any'

const BRANCHES_MAX = 1_000

interface Member {
  readonly name: string
  readonly branch: Branch
  readonly fn: (task: TaskContext) => unknown
  state: 'running' | 'fulfilled' | 'rejected'
  value?: unknown
}

/**
 * Runs the branches of one call.
 * @param makeContext creates the context of a branch
 * @throws TypeError if `given` is not an object of functions
 */
export function runBranches(
  run: Run,
  within: Branch | undefined,
  kind: BranchesKind,
  given: BranchesOf<unknown>,
  makeContext: (branch: Branch) => TaskContext,
): Promise<unknown> {
  const fns = checkBranches(kind, given)
  run.refuseWhileLeaving()
  const scope = within?.scope ?? ''
  const { segment } = run.history
  const number = run.history.nextNumber('branches', kind, scope)
  const members = fns.map(([name, fn]): Member => {
    const branch = new Branch(segment, branchScope(scope, kind, number, name), within)
    return { name, fn, branch, state: 'running' }
  })
  const end = run.branches.begin(within)
  return new Promise<unknown>((resolve, reject) => {
    let isDecided = false
    /** Gives the body the result of a call that needs no record. */
    const answerUnrecorded = (settleCall: () => void) => {
      const answer = run.unrecorded.derive(`task.${kind}(…)`, undefined, within)
      if (answer) answer.then(settleCall, reject)
      else settleCall()
    }
    /** Ends the call with the result of this branch. */
    const decide = (member: Member) => {
      isDecided = true
      const settleCall = () => (member.state === 'fulfilled' ? resolve(member.value) : reject(member.value))
      const lost = members.filter(({ state }) => state === 'running').map(({ branch }) => branch)
      if (lost.length === 0) return answerUnrecorded(settleCall)
      record(run, within, kind, number, { branch: member.name, lost, awaitsFunctions: kind === 'all' }).then(
        settleCall,
        reject,
      )
    }
    const ended = (member: Member, state: 'fulfilled' | 'rejected', value: unknown) => {
      if (isDecided) return
      try {
        // A branch that ends outside a turn has waited for something that is not a call of the context, which a replay
        // cannot repeat. This is refused even if other branches still run, because their order could differ after a
        // crash.
        if (run.enter(`the end of branch '${member.name}' of task.${kind}(…)`, within)) return
      } catch (error) {
        isDecided = true
        return reject(error)
      }
      Object.assign(member, { state, value })
      if (kind === 'race' || (state === 'fulfilled') === (kind === 'any')) return decide(member)
      if (members.some((other) => other.state === 'running')) return
      isDecided = true
      answerUnrecorded(() => (kind === 'any' ? reject(allFailed(members)) : resolve(resultsOf(members))))
    }
    if (members.length === 0) answerUnrecorded(() => resolve({}))
    for (const member of members) {
      new Promise((settle) => settle(member.fn(makeContext(member.branch)))).then(
        (value) => ended(member, 'fulfilled', value),
        (error: unknown) => ended(member, 'rejected', error),
      )
    }
  }).finally(end)
}

function resultsOf(members: readonly Member[]): Record<string, unknown> {
  return Object.fromEntries(members.map(({ name, value }) => [name, value]))
}

function allFailed(members: readonly Member[]): AggregateError {
  return new AggregateError(
    members.map(({ value }) => value),
    'Every branch of `task.any` failed',
  )
}

async function record(
  run: Run,
  within: Branch | undefined,
  kind: BranchesKind,
  number: number,
  decision: BranchDecision,
): Promise<unknown> {
  run.closeBranches(decision.lost)
  const begin = (asked: PendingCall) => runCall(run, asked, runBranchDecision(run, asked, decision))
  const branch = await run.ask(
    () => run.history.askNumbered('decision', kind, number, within?.scope ?? ''),
    begin,
    within,
  )
  if (branch === decision.branch) return undefined
  return run.park(
    `the log has a decision of branch '${String(branch)}' of task.${kind} where the code now decides for '${decision.branch}'`,
  )
}

function checkBranches(kind: BranchesKind, given: unknown): [string, (task: TaskContext) => unknown][] {
  if (!isObject(given)) {
    throw new TypeError(
      `Expected the branches of \`task.${kind}\` to be an object of functions, by name, got ${shown(given)}`,
    )
  }
  const branches = Object.entries(given)
  if (kind !== 'all' && branches.length === 0) {
    throw new TypeError(`Expected \`task.${kind}\` to be given at least one branch: with none it would never end`)
  }
  if (branches.length > BRANCHES_MAX) {
    throw new TypeError(
      `Expected \`task.${kind}\` to be given at most ${BRANCHES_MAX} branches, got ${branches.length}`,
    )
  }
  for (const [name, fn] of branches) {
    checkName(name, 'branch', NAME_BYTES_MAX.branch)
    if (typeof fn === 'function') continue
    throw new TypeError(`Expected branch '${name}' of \`task.${kind}\` to be a function, got ${shown(fn)}`)
  }
  return branches as [string, (task: TaskContext) => unknown][]
}
