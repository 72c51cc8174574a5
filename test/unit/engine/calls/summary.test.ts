// Goal: the summary of a step is recorded with its result, is shown wherever the log is, and never fails a step.
// Method: tasks in memory, whose records are read through `steps` and on the disk. A logger keeps the lines.
import { describe, expect, test } from 'vitest'
import { defineTask, type StepOptions, type TaskContext } from '../../../../src/index.js'
import { MemoryDisk, openInMemory } from '../../../../src/testing/index.js'

interface Order {
  readonly id: string
  readonly at: Date
}

/** Runs one step with an option `summary`, and returns its entry, its record and the lines of the log. */
async function played(
  summary: StepOptions<never>['summary'],
  more: object = {},
  fn: () => unknown = () => ({ id: 'a' }),
) {
  const disk = new MemoryDisk()
  const lines: unknown[][] = []
  const line = (...parts: unknown[]) => void lines.push(parts)
  const logger = { debug: line, info: line, warn: line, error: line }
  let calls = 0
  const counted = () => {
    calls++
    return fn()
  }
  const task = defineTask({ name: 'orders' }, (task: TaskContext) =>
    task.step('order', counted, { ...more, summary } as StepOptions).catch(() => 'failed'),
  )
  const holdfast = await openInMemory({ disk, logger, tasks: [task] })
  const { taskId } = await holdfast.start(task, undefined)
  const result = await holdfast.result(taskId)
  const [{ steps } = { steps: [] }] = await holdfast.steps(taskId)
  const again = await openAgain()
  const record = [...disk.content].find(([key]) => key.startsWith(`log/${taskId}/`))?.[1] ?? ''
  return { step: steps[0], again, record, lines: JSON.stringify(lines), result, calls }

  async function openAgain() {
    await holdfast.close()
    const second = await openInMemory({ disk, tasks: [task] })
    const [segment] = await second.steps(taskId)
    await second.close()
    return segment?.steps[0]
  }
}

describe('the summary of a step', () => {
  test('is a text, or is made of the result as the body receives it', async () => {
    const { step, again, lines } = await played('Orders the goods')
    expect(step).toMatchObject({ state: 'completed', summary: 'Orders the goods' })
    expect(again).toEqual(step)
    expect(lines).not.toContain('Orders the goods')

    const made = await played(
      (order: { id: string; at: string }) => `${order.id} at ${order.at}`,
      {},
      (): Order => ({ id: 'a', at: new Date(0) }),
    )
    expect(made.step?.summary).toBe('a at 1970-01-01T00:00:00.000Z')
    expect(made.lines).not.toContain('a at')
  })

  test('is there for a deferred step, and not for a step without the option', async () => {
    expect((await played('later', { commit: 'deferred' })).step?.summary).toBe('later')
    const { step, record } = await played(undefined)
    expect(step?.summary).toBeUndefined()
    expect(record).not.toContain('summary')
  })

  test('of a step that failed is the text that was given, and no function is called for it', async () => {
    const fails = () => {
      throw new Error('sold out')
    }
    expect((await played('Orders the goods', {}, fails)).step).toMatchObject({
      state: 'failed',
      summary: 'Orders the goods',
    })
    let calls = 0
    const { step } = await played(() => `call ${++calls}`, {}, fails)
    expect(step).toMatchObject({ state: 'failed', summary: undefined })
    expect(calls).toBe(0)
  })

  test('is cut to 256 bytes, without control characters', async () => {
    const { step } = await played(`a\u001b[2J\n${'ü'.repeat(300)}`)
    expect(step?.summary).toMatch(/^a \[2J ü+$/)
    expect(Buffer.byteLength(step?.summary ?? '')).toBeLessThanOrEqual(256)
  })

  test.each<[string, () => unknown]>([
    ['throws', () => JSON.parse('secret')],
    ['returns no text', () => Promise.resolve('late')],
  ])('is left out if its function %s, with one line that has no message of the author', async (_, summary) => {
    const { step, lines, result, calls } = await played(summary as () => string)
    expect(step).toMatchObject({ state: 'completed', summary: undefined })
    expect(result).toEqual({ id: 'a' })
    expect(calls).toBe(1)
    expect(lines).toContain('A step has no summary: its function threw, or returned no text.')
    expect(lines).not.toContain('secret')
  })
})

test('the result of the function of a step gives the type of the argument', () => {
  defineTask({ name: 'typed' }, async (task: TaskContext) => {
    await task.step('order', (): Order => ({ id: 'a', at: new Date() }), {
      summary: ({ id, at }) => id + at.slice(0, 4),
    })
    // @ts-expect-error the result has no field `name`
    await task.step('order', (): Order => ({ id: 'a', at: new Date() }), { summary: ({ name }) => name })
    const options: StepOptions = { summary: 'Orders' }
    await task.step('order', ({ attempt }) => attempt, options)
    await task.isolated<{ rows: number }>('count', '/work.js', null, { summary: ({ rows }) => `${rows} rows` })
  })
})
