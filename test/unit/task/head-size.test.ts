// Goal: a live head stays under its 2 KiB, whatever comes.
// Method: a head is born as long as it may be, then everything in it that can grow is as long as it can get. A field that
// is added to `TaskHead` doesn't compile until it is here.
import { describe, expect, test } from 'vitest'
import { ERROR_CODES, type ErrorCode } from '../../../src/base/errors.js'
import { ATTRIBUTE_BYTES_MAX, ATTRIBUTES_MAX, checkAttributes } from '../../../src/task/attributes.js'
import { createTask, type NewTask } from '../../../src/task/decisions/create.js'
import { transition } from '../../../src/task/decisions/transition.js'
import {
  FIXED_PART_BYTES_MAX,
  HEAD_BYTES_MAX,
  isLive,
  NEVER,
  PARKED_REASON_BYTES_MAX,
  PROGRESS_MESSAGE_BYTES_MAX,
  type TaskHead,
} from '../../../src/task/head.js'
import { encodeFixedPart, encodeMovingPart, limitedBytes } from '../../../src/task/head-codec.js'
import { PREFIX } from '../../../src/task/log/segment.js'
import { newTask } from '../../helpers/build-log.js'

const bytesOf = (head: TaskHead) => limitedBytes(head, encodeMovingPart(head))

/** More than a task can commit in three years at 10,000 a second. */
const COUNT = 999_999_999_999
const SUM = 2 ** 32 - 1
const DONE = -Number.MAX_VALUE // 24 characters: no number has more

/** What is said at birth, and never again. */
type Born =
  | 'taskId'
  | 'type'
  | 'kind'
  | 'version'
  | 'owner'
  | 'durability'
  | 'createdAt'
  | 'ttlMs'
  | 'deadlineAt'
  | 'idempotencyKey'
  | 'title'
  | 'attributes'
  | 'hasInput'
  | 'seed'
  | 'parentId'
  | 'depth'
  | 'priority'
  | 'forkedFrom'
  | 'trace'
/** What comes with the end. */
type Ended = 'sweeping' | 'settledAt' | 'cleanUp' | 'cleanUpReason' | 'stoppedBy' | 'error'

const GROWN: Required<Omit<TaskHead, Born | Ended | 'parked' | 'begun' | 'triedWith' | 'laterFields'>> = {
  // Quotes take two bytes each in JSON.
  changedAttributes: checkAttributes(
    Object.fromEntries(
      Array.from({ length: ATTRIBUTES_MAX }, (_, n) => [`${n}`.padEnd(ATTRIBUTE_BYTES_MAX, '"'), '"'.repeat(64)]),
    ),
  ) as TaskHead['attributes'],
  status: 'input_required',
  updatedAt: NEVER,
  startedAt: NEVER,
  timeoutAt: NEVER,
  run: COUNT,
  attempt: COUNT,
  wakeAt: NEVER,
  seq: COUNT,
  nextRecord: COUNT,
  prefix: { segment: PREFIX, count: COUNT, sum: SUM },
  open: { segment: COUNT, count: COUNT, sum: SUM },
  keptFrom: COUNT,
  records: COUNT,
  completedSteps: COUNT,
  checkpoints: { body: COUNT, client: COUNT },
  progress: { done: DONE, total: DONE, message: 'é'.repeat(PROGRESS_MESSAGE_BYTES_MAX / 2) },
  hasStepStates: true,
  intents: COUNT,
  inputs: COUNT,
  inputsAsked: COUNT,
  messagesSent: COUNT,
  messages: COUNT,
  messageKeys: COUNT,
  listens: true,
  attemptsBefore: COUNT,
  wantsAttempt: true,
  hasNews: true,
  children: COUNT,
  hasPatches: true,
  hasDropped: true,
  life: COUNT,
  deaths: 9_999,
  bytes: { kept: COUNT, prunable: COUNT },
}

/** As long as it is let in: every byte that the names may take is taken. Nothing is counted yet, and the clock began. */
function born(): TaskHead {
  const birth = (more: Partial<NewTask>) =>
    createTask(
      newTask({
        startNow: false,
        deadlineAt: NEVER,
        ttlMs: NEVER,
        parentId: 'p'.repeat(41),
        depth: 9,
        priority: -100,
        ...more,
      }),
      0,
    ).head
  const free = FIXED_PART_BYTES_MAX - Buffer.byteLength(encodeFixedPart(birth({ owner: '' })))
  expect(() => birth({ owner: 'o'.repeat(free + 1) })).toThrow(expect.objectContaining({ code: 'TOO_LARGE' }))
  // A trace of any span fits besides, so that no task is refused for its span.
  const trace = { traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01` }
  expect(birth({ owner: 'o'.repeat(free), trace }).trace).toEqual(trace)
  expect(() => birth({ owner: 'o'.repeat(free + 1), trace })).toThrow(expect.objectContaining({ code: 'TOO_LARGE' }))
  return birth({ owner: 'o'.repeat(free) })
}

const longest = (Object.keys(ERROR_CODES) as ErrorCode[]).reduce((a, b) => (b.length > a.length ? b : a))
const LONG = '語"'.repeat(5_000)
const PARKED = { code: 'TASK_TYPE_UNKNOWN', reason: LONG } as const
const park = (head: TaskHead) => transition(head, { kind: 'park', parked: PARKED }, NEVER).head
const changed = { code: 'CODE_CHANGED', reason: LONG } as const
const parkChanged = (head: TaskHead) =>
  transition(head, { kind: 'park', parked: changed, triedWith: 'm'.repeat(12) }, NEVER).head
const fail = (head: TaskHead) => {
  const error = { name: LONG, message: LONG, code: longest, ours: true } as const
  return transition(
    head,
    { kind: 'settle', outcome: { kind: 'error', error }, by: 'engine', retentionMs: 1, stoppedBy: 'deadline' },
    NEVER,
  ).head
}

describe('the longest head', () => {
  const head: TaskHead = { ...born(), ...GROWN }

  test('of a task that runs, or waits, fits', () => {
    expect(bytesOf(head)).toBeLessThanOrEqual(HEAD_BYTES_MAX)
  })

  test('of a task that is parked fits, and still says why', () => {
    for (const parked of [park(head), parkChanged(head)]) {
      expect(bytesOf(parked)).toBeLessThanOrEqual(HEAD_BYTES_MAX)
      expect(parked.parked?.reason).toMatch(/^(語"){4}/)
    }
  })

  test('of a task that failed and is not cleaned up fits, parked or not, and says its code', () => {
    const failed = fail(head)
    expect(isLive(failed)).toBe(true)
    expect(bytesOf(failed)).toBeLessThanOrEqual(HEAD_BYTES_MAX)
    expect(failed.error?.code).toBe(longest)
    expect(bytesOf(park(failed))).toBeLessThanOrEqual(HEAD_BYTES_MAX)
  })

  test('fits also when what can be counted while it is parked is counted after that', () => {
    const { seq, updatedAt, messages, messagesSent, checkpoints, hasNews } = GROWN
    const early: TaskHead = { ...head, seq: 1, updatedAt: 1e12, messages: undefined, messagesSent: undefined }
    const parked = park({ ...early, hasNews: undefined, checkpoints: { ...checkpoints, client: 0 } })
    const later = { ...parked, seq, updatedAt, messages, messagesSent, checkpoints, hasNews }
    expect(bytesOf(later)).toBeLessThanOrEqual(HEAD_BYTES_MAX)
  })
})

test('texts that explain are cut by their own limits as long as the names are of a usual length', () => {
  const usual = createTask(newTask({ owner: 'alice@example.com', startNow: true }), 1.8e12).head
  const head: TaskHead = { ...usual, ...GROWN, intents: 1 }
  const plain = (text: string) => Buffer.byteLength(JSON.stringify(text)) - 2
  expect(plain(park(head).parked?.reason as string)).toBeGreaterThan(PARKED_REASON_BYTES_MAX * 0.9)
  expect(plain(fail({ ...usual, intents: 1 }).error?.message as string)).toBeGreaterThan(360)
})
