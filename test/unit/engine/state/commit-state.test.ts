// Goal: the heads and commits of a task in memory are never in a combination that a decision could be lost in.
// Method: each transition, legal or not.
import { describe, expect, test } from 'vitest'
import type { Admitted } from '../../../../src/engine/scheduling/admission.js'
import { CommitState, type TaskOrigin } from '../../../../src/engine/state/commit-state.js'
import type { TaskHead } from '../../../../src/task/head.js'

const head = (seq: number) => ({ taskId: 't', seq }) as TaskHead
const ADMITTED = { account: 'client' } as Admitted

function made(origin: TaskOrigin) {
  const counted = { times: 0 }
  const commits = new CommitState<object>({ recount: () => counted.times++ }, head(0), origin)
  return { commits, counted }
}

/** The state of a promise, after all that is ready has run. */
async function isOver(promise: Promise<void> | undefined): Promise<boolean> {
  let over = false
  promise?.then(() => {
    over = true
  })
  await new Promise((resolve) => setImmediate(resolve))
  return over
}

describe('the creation', () => {
  test('of a task that was found at open is over', () => {
    const { commits } = made({ kind: 'found' })
    expect(commits).toMatchObject({ committed: head(0), admitted: undefined, childCreation: undefined })
    expect(() => commits.endCreation()).toThrow("'end the creation' from 'written'")
  })

  test('of a start keeps what admission gave until it ends, once', () => {
    const { commits } = made({ kind: 'start', admitted: ADMITTED })
    expect(commits).toMatchObject({ committed: undefined, admitted: ADMITTED, childCreation: undefined })
    commits.endCreation()
    expect(commits.admitted).toBeUndefined()
    expect(() => commits.endCreation()).toThrow("'end the creation' from 'written'")
  })

  test('of a child lets no other event be decided until it ends', async () => {
    const { commits } = made({ kind: 'child' })
    const { childCreation } = commits
    expect(() => commits.decide(head(1))).toThrow("'decide' from 'child that is being created'")
    expect(commits.head).toEqual(head(0))
    expect(await isOver(childCreation)).toBe(false)
    commits.endCreation()
    expect(await isOver(childCreation)).toBe(true)
    expect(commits.childCreation).toBeUndefined()
    commits.decide(head(1))
    expect(commits.head).toEqual(head(1))
  })

  test('of a child stays in flight when its head is read after an outage', () => {
    const { commits } = made({ kind: 'child' })
    commits.reset(head(0))
    expect(commits.committed).toEqual(head(0))
    expect(commits.childCreation).toBeDefined()
  })
})

describe('the heads', () => {
  test('are decided first and committed later, and the task is counted when its commit is on disk', () => {
    const { commits, counted } = made({ kind: 'found' })
    commits.decide(head(1))
    commits.decide(head(2))
    expect(commits).toMatchObject({ head: head(2), committed: head(0) })
    expect(counted.times).toBe(0)
    commits.land(head(1))
    expect(commits).toMatchObject({ head: head(2), committed: head(1) })
    expect(counted.times).toBe(1)
  })

  test('are both the head on disk after an outage', () => {
    const { commits, counted } = made({ kind: 'found' })
    commits.decide(head(2))
    commits.reset(head(1))
    expect(commits).toMatchObject({ head: head(1), committed: head(1) })
    expect(counted.times).toBe(1)
  })
})

describe('a commit that settles the task', () => {
  test('is in flight until it ends', async () => {
    const { commits } = made({ kind: 'found' })
    const commit = commits.beginSettling()
    const { settling } = commits
    expect(await isOver(settling)).toBe(false)
    expect(commits.isSettling).toBe(true)
    commits.endSettling(commit)
    expect(await isOver(settling)).toBe(true)
    expect(commits.settling).toBeUndefined()
    expect(commits.isSettling).toBe(false)
  })

  test('stays in flight when an earlier one ends that was lost', async () => {
    const { commits } = made({ kind: 'found' })
    const earlier = commits.beginSettling()
    const first = commits.settling
    const later = commits.beginSettling()
    commits.endSettling(earlier)
    expect(await isOver(first)).toBe(true)
    expect(await isOver(commits.settling)).toBe(false)
    expect(commits.settling).toBeDefined()
    commits.endSettling(later)
    expect(commits.settling).toBeUndefined()
  })
})

describe('the deferred records', () => {
  test('are of one set at a time', () => {
    const { commits } = made({ kind: 'found' })
    const [first, second] = [{}, {}]
    commits.defer(first)
    expect(() => commits.defer(second)).toThrow("'defer' from 'deferring'")
    commits.endDeferring(second)
    expect(commits.deferred).toBe(first)
    commits.endDeferring(first)
    expect(commits.deferred).toBeUndefined()
    commits.defer(second)
    expect(commits.deferred).toBe(second)
  })
})

describe('the commits in flight', () => {
  test('are none at first', async () => {
    expect(await isOver(made({ kind: 'found' }).commits.allWritten())).toBe(true)
  })

  test('are waited for by all callers, also one that begins when the last one ends', async () => {
    const { commits } = made({ kind: 'found' })
    commits.beginWrite()
    commits.beginWrite()
    const [one, other] = [commits.allWritten(), commits.allWritten()]
    commits.endWrite()
    expect(await isOver(one)).toBe(false)
    // A lost commit ends, and begins again at once.
    commits.endWrite()
    commits.beginWrite()
    expect(await isOver(one)).toBe(false)
    commits.endWrite()
    expect(await isOver(one)).toBe(true)
    expect(await isOver(other)).toBe(true)
  })

  test('do not end more often than they begin', () => {
    const { commits } = made({ kind: 'found' })
    expect(() => commits.endWrite()).toThrow("'end a commit' from 'none in flight'")
  })
})
