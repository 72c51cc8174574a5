import { describe, expect, test } from 'vitest'
import { CodeChanged, History, idOf } from '../../../../src/task/log/history.js'
import {
  type CheckpointRecord,
  decodeRecord,
  describeRecord,
  encodeRecord,
  type LogRecord,
  type StepRecord,
} from '../../../../src/task/log/records.js'
import { PREFIX } from '../../../../src/task/log/segment.js'

function step(seq: number, name: string, at: { ask: number; segment?: number; number?: number }): StepRecord {
  const { ask, segment = PREFIX, number = 1 } = at
  return {
    kind: 'step',
    seq,
    name,
    number,
    ask,
    segment,
    scope: '',
    after: seq - 1,
    at: 0,
    startedAt: 0,
    attempts: 1,
    value: '1',
  }
}

function saved(seq: number, opens: number, ask: number, segment: number): CheckpointRecord {
  const closes = { segment, count: 0, sum: 0 }
  return {
    kind: 'checkpoint',
    seq,
    checkpointId: `cp-${opens}`,
    opens,
    ask,
    segment,
    scope: '',
    after: seq - 1,
    at: 0,
    closes,
  }
}

const nobody = new Map<string, unknown>()

test('a place is ahead until it is asked for, in its segment and scope', () => {
  const history = new History([])
  const at = (segment: number, ask: number, scope = '') => history.isAhead({ segment, scope, ask })
  expect([at(PREFIX, 0), at(PREFIX, 1), at(PREFIX, 0, 'x'), at(0, 0)]).toEqual([true, true, true, true])
  history.askNamed('step', 'load')
  expect([at(PREFIX, 0), at(PREFIX, 1), at(PREFIX, 0, 'x'), at(0, 0)]).toEqual([false, true, true, true])
  history.restore(undefined)
  expect([at(PREFIX, 1), at(0, 0), at(1, 0)]).toEqual([false, true, true])
})

describe('numbering', () => {
  test('records that share a name are numbered as they are asked for', () => {
    const history = new History([])
    expect(history.askNamed('step', 'load').name).toEqual({ kind: 'step', name: 'load', number: 1 })
    expect(history.askNamed('step', 'other').ask).toBe(1)
    expect(history.askNamed('step', 'load').name).toEqual({ kind: 'step', name: 'load', number: 2 })
    expect(history.askNamed('step', 'load', 'branch').name).toEqual({ kind: 'step', name: 'load', number: 1 })
  })

  test('numbering starts anew in each segment', () => {
    const history = new History([])
    history.askNamed('step', 'load')
    history.restore(undefined)
    expect(history).toMatchObject({ segment: 0, asked: false })
    expect(history.askNamed('step', 'load')).toMatchObject({ segment: 0, ask: 0, name: { number: 1 } })
    expect(history.askCheckpoint().name).toEqual({ kind: 'checkpoint', opens: 1 })
    history.restore(undefined)
    expect(history.asked).toBe(true)
  })
})

describe('asks', () => {
  test('are counted per scope, so that a branch does not depend on what others do', () => {
    const recorded = { ...step(0, 'a', { ask: 0 }), scope: 'race#1.x' }
    const history = new History([recorded, step(1, 'b', { ask: 0 })])
    expect(history.askNamed('step', 'b')).toMatchObject({ ask: 0, scope: '' })
    expect(history.askNamed('step', 'a', 'race#1.x')).toMatchObject({ ask: 0, scope: 'race#1.x' })
    expect(history.askNamed('sleep', 'nap', 'race#1.x').ask).toBe(1)
    expect(history.askNamed('sleep', 'nap', 'race#1.y').ask).toBe(0)
    expect(history.askNamed('sleep', 'nap').ask).toBe(1)
  })

  test('that differ from what is recorded in their scope are a change of code, whatever stands in others', () => {
    const recorded = { ...step(0, 'a', { ask: 0 }), scope: 'race#1.x' }
    expect(new History([recorded]).askNamed('step', 'other', 'race#1.y').ask).toBe(0)
    expect(() => new History([recorded]).askNamed('step', 'other', 'race#1.x')).toThrow(CodeChanged)
    const handedOver = new History([recorded])
    handedOver.handOver(recorded)
    expect(handedOver.askNamed('step', 'other', 'race#1.x').ask).toBe(0)
  })

  test('can be given a number that was counted before: a call of branches counts itself, and is asked about at its end', () => {
    const history = new History([])
    expect([1, 2].map(() => history.nextNumber('branches', 'race', ''))).toEqual([1, 2])
    expect(history.nextNumber('branches', 'race', 'race#1.x')).toBe(1)
    expect(history.askNumbered('decision', 'race', 2, '')).toMatchObject({
      ask: 0,
      name: { kind: 'decision', name: 'race', number: 2 },
    })
    history.restore(undefined)
    expect(history.nextNumber('branches', 'race', '')).toBe(1)
  })
})

describe('answers', () => {
  test('are handed over in the order of the records, and a checkpoint moves the body on', () => {
    const records = [step(0, 'a', { ask: 0 }), saved(1, 1, 1, PREFIX), step(2, 'b', { ask: 0, segment: 1 })]
    const history = new History(records)
    history.askNamed('step', 'a')
    history.handOver(history.next() as LogRecord)
    expect(history.position).toBe(0)
    history.askCheckpoint()
    history.handOver(history.next() as LogRecord)
    expect(history).toMatchObject({ segment: 1, position: 1, saved: { checkpointId: 'cp-1' } })
    expect(history.next()).toMatchObject({ name: 'b' })
    history.add(step(3, 'c', { ask: 1, segment: 1 }))
    history.handOver(history.next() as LogRecord)
    expect(history.next()).toMatchObject({ name: 'c' })
  })

  test('are known up to the newest, whether it was read or is added', () => {
    expect(new History([]).newest).toBe(-1)
    const history = new History([step(0, 'a', { ask: 0 }), step(4, 'b', { ask: 1 })])
    expect(history.newest).toBe(4)
    history.add(step(5, 'c', { ask: 2 }))
    expect(history.newest).toBe(5)
  })

  test('are let go of once they are handed over, however many there are', () => {
    const history = new History([])
    for (let seq = 0; seq < 600; seq++) {
      history.askNamed('step', 'load')
      history.add(step(seq, 'load', { ask: seq, number: seq + 1 }))
      history.handOver(history.next() as LogRecord)
    }
    expect(history.next()).toBeUndefined()
    expect(history.position).toBe(599)
  })
})

describe('restoring', () => {
  const records = [
    step(0, 'a', { ask: 0 }),
    step(1, 'b', { ask: 0, segment: 0 }),
    saved(2, 1, 1, 0),
    step(3, 'b', { ask: 0, segment: 1 }),
    saved(4, 2, 1, 1),
    step(5, 'b', { ask: 0, segment: 2 }),
  ]

  test('moves to the segment that the latest checkpoint opened', () => {
    const history = new History(records)
    history.handOver(history.next() as LogRecord)
    const latest = history.checkpoint()
    expect(latest).toMatchObject({ checkpointId: 'cp-2' })
    history.restore(latest)
    expect(history).toMatchObject({ segment: 2, position: 4, saved: latest })
    expect(history.next()).toMatchObject({ seq: 5 })
  })

  test('moves to a checkpoint that nothing was recorded after', () => {
    const history = new History(records.slice(0, 5))
    history.handOver(history.next() as LogRecord)
    history.restore(history.checkpoint())
    expect(history.next()).toBeUndefined()
  })

  test('moves to an earlier one by its ID, and everything after it is answered', () => {
    const history = new History(records)
    history.handOver(history.next() as LogRecord)
    history.restore(history.checkpoint('cp-1'))
    expect(history.next()).toMatchObject({ seq: 3 })
    expect(history.checkpoint('cp-9')).toBeUndefined()
  })
})

describe('a body that does not match its log', () => {
  test('is noticed when it asks for another name at an index', () => {
    const history = new History([step(0, 'a', { ask: 0 })])
    expect(() => history.askNamed('step', 'extra')).toThrow(CodeChanged)
    expect(() => new History([step(0, 'a', { ask: 0 })]).askNamed('step', 'extra')).toThrow(/step 'a'.*step 'extra'/)
  })

  test('is noticed by what it leaves behind', () => {
    const records = [step(0, 'a', { ask: 0 }), step(1, 'b', { ask: 1 })]
    const history = new History(records)
    expect(history.leftBehind(nobody)).toMatchObject({ name: 'a' })
    const asked = new Map([[idOf(records[0] as LogRecord), true]])
    expect(history.leftBehind(asked)).toMatchObject({ name: 'b' })
    expect(history.leftBehind(asked, ({ seq }) => seq === 1)).toBeUndefined()
    asked.set(idOf(records[1] as LogRecord), true)
    expect(history.leftBehind(asked)).toBeUndefined()
  })
})

describe('a record', () => {
  test('comes back from text as it was, with and without a value', () => {
    const { value: _, ...empty } = step(1, 'nothing', { ask: 0 })
    const lines: LogRecord[] = [
      { ...step(0, 'a', { ask: 0 }), value: '{"text":"line\\nbreak"}' },
      empty,
      saved(2, 1, 2, PREFIX),
    ]
    for (const record of lines) expect(decodeRecord(encodeRecord(record))).toEqual(record)
  })

  test('is described in words', () => {
    expect(describeRecord({ kind: 'step', name: 'load', number: 1 })).toBe("step 'load'")
    expect(describeRecord({ kind: 'step', name: 'load', number: 2 })).toBe("step 'load' (number 2)")
    expect(describeRecord({ kind: 'sleep', name: 'nap', number: 1 })).toBe("sleep 'nap'")
    expect(describeRecord({ kind: 'checkpoint', opens: 3 })).toBe('checkpoint 3')
  })
})
