// Goal: what a task's limits are made of: priority, concurrency, the options of an isolated step, an error's figures.
import { describe, expect, test } from 'vitest'
import { HoldfastError } from '../../../../src/base/errors.js'
import { createTask, type NewTask } from '../../../../src/task/decisions/create.js'
import { defineTask } from '../../../../src/task/definition/definition.js'
import { checkIsolated } from '../../../../src/task/definition/isolated-options.js'
import { describeError, reviveError, stepFailure } from '../../../../src/task/log/outcome.js'

const about: NewTask = {
  taskId: 'task-1',
  seed: 'seed',
  type: 'import',
  kind: 'body',
  durability: 'synced',
  startNow: false,
  by: 'admin',
}

describe('a new task', () => {
  test.each([
    [undefined, undefined],
    [0, undefined],
    [-100, -100],
    [5, 5],
  ])('of priority %j keeps %j', (priority, kept) => {
    expect(createTask({ ...about, priority }, 0).head.priority).toBe(kept)
  })
})

test.each([undefined, 1, 50])('a definition keeps its concurrency of %j', (concurrency) => {
  expect(defineTask({ name: 'a', ...(concurrency ? { concurrency } : {}) }, () => 1).concurrency).toBe(concurrency)
})

test.each([0, -1, 0.5, Number.NaN, '3'])('a definition with a concurrency of %j is refused', (concurrency) => {
  expect(() => defineTask({ name: 'a', concurrency: concurrency as never }, () => 1)).toThrow(/`concurrency`/)
})

describe('the options of an isolated step', () => {
  test('have defaults', () => {
    expect(checkIsolated({})).toEqual({ memoryMb: 512, cpuMs: undefined, exportName: 'default' })
    expect(checkIsolated({ memoryMb: 128, cpuMs: 1, export: 'work' })).toEqual({
      memoryMb: 128,
      cpuMs: 1,
      exportName: 'work',
    })
  })

  test.each([
    [null, /options of `task.isolated`/],
    [5, /options of `task.isolated`/],
    [{ memoryMb: 127 }, /`memoryMb`/],
    [{ cpuMs: 0 }, /`cpuMs`/],
    [{ export: '' }, /`export`/],
    [{ export: 5 }, /`export`/],
  ])('that are %j are refused', (options, message) => {
    expect(() => checkIsolated(options as never)).toThrow(message)
  })
})

describe('the figures of the library’s own error', () => {
  const trip = (error: unknown) => reviveError(JSON.parse(JSON.stringify(describeError(error))))

  test('come back from the disk: numbers, truth values and short texts', () => {
    const details = { limit: 5, exact: true, option: 'x', long: 'x'.repeat(201), nested: { a: 1 }, none: undefined }
    expect(trip(new HoldfastError('LIMIT_EXCEEDED', 'full', { details }))).toMatchObject({
      details: { limit: 5, exact: true, option: 'x' },
    })
    expect(trip(new HoldfastError('LIMIT_EXCEEDED', 'full', { details: { nested: {} } }))).toMatchObject({
      details: {},
    })
    expect(trip(new Error('theirs'))).not.toHaveProperty('details')
  })

  test('of a failed step are its cause’s', () => {
    const cause = describeError(new HoldfastError('RESOURCE_EXCEEDED', 'full', { details: { limit: 5 } }))
    const described = describeError(stepFailure('work', 3, cause))
    expect(described).not.toHaveProperty('details')
    expect(described.cause).toMatchObject({ details: { limit: 5 } })
  })
})
