// Goal: the near-linear planner of retries decides what the plain, quadratic one decided, and takes time in proportion.
// Method: bodies are played at random (branches in branches, decisions, messages, checkpoints), each log is planned by
// both. Then logs of 100,000 records are planned, and their slices counted. RETRY_SEED plays the same bodies again.
import { describe, expect, test } from 'vitest'
import { addChecksum } from '../../../../src/base/checksum.js'
import { bytesOf, stateUsage } from '../../../../src/task/byte-count.js'
import { messageOf } from '../../../../src/task/decisions/retry-drops.js'
import { includes } from '../../../../src/task/log/dropped-records.js'
import type { ReadRecord } from '../../../../src/task/log/log-sums.js'
import { describeError, stepFailure, type TaskError } from '../../../../src/task/log/outcome.js'
import type { PendingRecord } from '../../../../src/task/log/pending-record.js'
import { countedIn, encodeRecord, type LogRecord } from '../../../../src/task/log/records.js'
import { branchScope, isWithin } from '../../../../src/task/log/scope.js'
import { emptySegment, PREFIX } from '../../../../src/task/log/segment.js'
import type { RetryPlan } from '../../../../src/task/task-event.js'
import { planned } from '../../../helpers/planned.js'
import { dropForRetry } from './drop-for-retry-reference.js'

const seed = Number(process.env['RETRY_SEED'] ?? Math.floor(Math.random() * 2 ** 31))

/** Numbers that are the same for the same seed (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

interface Call {
  readonly scope: string
  readonly branches: string[]
}
interface Waiting {
  readonly kind: 'step' | 'receive' | 'decision'
  readonly scope: string
  readonly ask: number
  readonly after: number
  readonly call?: Call
  readonly lost?: readonly string[]
}
interface Case {
  readonly log: ReadRecord[]
  readonly notes: PendingRecord[]
  readonly undone: Set<number>
  readonly error: TaskError
  readonly head: { keptFrom: number; checkpoints: { body: number; client: number } }
}

/** Plays a body: it asks, is answered in the order of the records, and branches lose, as the engine would have it. */
function play(random: () => number, events: number): Case {
  const below = (count: number) => Math.floor(random() * count)
  const oneOf = <T>(items: readonly T[]) => items[below(items.length)] as T
  const log: ReadRecord[] = []
  const failures: number[] = []
  const undone = new Set<number>()
  let segment = PREFIX
  let position = -1
  let messages = 0
  let scopes = ['']
  let calls: Call[] = []
  let waiting: Waiting[] = []
  const asks = new Map<string, number>()
  const numbers = new Map<string, number>()
  const next = (counts: Map<string, number>, of: string) => {
    const count = counts.get(of) ?? 0
    counts.set(of, count + 1)
    return count
  }
  const place = (scope: string) => ({ scope, ask: next(asks, scope), after: position })
  const isIn = (outers: readonly string[]) => (scope: string) => outers.some((outer) => isWithin(scope, outer))

  const record = (one: Record<string, unknown>) => {
    const record = { name: 'x', number: 1, startedAt: 0, at: 0, segment, seq: log.length, ...one } as never as LogRecord
    log.push({ record, text: encodeRecord(record) })
    return record.seq
  }
  const answer = ({ kind, scope, ask, after, call, lost = [] }: Waiting) => {
    const fails = kind !== 'decision' && random() < 0.25
    const failed = fails ? { failed: { name: 'Error', message: 'no' } } : {}
    const message = kind === 'receive' && !fails ? { message: messages++, value: '1' } : {}
    const branch = kind === 'decision' ? { lost, branch: 'b' } : {}
    const seq = record({ kind, scope, ask, after, attempts: 1, ...failed, ...message, ...branch })
    if (fails) failures.push(seq)
    if (random() < 0.9) position = seq
    if (call) end(call)
  }
  const end = (call: Call) => {
    const isOver = isIn(call.branches)
    scopes = scopes.filter((scope) => !isOver(scope))
    calls = calls.filter((other) => other !== call && !isOver(other.scope))
    waiting = waiting.filter(({ scope }) => !isOver(scope))
  }
  const open = (scope: string) => {
    const kind = oneOf(['race', 'all'])
    const number = next(numbers, `${scope}${kind}`) + 1
    const branches = ['a', 'b.c', 'd'].slice(0, 2 + below(2)).map((name) => branchScope(scope, kind, number, name))
    calls.push({ scope, branches })
    scopes.push(...branches)
  }
  const decide = (call: Call) => {
    const lost = call.branches.filter(() => random() < 0.6)
    const isLost = isIn(lost)
    // Asked for by the call's own scope. What the losers wait for goes when it is recorded.
    waiting.push({ kind: 'decision', ...place(call.scope), call, lost })
    waiting = waiting.filter(({ kind, scope }) => !isLost(scope) || (kind !== 'decision' && random() < 0.5))
    for (const { record } of log) {
      if (record.kind === 'step' && record.segment === segment && isLost(record.scope) && random() < 0.4) {
        undone.add(record.seq)
      }
    }
    scopes = scopes.filter((scope) => !isLost(scope))
    calls = calls.filter((other) => other !== call && !isLost(other.scope))
  }

  for (let event = 0; event < events; event++) {
    const dice = random()
    if (dice < 0.3) waiting.push({ kind: oneOf(['step', 'step', 'receive']), ...place(oneOf(scopes)) })
    else if (dice < 0.45 && scopes.length < 12) open(oneOf(scopes))
    else if (dice < 0.8 && waiting.length > 0) {
      const one = oneOf(waiting)
      waiting = waiting.filter((other) => other !== one)
      answer(one)
    } else if (dice < 0.95 && calls.length > 0) {
      const call = oneOf(calls)
      const hasInner = calls.some(({ scope }) => isIn(call.branches)(scope))
      if (random() < 0.7 || hasInner) decide(call)
      else end(call)
    } else if (calls.length === 0 && waiting.length === 0) {
      const opens = Math.max(segment, -1) + 1 + (segment === PREFIX ? 1 : 0)
      const closes = emptySegment(segment)
      position = record({ kind: 'checkpoint', checkpointId: `cp-${opens}`, opens, closes, stateBytes: 9, ...place('') })
      segment = opens
      asks.clear()
      numbers.clear()
    }
  }
  const notes = waiting.map(({ kind, scope, ask, after, lost }): PendingRecord => {
    const decided = kind === 'decision' && lost ? { decided: { branch: 'b', lost, at: 0 } } : {}
    return { id: `${scope}/${ask}`, segment, scope, ask, after, failedAttempts: 0, ...decided }
  })
  const escaped = failures
    .filter(() => random() < 0.3)
    .map((seq) => describeError(stepFailure('x', seq, { name: 'Error', message: 'no' })))
  const error = { name: 'AggregateError', message: '', errors: escaped }
  const head = { keptFrom: below(2), checkpoints: { body: below(4), client: 0 } }
  return { log, notes, undone, error, head }
}

/** What the plan has to say, from what the plain planner drops. */
function toldPlainly({ log, notes, undone, error, head }: Case) {
  const { kept, dropped, ended, returned } = dropForRetry(log, error, head, { notes, undone })
  const openSegment = Math.max(PREFIX, ...kept.map(({ record }) => countedIn(record)))
  const sumOf = (segment: number) => {
    const texts = kept.filter(({ record }) => countedIn(record) === segment).map(({ text }) => text)
    return { segment, count: texts.length, sum: texts.reduce(addChecksum, 0) }
  }
  const saves = dropped.flatMap(({ record }) => (record.kind === 'checkpoint' ? record : []))
  const states = Math.min(saves.length, head.checkpoints.body) * stateUsage(9)
  const bytes = (reads: readonly ReadRecord[]) => reads.reduce((sum, { text }) => sum + bytesOf(text), states)
  return {
    dropped: dropped.map(({ record }) => record.seq),
    ended,
    returned,
    prefix: sumOf(PREFIX),
    open: openSegment === PREFIX ? emptySegment(PREFIX) : sumOf(openSegment),
    records: kept.length,
    steps: dropped.filter(({ record }) => record.kind === 'step' && !record.failed).length,
    saves: saves.length,
    messages: returned.length,
    bytes: { kept: bytes(dropped), prunable: bytes(dropped.filter(({ record }) => countedIn(record) !== PREFIX)) },
    opens: saves[0]?.opens,
  }
}

function told({ log, notes, undone, error, head }: Case) {
  const { dropping, dropped } = planned(log, error, head, { notes, undone })
  const { dropped: list, ...plan }: RetryPlan = dropping
  const returned = log.flatMap(({ record }) =>
    record.kind === 'receive' && includes(list?.returned ?? [], record.seq) ? messageOf(record) : [],
  )
  return { ...plan, dropped: dropped.map(({ record }) => record.seq), returned, opens: list?.opens }
}

test('the planner drops what the plain one dropped, of 4,000 bodies played at random', () => {
  let [withDrops, withLosers, inBranches] = [0, 0, 0]
  for (let body = 0; body < 4_000; body++) {
    const random = randomFrom(seed + body)
    const made = play(random, 5 + Math.floor(random() * 80))
    const plain = toldPlainly(made)
    expect(told(made), `RETRY_SEED=${seed + body}, body 0`).toEqual(plain)
    if (plain.dropped.length > 0) withDrops++
    if (plain.dropped.some((seq) => made.undone.has(seq))) withLosers++
    if (plain.dropped.some((seq) => made.log[seq]?.record.scope.includes('/'))) inBranches++
  }
  // The bodies are worth it: most lose something, many what was undone, and what lies in branches of branches.
  expect(withDrops).toBeGreaterThan(1_000)
  expect(withLosers).toBeGreaterThan(200)
  expect(inBranches).toBeGreaterThan(200)
})

describe('a long log', () => {
  const named = { name: 'x', number: 1, segment: PREFIX, at: 0, startedAt: 0 }
  const failed = { name: 'Error', message: 'no' }
  const read = (one: object): ReadRecord => ({ record: { ...named, ...one } as never, text: 'text' })
  const fail = (seq: number, more: object = {}) =>
    read({ kind: 'step', seq, scope: '', ask: seq, after: seq - 1, failed, ...more })
  const error = (seq: number) => ({ name: 'Error', message: '', record: seq }) as never as TaskError
  const head = { keptFrom: 0, checkpoints: { body: 0, client: 0 } }

  /** Rounds of `race({ receive, … })`, then a failure. */
  function conversation(rounds: number) {
    const log: ReadRecord[] = []
    for (let round = 1; round <= rounds; round++) {
      const seq = log.length
      const [won, lost] = [`race#${round}.message`, `race#${round}.other`]
      log.push(read({ kind: 'receive', seq, scope: won, ask: 0, after: seq - 1, message: round, value: '1' }))
      log.push(
        read({ kind: 'decision', seq: seq + 1, scope: '', ask: round, after: seq, branch: 'message', lost: [lost] }),
      )
    }
    log.push(fail(log.length))
    return { log, error: error(log.length - 1), dropped: 1 }
  }

  /** Races that overlap in a branch that lost: each that goes lets only the one before it go. */
  function chain(races: number) {
    const log: ReadRecord[] = []
    const OUTER = 'race#1.slow'
    for (let race = 1; race <= races; race++) {
      const lost = `${OUTER}/race#${race}.b`
      const seq = log.length
      log.push(read({ kind: 'receive', seq, scope: lost, ask: 0, after: seq - 3, message: race, value: '1' }))
      if (race > 1) log.push(decisionOf(race - 1, seq + 1))
    }
    const last = log.length
    log.push(read({ kind: 'receive', seq: last, scope: OUTER, ask: 9, after: last - 2, message: 0, value: '1' }))
    log.push(decisionOf(races, last + 1))
    log.push(fail(last + 2, { scope: 'race#1.fast', after: -1, ask: 0 }))
    log.push(
      read({ kind: 'decision', seq: last + 3, scope: '', ask: 0, after: last + 2, branch: 'fast', lost: [OUTER] }),
    )
    return { log, error: error(last + 2) }

    function decisionOf(race: number, seq: number) {
      const lost = [`${OUTER}/race#${race}.b`]
      return read({ kind: 'decision', seq, scope: OUTER, ask: race, after: seq - 1, branch: 'a', lost })
    }
  }

  /** Branches of one call, each with steps; then one fails. */
  function sideBySide(branches: number) {
    const log: ReadRecord[] = []
    for (let branch = 0; branch < branches; branch++) {
      log.push(read({ kind: 'step', seq: branch, scope: `all#1.b${branch}`, ask: 0, after: -1 }))
    }
    const seq = log.length
    log.push(fail(seq, { scope: 'all#1.bad', after: -1, ask: 0 }))
    const lost = Array.from({ length: branches }, (_, branch) => `all#1.b${branch}`)
    log.push(read({ kind: 'decision', seq: seq + 1, scope: '', ask: 0, after: seq, branch: 'bad', lost }))
    return { log, error: error(seq), undone: new Set(lost.keys()) }
  }

  test.each([
    ['a conversation that fails at its end', conversation],
    ['races in a lost branch of which each lets the one before it go', chain],
    ['branches side by side that were undone', sideBySide],
  ])('is planned in slices whose number grows with its length: %s', (_, make) => {
    const slices = (count: number) => {
      const { log, error, ...beside } = make(count)
      return planned(log, error, head, beside).slices
    }
    const [some, many] = [slices(12_500), slices(50_000)]
    // A slice ends after 1,000 pieces of work, so the slices count the work.
    expect(some).toBeGreaterThan(12)
    expect(many / some).toBeGreaterThan(3.5)
    expect(many / some).toBeLessThan(4.5)
  })

  test('of which each dropped record lets nothing else go is planned in slices too', () => {
    const { log, error, ...beside } = sideBySide(20_000)
    // Five passes over the records, and one look for each that goes.
    expect(planned(log, error, head, beside).slices).toBeGreaterThan(5.5 * 20)
  })

  test('of which all but the end stays is dropped as one range', () => {
    const { log, error } = conversation(1_000)
    expect(planned(log, error, head).dropping.dropped).toEqual({
      from: { segment: PREFIX, seq: 2_000 },
      to: { segment: PREFIX, seq: 2_000 },
      numbers: [2_000, 2_000],
    })
  })

  test.each([30, 31])('in a chain of %i races drops what the plain planner drops', (races) => {
    const { log, error } = chain(races)
    const made = { log, error, notes: [], undone: new Set<number>(), head }
    expect(told(made).dropped).toEqual(toldPlainly(made).dropped)
    expect(told(made).dropped.length).toBeGreaterThan(races)
  })
})
