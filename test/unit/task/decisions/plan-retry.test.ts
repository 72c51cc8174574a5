// Goal: the next attempt of a task finds everything in its log but the failure that escaped and what came of it.
// Method: logs are built by real decisions; what a retry drops is written down, and the log that is left is whole.
import { describe, expect, test } from 'vitest'
import { type AuxiliaryRecords, messageOf } from '../../../../src/task/decisions/retry-drops.js'
import { transition } from '../../../../src/task/decisions/transition.js'
import { includes } from '../../../../src/task/log/dropped-records.js'
import { findHole, type ReadRecord } from '../../../../src/task/log/log-sums.js'
import { describeError, stepFailure, type TaskError, waitFailure } from '../../../../src/task/log/outcome.js'
import { emptySegment, PREFIX } from '../../../../src/task/log/segment.js'
import type { NewRecord } from '../../../../src/task/task-event.js'
import { asked, build, decision, failing, note, receive, save, step } from '../../../helpers/build-log.js'
import { planned } from '../../../helpers/planned.js'

const names = (reads: readonly ReadRecord[]) =>
  reads.map(({ record }) => (record.kind === 'checkpoint' ? record.checkpointId : record.name))
const escaped = (seq: number) => describeError(stepFailure('x', seq, { name: 'Error', message: 'no' }))
const OWN_ERROR = describeError(new Error('bug'))

/** Drops, and checks that what is left is a whole log. */
function retry(records: readonly NewRecord[], error: TaskError, beside?: AuxiliaryRecords) {
  const { head, log } = build(records)
  const { dropping: plan, kept, dropped } = planned(log, error, head, beside)
  const event = { kind: 'retry', run: 1, wakeAt: 50, why: 'no', plan } as const
  const { head: next, changes } = transition(head, event, 10)
  expect(findHole(next, kept)).toBeUndefined()
  expect(next).toMatchObject({ attempt: 2, wakeAt: 50, records: kept.length, nextRecord: head.nextRecord })
  const completed = kept.filter(({ record }) => record.kind === 'step' && !record.failed).length
  expect(next.completedSteps).toBe(completed)
  expect(next.hasDropped).toBe(dropped.length > 0 ? true : undefined)
  expect(changes.filter(({ kind }) => kind === 'dropped')).toHaveLength(dropped.length > 0 ? 1 : 0)
  const returned = dropped.flatMap(({ record }) =>
    record.kind === 'receive' && includes(plan.dropped?.returned ?? [], record.seq) ? messageOf(record) : [],
  )
  expect(next.messages ?? 0).toBe(returned.length)
  return { ended: plan.ended, returned, gone: names(dropped), head, next }
}

describe('a retry of the task drops', () => {
  const before = step('before')
  const cases: [string, NewRecord[], TaskError, string[]][] = [
    [
      'the failure and what was asked for after it, when a body catches, notifies and rethrows',
      [before, failing('charge', { ask: 1, after: 0 }), step('notify', { ask: 2, after: 1 })],
      escaped(1),
      ['charge', 'notify'],
    ],
    [
      'a failure that is wrapped as cause',
      [before, failing('charge', { ask: 1, after: 0 })],
      { name: 'E', message: '', cause: escaped(1) },
      ['charge'],
    ],
    [
      'each failure of an AggregateError after allSettled, and nothing between them',
      [failing('a'), step('b', { ask: 1 }), failing('c', { ask: 2 })],
      { name: 'E', message: '', errors: [escaped(2), escaped(0)] },
      ['a', 'c'],
    ],
    ['nothing that was asked for before the failure', [failing('a'), step('b', { ask: 1 })], escaped(0), ['a']],
    [
      'no failure that was caught before the one that escaped',
      [failing('a'), failing('b', { ask: 1, after: 0 })],
      escaped(1),
      ['b'],
    ],
    ['nothing for an error of the body itself', [before, step('b', { ask: 1, after: 0 })], OWN_ERROR, []],
    ['nothing for a failure that was pruned', [before], escaped(9), []],
    [
      'a checkpoint that was saved after the failure was caught',
      [
        step('a'),
        save(1, { segment: PREFIX }),
        failing('b', { after: 1, segment: 1 }),
        save(2, { after: 2 }),
        step('c', { after: 3, segment: 2 }),
      ],
      escaped(2),
      ['b', 'cp-2', 'c'],
    ],
    [
      'a wait that was over before its end, like a step',
      [
        { kind: 'input', ...asked('ok'), key: 'ok-1', failed: { name: 'Error', message: 'late' } },
        step('b', { ask: 1, after: 0 }),
      ],
      describeError(waitFailure(0, { name: 'Error', message: 'late' })),
      ['ok', 'b'],
    ],
  ]

  test.each(cases)('%s', (_, records, error, gone) => {
    expect(retry(records, error).gone).toEqual(gone)
  })

  test('the whole log, and leaves one that nothing is recorded in', () => {
    const { next } = retry([failing('a')], escaped(0))
    expect(next).toMatchObject({ prefix: emptySegment(PREFIX), open: emptySegment(PREFIX), records: 0 })
  })

  test('the notes of what goes with the failure, and no others', () => {
    const late = note('late', { ask: 2, after: 0 })
    const early = note('early', { ask: 1 })
    expect(retry([failing('a')], escaped(0), { notes: [early, late] }).ended).toEqual([late])
  })
})

describe('a failure in a branch', () => {
  const a = (at = {}) => ({ scope: 'all#1.a', ...at })
  const b = (at = {}) => ({ scope: 'all#1.b', ...at })

  test('drops nothing of its siblings, neither what they were asked for later nor their failures', () => {
    const records = [
      failing('pay', a()),
      step('load', b({ after: 0 })),
      failing('flaky', b({ ask: 1, after: 1 })),
      step('deep', { scope: 'all#1.b/all#1.x', after: 2 }),
    ]
    const begun = note('nap', b({ ask: 2, after: 2 }))
    const { gone, ended } = retry(records, escaped(0), { notes: [begun] })
    expect(gone).toEqual(['pay'])
    expect(ended).toEqual([])
  })

  test('drops what its branch, branches in that, and the body asked for after it', () => {
    const records = [
      failing('pay', a()),
      step('own', a({ ask: 1, after: 0 })),
      step('inner', { scope: 'all#1.a/race#1.x', after: 0 }),
      step('body', { ask: 1, after: 0 }),
      step('later call', { scope: 'all#2.b', after: 0 }),
    ]
    expect(retry(records, escaped(0)).gone).toEqual(['pay', 'own', 'inner', 'body', 'later call'])
  })

  test('drops branches of the same name in a later segment: they are no siblings', () => {
    const records = [failing('pay', a()), save(1, { segment: PREFIX }), step('load', b({ after: 1, segment: 1 }))]
    expect(retry(records, escaped(0)).gone).toEqual(['pay', 'cp-1', 'load'])
  })
})

describe('a step that was undone when its branch lost', () => {
  const lost = (at = {}) => ({ scope: 'race#1.slow', ...at })
  const records = [
    step('early', lost()),
    step('charge', lost({ ask: 1, after: 0 })),
    step('after', lost({ ask: 2, after: 1 })),
    step('deep', { scope: 'race#1.slow/all#1.x', after: 1 }),
    step('other', { scope: 'race#1.slower', after: 1 }),
  ]
  const decided = decision('race', 'fast', ['race#1.slow', 'race#1.slower'], { after: 5 })
  const noted = note('nap', lost({ ask: 3, after: 2 }))
  const beside = { undone: new Set([1]), notes: [noted] }

  test('goes with the decision, and with it what its branch asked for after it', () => {
    const { gone, ended } = retry([...records, failing('fast', { scope: 'race#1.fast' }), decided], escaped(5), beside)
    expect(gone).toEqual(['charge', 'after', 'deep', 'fast', 'race'])
    expect(ended).toEqual([noted])
  })

  test('stays as long as the decision does: its branch loses again, at the same point', () => {
    const log = [...records, step('fast', { scope: 'race#1.fast' }), decided, failing('later', { ask: 1, after: 6 })]
    expect(retry(log, escaped(7), beside)).toMatchObject({ gone: ['later'], ended: [] })
    expect(retry(log, OWN_ERROR, beside)).toMatchObject({ gone: [], ended: [] })
  })

  test('leaves a branch of the same name in a later segment alone', () => {
    const again = [
      step('charge', lost()),
      failing('fast', { scope: 'race#1.fast' }),
      decision('race', 'fast', ['race#1.slow'], { after: 1 }),
      save(1, { segment: PREFIX, ask: 1, after: -1 }),
      step('load', lost({ after: -1, segment: 1 })),
    ]
    expect(retry(again, escaped(1), { undone: new Set([0]) }).gone).toEqual(['charge', 'fast', 'race'])
  })

  // The slow branch has a race of its own, which its step decided; then the slow branch lost.
  const SLOW = 'race#1.slow'
  const inSlow = (branch: string) => ({ scope: `${SLOW}/race#1.${branch}` })
  const nested = [
    step('charge', inSlow('x')),
    receive('go', 0, inSlow('y')),
    decision('race', 'x', [`${SLOW}/race#1.y`], { scope: SLOW, after: 0 }),
    step('more', { scope: SLOW, ask: 1, after: 2 }),
  ]
  const outer = decision('race', 'fast', [SLOW], { after: 4 })

  test('that had decided a race within it stays with that race', () => {
    const log = [...nested, step('fast', { scope: 'race#1.fast' }), outer, failing('later', { ask: 1, after: 5 })]
    expect(retry(log, escaped(6), { undone: new Set([0]) }).gone).toEqual(['later'])
  })

  test('that had decided a race within it goes with that race, and what the losers of that had received', () => {
    const log = [...nested, failing('fast', { scope: 'race#1.fast' }), outer]
    const { gone, returned } = retry(log, escaped(4), { undone: new Set([0]) })
    expect(gone).toEqual(['charge', 'go', 'race', 'more', 'fast', 'race'])
    expect(returned).toEqual([])
  })

  test('that had lost before to a branch beside it stays with that decision', () => {
    const log = [
      step('charge', inSlow('y')),
      step('quick', inSlow('x')),
      decision('race', 'x', [`${SLOW}/race#1.y`], { scope: SLOW, after: 1 }),
      failing('fast', { scope: 'race#1.fast' }),
      decision('race', 'fast', [SLOW], { after: 3 }),
    ]
    expect(retry(log, escaped(3), { undone: new Set([0]) }).gone).toEqual(['fast', 'race'])
  })
})

describe('a message', () => {
  const SLOW = 'race#1.slow'
  const FAST = 'race#1.fast'

  test('returns to its place when the receive that took it is dropped', () => {
    const records = [
      failing('a'),
      receive('go', 4, { ask: 1, after: 0 }),
      receive('empty', 5, { ask: 2, after: 0 }, ''),
    ]
    const { returned } = retry(records, escaped(0))
    expect(returned).toEqual([
      { name: 'go', order: 4, text: '"hi"' },
      { name: 'empty', order: 5, text: '' },
    ])
  })

  test('that was `undefined` returns as that', () => {
    const { value: _, ...taken } = receive('go', 0, { ask: 1, after: 0 })
    expect(retry([failing('a'), taken], escaped(0)).returned).toEqual([{ name: 'go', order: 0, text: '' }])
  })

  test('that did not come in time does not return', () => {
    const late = { kind: 'receive', ...asked('go'), failed: { name: 'Error', message: 'late' } } as const
    const { gone, returned } = retry([late], escaped(0))
    expect(gone).toEqual(['go'])
    expect(returned).toEqual([])
  })

  test('stays received when nothing of it is dropped', () => {
    expect(retry([receive('go', 0), failing('a', { ask: 1, after: 0 })], escaped(1))).toMatchObject({
      gone: ['a'],
      returned: [],
    })
  })

  // The branch got it, lost, and gave it back; then the step after the race failed, or one that the race was decided after.
  const received = [
    step('early', { scope: SLOW }),
    receive('go', 0, { scope: SLOW, ask: 1, after: 0 }),
    step('with it', { scope: SLOW, ask: 2, after: 1 }),
  ]
  const decided = decision('race', 'fast', [SLOW], { ask: 0, after: 3 })

  test('that a loser received stays in the log as long as the decision does', () => {
    const { gone, returned } = retry(
      [...received, step('win', { scope: FAST }), decided, failing('a', { ask: 1, after: 4 })],
      escaped(5),
    )
    expect(gone).toEqual(['a'])
    expect(returned).toEqual([])
  })

  test('that a loser received goes with the decision, and what came of it; it is back already', () => {
    const noted = note('nap', { scope: SLOW, ask: 3, after: 2 })
    const { gone, returned, ended } = retry([...received, failing('win', { scope: FAST }), decided], escaped(3), {
      notes: [noted],
    })
    expect(gone).toEqual(['go', 'with it', 'win', 'race'])
    expect(returned).toEqual([])
    expect(ended).toEqual([noted])
  })

  test('that a loser received goes with a decision that is noted and not recorded yet, too', () => {
    const noted = note('race', { after: 3 }, { decided: { branch: 'fast', lost: [SLOW], at: 0 } })
    const { gone, returned, ended } = retry([...received, failing('win', { scope: FAST })], escaped(3), {
      notes: [noted],
    })
    expect(gone).toEqual(['go', 'with it', 'win'])
    expect(returned).toEqual([])
    expect(ended).toEqual([noted])
  })

  test('that a loser received stays in the log as long as the decision is noted', () => {
    const noted = note('race', { after: 3 }, { decided: { branch: 'fast', lost: [SLOW], at: 0 } })
    const records = [...received, step('win', { scope: FAST }), failing('a', { ask: 1, after: 0 })]
    expect(retry(records, escaped(4), { notes: [noted] })).toMatchObject({ gone: ['a'], returned: [], ended: [] })
  })

  test('that a branch received which had ended before the decision is its own: it stays, or returns with its record', () => {
    const all = { ended: 'all#1.ended', lost: 'all#1.lost', failed: 'all#1.failed' }
    const records = [
      receive('go', 0, { scope: all.ended }),
      failing('pay', { scope: all.failed }),
      decision('all', 'failed', [all.lost], { after: 1 }),
    ]
    expect(retry(records, escaped(1))).toMatchObject({ gone: ['pay', 'all'], returned: [] })
    const later = [failing('early'), receive('go', 0, { scope: all.ended, after: 0 }), ...records.slice(1)]
    expect(retry(later, escaped(0)).returned).toEqual([{ name: 'go', order: 0, text: '"hi"' }])
  })

  test('that a branch of the same name received in another segment is no business of the decision', () => {
    const records = [
      receive('go', 0, { scope: SLOW }),
      save(1, { segment: PREFIX }),
      failing('win', { scope: FAST, segment: 1, after: 1 }),
      decision('race', 'fast', [SLOW], { segment: 1, after: 2 }),
    ]
    expect(retry(records, escaped(2))).toMatchObject({ gone: ['win', 'race'], returned: [] })
  })

  test('that a branch inside a loser had lost before stays with that decision', () => {
    const inner = `${SLOW}/race#1.x`
    const records = [
      receive('go', 0, { scope: inner }),
      decision('race', 'y', [inner], { scope: SLOW, after: 0 }),
      failing('win', { scope: FAST, after: 1 }),
      decision('race', 'fast', [SLOW], { after: 2 }),
    ]
    expect(retry(records, escaped(2))).toMatchObject({ gone: ['win', 'race'], returned: [] })
  })
})
