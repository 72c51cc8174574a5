// Goal: the stored report of a recovery has a bounded size, and names first what an operator has to look at.
// Method: results made up by hand, up to 10,000 of them with the longest names.
import { expect, test } from 'vitest'
import {
  decodeLastRecovery,
  LAST_RECOVERY_TASKS_MAX,
  type LastRecoveredTask,
  lastRecoveryOf,
  type RecoveryAction,
} from '../../../src/task/last-recovery.js'

const times = { startedAt: 1, finishedAt: 2, found: 3 }
const result = (action: RecoveryAction, taskId: string): LastRecoveredTask => ({ taskId, type: 'import', action })

test('damaged tasks come first, then parked ones, then the others', () => {
  const results = [result('resumed', 'a'), result('parked', 'b'), result('waiting', 'c'), result('damaged', 'd')]
  const report = lastRecoveryOf(times, [...results, result('parked', 'e')])
  expect(report.tasks.map(({ taskId }) => taskId)).toEqual(['d', 'b', 'e', 'a', 'c'])
  expect(report.counts).toEqual({ resumed: 1, parked: 2, waiting: 1, damaged: 1 })
})

test('of 10,000 tasks with the longest texts it names 100, and takes at most 100 KB', () => {
  const results = Array.from({ length: 10_000 }, (_, n): LastRecoveredTask => {
    const action = n === 9_999 ? 'damaged' : n > 9_900 ? 'parked' : 'resumed'
    return { taskId: `task-${n}`, type: '"'.repeat(128), action, reason: 'ü"'.repeat(1_000) }
  })
  const report = lastRecoveryOf({ ...times, found: 9_999 }, results)
  expect(report.counts).toEqual({ resumed: 9_901, parked: 98, damaged: 1 })
  expect(report.tasks).toHaveLength(LAST_RECOVERY_TASKS_MAX)
  expect(report.tasks[0]).toMatchObject({ taskId: 'task-9999', action: 'damaged' })
  expect(report.tasks.filter(({ action }) => action === 'parked')).toHaveLength(98)
  const text = JSON.stringify(report)
  expect(Buffer.byteLength(text)).toBeLessThan(100_000)
  expect(decodeLastRecovery(text)).toEqual(report)
})

test('a text that is no such report is refused', () => {
  const report = lastRecoveryOf(times, [result('kept', 'a')])
  expect(decodeLastRecovery(JSON.stringify(report))).toEqual(report)
  expect(() => decodeLastRecovery(JSON.stringify({ ...report, tasks: [] }))).toThrow('0 tasks of 1')
  expect(() => decodeLastRecovery('{}')).toThrow()
})
