// Goal: a change of attributes is one commit with one audit entry, is refused for a settled task and above eight, and is counted.
// Method: decisions on heads, and the records and entries that they write.
import { describe, expect, test } from 'vitest'
import type { Change, TaskDecision } from '../../../../src/task/changes.js'
import { attributesOfNew } from '../../../../src/task/decisions/attributes.js'
import { createTask } from '../../../../src/task/decisions/create.js'
import { transition } from '../../../../src/task/decisions/transition.js'
import { attributesOf } from '../../../../src/task/head.js'
import { encodeFixedPart, encodeMovingPart } from '../../../../src/task/head-codec.js'
import { PREFIX } from '../../../../src/task/log/segment.js'
import { newTask } from '../../../helpers/build-log.js'

const EIGHT = Object.fromEntries(Array.from({ length: 8 }, (_, n) => [`a${n}`, n]))
const plain = createTask(newTask({ startNow: true }), 5).head
const named = createTask(newTask({ startNow: true, title: 'T', attributes: { customer: 'a-17' } }), 5).head
const entriesOf = ({ changes }: TaskDecision) =>
  changes.flatMap((change) => (change.kind === 'audit' ? change.entry : []))
const kindsOf = ({ changes }: TaskDecision): Change['kind'][] => changes.map(({ kind }) => kind)

describe('a change from outside', () => {
  test('is merged into the head, and has an audit entry with the names and the actor', () => {
    const event = { kind: 'set-attributes', attributes: { customer: null, priority: 3 }, by: 'ann' } as const
    const decision = transition(named, event, 9)
    expect(attributesOf(decision.head)).toEqual({ priority: 3 })
    expect(kindsOf(decision)).toEqual(['head', 'audit'])
    expect(entriesOf(decision)).toEqual([
      { at: 9, action: 'attributes-set', by: 'ann', why: 'customer (removed), priority' },
    ])
    expect(JSON.stringify(decision.changes)).not.toMatch(/"why":"[^"]*a-17/)
  })

  test('that changes nothing has no audit entry', () => {
    const event = { kind: 'set-attributes', attributes: { customer: 'a-17', other: null }, by: 'ann' } as const
    const decision = transition(named, event, 9)
    expect(kindsOf(decision)).toEqual(['head'])
    expect(decision.head).toMatchObject({ seq: named.seq + 1, changedAttributes: undefined, bytes: named.bytes })
  })

  test('is refused above eight attributes, and for a settled task', () => {
    const full = transition(plain, { kind: 'set-attributes', attributes: EIGHT, by: 'ann' }, 9).head
    const more = { kind: 'set-attributes', attributes: { more: 1 }, by: 'ann' } as const
    expect(() => transition(full, more, 9)).toThrow(
      expect.objectContaining({ code: 'LIMIT_EXCEEDED', details: { taskId: full.taskId, max: 8 } }),
    )
    const settle = { kind: 'settle', outcome: { kind: 'result' }, by: 'body', retentionMs: 1 } as const
    expect(() => transition(transition(named, settle, 9).head, more, 9)).toThrow(
      expect.objectContaining({ code: 'TASK_SETTLED' }),
    )
  })
})

describe('a change of a body', () => {
  const place = { segment: PREFIX, scope: '', ask: 0, after: -1, name: 'attributes', number: 1 }
  const set = (attributes: object) =>
    ({
      kind: 'record',
      run: 1,
      record: { kind: 'set', ...place, startedAt: 7 },
      beside: { attributes: attributes as never },
    }) as const

  test('is one commit with its record and its audit entry', () => {
    const decision = transition(plain, set({ phase: 'two' }), 9)
    expect(attributesOf(decision.head)).toEqual({ phase: 'two' })
    expect(decision.head).toMatchObject({ records: 1, completedSteps: 0, status: 'running' })
    expect(kindsOf(decision)).toEqual(['head', 'audit', 'record'])
    expect(entriesOf(decision)).toMatchObject([{ action: 'attributes-set', by: 'body', why: 'phase' }])
  })

  test('above eight is a record with the refusal, and changes nothing', () => {
    const full = transition(plain, set(EIGHT), 9).head
    const decision = transition(full, { ...set({ more: 1 }), record: { ...set({}).record, ask: 1, number: 2 } }, 9)
    expect(decision.record).toMatchObject({ kind: 'set', failed: { code: 'LIMIT_EXCEEDED', ours: true } })
    expect(attributesOf(decision.head)).toEqual(EIGHT)
    expect(kindsOf(decision)).toEqual(['head', 'record'])
  })
})

describe('a head', () => {
  test('has the attributes of the start in its fixed part, and in the moving part only once they change', () => {
    expect(JSON.parse(encodeFixedPart(named))).toMatchObject({ title: 'T', attributes: { customer: 'a-17' } })
    expect(encodeMovingPart(named)).not.toContain('customer')
    const { head } = transition(named, { kind: 'set-attributes', attributes: { x: 1 }, by: 'ann' }, 9)
    expect(encodeMovingPart(head)).toContain('"attributes":{"customer":"a-17","x":1}')
    const { head: none } = transition(named, { kind: 'set-attributes', attributes: { customer: null }, by: 'ann' }, 9)
    expect(encodeMovingPart(none)).toContain('"attributes":{}')
  })

  test('counts the bytes of its attributes, and no longer those that were removed', () => {
    const kept = ({ bytes }: typeof plain) => bytes?.kept as number
    expect(kept(named)).toBeGreaterThan(kept(plain) + 'customer'.length + 'a-17'.length)
    const { head } = transition(plain, { kind: 'set-attributes', attributes: EIGHT, by: 'ann' }, 9)
    const none = Object.fromEntries(Object.keys(EIGHT).map((name) => [name, null]))
    const { head: back } = transition(head, { kind: 'set-attributes', attributes: none, by: 'ann' }, 9)
    expect(kept(head)).toBeGreaterThan(kept(plain))
    expect(kept(back)).toBe(kept(plain))
  })

  test('has a title and attributes of full length with names of full length', () => {
    const title = 't'.repeat(256)
    const attributes = Object.fromEntries(Object.keys(EIGHT).map((name) => [name.padEnd(64, 'n'), 'v'.repeat(64)]))
    const owner = 'o'.repeat(256)
    expect(createTask(newTask({ title, attributes, owner }), 5).head).toMatchObject({ title, attributes, owner })
  })
})

test('a fork has the attributes of its source, with those that are given merged into them', () => {
  const { head } = transition(named, { kind: 'set-attributes', attributes: { phase: 1 }, by: 'ann' }, 9)
  expect(attributesOfNew('task-2', undefined, head)).toEqual({ customer: 'a-17', phase: 1 })
  expect(attributesOfNew('task-2', { phase: null, more: true }, head)).toEqual({ customer: 'a-17', more: true })
  expect(attributesOfNew('task-2', { a: null })).toBeUndefined()
  expect(() => attributesOfNew('task-2', EIGHT, head)).toThrow(expect.objectContaining({ code: 'LIMIT_EXCEEDED' }))
})
