// Goal: a fork is made of exactly the answers up to its point, and every refusal says why.
// Method: a log by hand: a prefix, two segments, chains side by side; every point of it.
import { describe, expect, test } from 'vitest'
import type { Change } from '../../../../src/task/changes.js'
import type { CheckpointInfo } from '../../../../src/task/checkpoint.js'
import type { NewTask } from '../../../../src/task/decisions/create.js'
import { createTask } from '../../../../src/task/decisions/create.js'
import {
  checkForkPoint,
  type ForkSource,
  findPoint,
  forkTask,
  inBatches,
  isUndone,
  planFork,
  type RecordedPoint,
} from '../../../../src/task/decisions/fork.js'
import { firstInstantOf, type TaskHead } from '../../../../src/task/head.js'
import { findHole, type ReadRecord } from '../../../../src/task/log/log-sums.js'
import { encodeRecord, type LogRecord, withRecord } from '../../../../src/task/log/records.js'
import { emptySegment, PREFIX } from '../../../../src/task/log/segment.js'

const NOW = 1_000_000

const read = (record: LogRecord): ReadRecord => ({ record, text: encodeRecord(record) })
const base = (seq: number, segment: number, ask: number) => ({ seq, segment, ask, scope: '', after: seq - 1, at: NOW })
const step = (seq: number, segment: number, name: string, number = 1, ask = seq) =>
  read({ ...base(seq, segment, ask), kind: 'step', name, number, startedAt: NOW, attempts: 1, value: '1' })
const failed = (seq: number, segment: number, name: string) => {
  const error = { name: 'Error', message: 'no' }
  return read({ ...base(seq, segment, seq), kind: 'step', name, number: 1, startedAt: NOW, attempts: 1, failed: error })
}
const sleep = (seq: number, segment: number, name: string) =>
  read({ ...base(seq, segment, seq), kind: 'sleep', name, number: 1, startedAt: NOW, dueAt: NOW })
const saved = (seq: number, segment: number, opens: number, closed: ReadRecord[]) => {
  const closes = closed.reduce((sum, { text }) => withRecord(sum, text), emptySegment(segment))
  return read({ ...base(seq, segment, seq), kind: 'checkpoint', checkpointId: `cp-${opens}`, opens, closes })
}
const infoOf = (opens: number, completedSteps: number): CheckpointInfo => ({
  checkpointId: `cp-${opens}`,
  taskId: 'task-1',
  savedBy: 'body',
  seq: opens * 10,
  createdAt: NOW,
  completedSteps,
  opens,
  stateBytes: 1,
})

const prefix = [step(0, PREFIX, 'plan')]
const zero = [step(1, 0, 'load'), step(2, 0, 'load', 2), failed(3, 0, 'notify')]
const first = saved(4, 0, 1, zero)
const one = [first, step(5, 1, 'load'), sleep(6, 1, 'nap')]
const second = saved(7, 1, 2, one)
const two = [second, step(8, 2, 'b', 1, 1), step(9, 2, 'a', 1, 0)]
const log = [...prefix, ...zero, ...one, ...two]

const about: NewTask = {
  taskId: 'task-1',
  seed: 'seed',
  type: 'job',
  kind: 'body',
  durability: 'synced',
  startNow: false,
  by: 'admin',
}
const head: TaskHead = { ...createTask(about, NOW).head, keptFrom: 0, startedAt: NOW + 1 }
const source: ForkSource = {
  head,
  log,
  checkpoints: [infoOf(1, 3), infoOf(2, 4)],
  patches: new Map(),
  undone: new Set(),
}

describe('the point', () => {
  test.each([
    [{ checkpointId: 'cp-1' }, 4],
    [{ afterStep: 'load' }, 5],
    [{ afterStep: 'plan' }, 0],
    [{ afterStep: 'nap' }, 6],
    [{ afterStep: { name: 'load', segment: 0 } }, 2],
    [{ afterStep: { name: 'load', number: 1, segment: 0 } }, 1],
    [{ afterStep: { name: 'load', number: 2 } }, 2],
    [{ afterStep: { name: 'plan', segment: 'prefix' } }, 0],
    [{ checkpointId: 'cp-9' }, undefined],
    [{ afterStep: 'cp-1' }, undefined],
    [{ afterStep: { name: 'plan', segment: 0 } }, undefined],
    [{ afterStep: { name: 'plan', number: 2 } }, undefined],
  ] as const)('%j is record %j', (point, seq) => {
    expect(findPoint(log, checkForkPoint(point) as RecordedPoint)?.seq).toBe(seq)
  })

  test.each([
    [undefined, /\{ checkpointId \}, \{ afterStep \} or \{ from: 'start' \}, got undefined/],
    [null, /got null/],
    ['load', /got 'load' \(string\)/],
    [{}, /got \{ {2}\}/],
    [{ checkpointId: 'cp-1', afterStep: 'load' }, /got \{ checkpointId, afterStep \}/],
    [{ checkpointId: 5 }, /`checkpointId` to be a string, got 5/],
    [{ afterStep: 5 }, /`afterStep` to be a step’s name, or \{ name, number\?, segment\? \}, got 5/],
    [{ afterStep: null }, /`afterStep` to be .* got null/],
    [{ afterStep: {} }, /`afterStep.name` to be a string, got undefined/],
    [{ afterStep: { name: 'a', number: 0 } }, /`afterStep.number` to be an integer >= 1, got 0/],
    [{ afterStep: { name: 'a', number: 1.5 } }, /got 1.5/],
    [{ afterStep: { name: 'a', number: '1' } }, /got '1' \(string\)/],
    [{ afterStep: { name: 'a', segment: -1 } }, /`afterStep.segment` to be 'prefix' or an integer >= 0, got -1/],
    [{ afterStep: { name: 'a', segment: Number.POSITIVE_INFINITY } }, /got Infinity/],
    [{ afterStep: { name: 'a', numbr: 2 } }, /Unknown option `afterStep.numbr`; there are name, number, segment/],
    [{ checkpoint: 'cp-1' }, /Unknown option `point.checkpoint`; there are checkpointId, afterStep/],
    [{ afterStep: { name: 'a', segment: 'suffix' } }, /got 'suffix' \(string\)/],
  ])('%j is refused', (point, message) => {
    expect(() => checkForkPoint(point)).toThrow(TypeError)
    expect(() => checkForkPoint(point)).toThrow(message)
  })
})

describe('a plan', () => {
  test.each(log.map(({ record }) => [record.seq, record] as const))('after record %i has no hole', (seq, record) => {
    const plan = planFork(source, record)
    expect(plan.records.map((kept) => kept.record.seq)).toEqual(log.slice(0, seq + 1).map((kept) => kept.record.seq))
    expect(findHole({ ...head, ...plan.log }, plan.records)).toBeUndefined()
    expect(plan.log).toMatchObject({ nextRecord: seq + 1, records: seq + 1, keptFrom: 0 })
  })

  test('counts the steps up to there, and numbers its commits above its checkpoints', () => {
    const counts = log.map(({ record }) => planFork(source, record).log.completedSteps)
    expect(counts).toEqual([1, 2, 3, 3, 3, 4, 4, 4, 5, 6])
    expect(planFork(source, log[3]?.record as LogRecord).log).toMatchObject({ seq: 1, checkpoints: { body: 0 } })
    const last = planFork(source, log[9]?.record as LogRecord)
    expect(last.log).toMatchObject({ seq: 21, checkpoints: { body: 2, client: 0 } })
    expect(last.checkpoints).toHaveLength(2)
  })

  test('of a pruned log keeps its first segment, and none where only the prefix is copied', () => {
    const kept = { ...source, head: { ...head, keptFrom: 1 }, log: [...prefix, ...one, ...two] }
    const late = planFork(kept, log[5]?.record as LogRecord)
    expect(late.log).toMatchObject({ keptFrom: 1, records: 3, completedSteps: 4 })
    expect(findHole({ ...head, ...late.log }, late.records)).toBeUndefined()
    expect(planFork(kept, log[0]?.record as LogRecord).log).toMatchObject({ keptFrom: 0, records: 1 })
  })

  test('says the point as people read it', () => {
    const described = [0, 2, 4].map((at) => planFork(source, log[at]?.record as LogRecord).described)
    expect(described).toEqual(["step 'plan' of the prefix", "step 'load' (number 2) of segment 0", 'checkpoint cp-1'])
  })

  test('takes what `patched` said before the point', () => {
    const patches = new Map([[0, new Map([['x', { isPatched: true, after: 0 }]])]])
    const planAt = (at: number) => planFork({ ...source, patches }, log[at]?.record as LogRecord)
    expect(planAt(0)).toMatchObject({ patches: [], log: { hasPatches: undefined } })
    expect(planAt(1)).toMatchObject({ patches: [{ kind: 'patches', segment: 0 }], log: { hasPatches: true } })
  })

  test('is refused where the state that a restore would need is dropped', () => {
    const dropped = { ...source, checkpoints: [infoOf(2, 4)] }
    expect(() => planFork(dropped, log[5]?.record as LogRecord)).toThrow(
      expect.objectContaining({ code: 'CHECKPOINT_PRUNED', message: expect.stringContaining('cp-1') }),
    )
    expect(planFork(dropped, log[8]?.record as LogRecord).checkpoints).toHaveLength(1)
  })

  test('is refused after a step that was undone', () => {
    const undone = new Set([2])
    const refused = expect.objectContaining({
      code: 'STEP_UNDONE',
      message: expect.stringContaining("step 'load' (number 2) of segment 0 is before it"),
    })
    for (const at of [2, 5]) {
      expect(() => planFork({ ...source, undone }, log[at]?.record as LogRecord)).toThrow(refused)
    }
    expect(planFork({ ...source, undone }, log[1]?.record as LogRecord).at).toBe(1)
  })
})

test('a record is undone if its number is among those that were', () => {
  expect(isUndone(log, new Set([99]))).toBeUndefined()
  expect(isUndone(log, new Set([5, 2]))?.seq).toBe(2)
  expect(isUndone([], new Set([2]))).toBeUndefined()
})

test('a fork takes up what its copies take up, a state only where that is kept', () => {
  const bytesOf = (checkpoints: CheckpointInfo[]) => {
    const plan = planFork({ ...source, checkpoints }, log[9]?.record as LogRecord)
    const { bytes } = forkTask({ ...about, taskId: 'task-2', inputText: '1' }, plan, NOW + 9, NOW + 5).head
    return bytes?.kept ?? 0
  }
  const withStates = (stateBytes: number) => bytesOf(source.checkpoints.map((info) => ({ ...info, stateBytes })))
  expect(withStates(1_001) - withStates(1)).toBe(2 * 1_000)
  expect(bytesOf([infoOf(2, 4)])).toBeLessThan(withStates(1))
})

test('a fork is a new task with an old log, and both tasks’ audits say so', () => {
  const plan = planFork(source, log[2]?.record as LogRecord)
  const forkedFrom = { taskId: 'task-1', at: 2, startedAt: firstInstantOf(head) }
  const { head: made, changes } = forkTask(
    { ...about, taskId: 'task-2', inputText: '1', forkedFrom },
    plan,
    NOW + 9,
    NOW + 5,
  )
  expect(made).toMatchObject({
    taskId: 'task-2',
    status: 'pending',
    createdAt: NOW + 5,
    run: 0,
    forkedFrom,
    records: 3,
  })
  expect(firstInstantOf(made)).toBe(NOW + 1)
  expect(firstInstantOf({ ...head, startedAt: undefined })).toBe(NOW)
  expect(changes.filter(({ kind }) => kind === 'head')).toEqual([{ kind: 'head', head: made }])
  expect(changes.map(({ kind }) => kind)).toEqual(['head', 'task', 'audit', 'audit', 'audit', 'sweep-orphan'])
  const audits = changes.flatMap((change) => (change.kind === 'audit' ? change : []))
  expect(audits.map(({ taskId, entry }) => [taskId, entry.action, entry.why])).toEqual([
    [undefined, 'created', undefined],
    [undefined, 'forked', "from task-1, after step 'load' (number 2) of segment 0"],
    ['task-1', 'forked', "task-2, after step 'load' (number 2) of segment 0"],
  ])
})

test('batches are bounded in number and in size', () => {
  const record = (seq: number, text: string): Change => ({ kind: 'record', segment: 0, seq, text })
  const sizes = (changes: Change[]) => inBatches(changes, { count: 3, bytes: 10 }).map((batch) => batch.length)
  expect(sizes([])).toEqual([])
  expect(sizes(Array.from({ length: 7 }, (_, seq) => record(seq, 'x')))).toEqual([3, 3, 1])
  expect(sizes([record(0, 'x'.repeat(8)), record(1, 'x'.repeat(8)), record(2, 'x')])).toEqual([1, 2])
  expect(sizes([record(0, 'x'), record(1, 'x'.repeat(80)), record(2, 'x')])).toEqual([1, 1, 1])
  expect(
    sizes([
      { kind: 'sweep-orphan', at: 1, isDone: true },
      { kind: 'patches', segment: 1, text: '' },
    ]),
  ).toEqual([2])
})
