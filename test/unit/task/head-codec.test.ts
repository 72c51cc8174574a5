// Goal: a head comes back from both of its parts as it was, and a field of a later version is kept.
// Method: heads with every field set and unset, and texts with fields that this version does not know.
import { describe, expect, test } from 'vitest'
import { createTask } from '../../../src/task/decisions/create.js'
import { transition } from '../../../src/task/decisions/transition.js'
import type { TaskHead } from '../../../src/task/head.js'
import {
  decodeMovingPart,
  encodeFixedPart,
  encodeMovingPart,
  isStoredInline,
  joinParts,
  splitValue,
  VALUE_INLINE_BYTES_MAX,
  withValue,
} from '../../../src/task/head-codec.js'
import { newTask } from '../../helpers/build-log.js'

const plain = createTask(newTask({ startNow: false }), 5).head
const named = createTask(
  newTask({
    version: '2',
    owner: 'ann "x"\n',
    ttlMs: 9,
    deadlineAt: 8,
    timeoutMs: 7,
    priority: -1,
    title: 'Lamp "1"',
    attributes: { customer: 'a-17', priority: 3, urgent: false },
    idempotency: { key: 'k', fingerprint: 'f' },
    inputText: '1',
    parentId: 'task-0',
    depth: 2,
    life: 3,
    forkedFrom: { taskId: 'task-9', at: 4, startedAt: 1 },
  }),
  6,
).head
const moved: TaskHead = {
  ...named,
  durability: 'buffered',
  prefix: { segment: -1, count: 1, sum: 2 },
  open: { segment: 4, count: 5, sum: 6 },
  keptFrom: 7,
  records: 8,
  completedSteps: 9,
  checkpoints: { body: 10, client: 11 },
  bytes: { kept: 12, prunable: 13 },
  changedAttributes: { customer: 'b-1' },
  progress: { done: 1, message: 'half' },
  hasStepStates: true,
  wakeAt: 99,
  attemptsBefore: 14,
  wantsAttempt: true,
}
const failed = transition(
  { ...moved, intents: 1 },
  {
    kind: 'settle',
    outcome: { kind: 'error', error: { name: 'E', message: 'm' } },
    by: 'body',
    retentionMs: 1,
    stoppedBy: 'cancel',
  },
  77,
).head

const decode = (head: TaskHead) =>
  joinParts(decodeMovingPart(head.taskId, head.seq, encodeMovingPart(head)) as never, encodeFixedPart(head))

test.each(Object.entries({ plain, named, moved, failed }))(
  'the head %s comes back from its two parts as it was',
  (_, head) => {
    expect(decode(head)).toEqual(head)
    expect(decode(decode(head))).toEqual(head)
  },
)

test('the moving part has nothing that never changes, and is small', () => {
  const text = encodeMovingPart(named)
  for (const fixed of [named.taskId, named.type, named.seed, named.owner as string]) expect(text).not.toContain(fixed)
  expect(text.length).toBeLessThan(130)
})

describe('a field that this version does not know', () => {
  test('of the moving part is in the head, and in what is written next', () => {
    const row = JSON.parse(encodeMovingPart(moved)) as unknown[]
    const later = [...row.slice(0, 19), { ...(row[19] as object), title: 'T', colours: { a: [1] } }]
    const head = joinParts(decodeMovingPart('task-1', 1, JSON.stringify(later)) as never, encodeFixedPart(moved))
    expect(head).toMatchObject({ laterFields: { title: 'T', colours: { a: [1] } }, wakeAt: 99 })
    const next = transition(head, { kind: 'resume', by: 'admin' }, 80).head
    expect(JSON.parse(encodeMovingPart(next)) as unknown[]).toMatchObject({
      19: { title: 'T', colours: { a: [1] } },
    })
  })

  test('of the fixed part stays in the fixed part, which nothing writes again', () => {
    const later = JSON.stringify({ ...JSON.parse(encodeFixedPart(named)), laterThing: { a: 1 } })
    const head = joinParts(decodeMovingPart('task-1', 1, encodeMovingPart(named)) as never, later)
    expect(head).toEqual(named)
  })
})

test('a text that is no moving part is none', () => {
  expect(decodeMovingPart('task-1', 1, JSON.stringify(plain))).toBeUndefined()
})

test('a value follows its part on a line of its own, up to 512 bytes of UTF-8', () => {
  expect(splitValue(withValue('[1]', '"a\\nb"'))).toEqual({ part: '[1]', value: '"a\\nb"' })
  expect(splitValue(withValue('[1]', undefined))).toEqual({ part: '[1]', value: undefined })
  expect(isStoredInline('x'.repeat(VALUE_INLINE_BYTES_MAX))).toBe(true)
  expect(isStoredInline('x'.repeat(VALUE_INLINE_BYTES_MAX + 1))).toBe(false)
  expect(isStoredInline('ä'.repeat(VALUE_INLINE_BYTES_MAX / 2))).toBe(true)
  expect(isStoredInline('ä'.repeat(VALUE_INLINE_BYTES_MAX / 2 + 1))).toBe(false)
})
