// Goal: telemetry that throws, or does not do what it promises, disturbs no task, and the log has one line for each function.
// Method: one function of a telemetry throws at a time, while a task with every kind of span runs.
import { defineTask, type Telemetry, type TelemetrySpan } from 'holdfast'
import { ManualClock, openInMemory, untilIdle } from 'holdfast/testing'
import { describe, expect, test } from 'vitest'

const quiet = () => {}
const plainSpan: TelemetrySpan = { trace: undefined, within: (act) => act(), end: quiet }
const plain: Telemetry = { begin: () => plainSpan, record: quiet, observe: () => quiet }
const fail = (): never => {
  throw new Error('secret-5e2f')
}

const child = defineTask({ name: 'child' }, () => 'child')
const all = defineTask({ name: 'all' }, async (task, input: number) => {
  const restored = await task.restoreCheckpoint<number>()
  if (!restored) await task.saveCheckpoint(1)
  const values = [await task.step('a', () => input), await task.child(child, undefined)]
  await task.step('retried', ({ attempt }) => (attempt === 1 ? fail() : attempt), {
    retry: { maximumAttempts: 2, initialInterval: 1 },
  })
  await task.sleep('nap', '1h')
  return values
})

/** Runs the task, and returns its result and the lines of the log. */
async function play(telemetry: Telemetry): Promise<{ result: unknown; lines: unknown[] }> {
  const lines: unknown[] = []
  const warn = (message: string, fields?: object) => void lines.push([message, fields])
  const clock = new ManualClock()
  const logger = { debug: quiet, info: quiet, warn, error: warn }
  const holdfast = await openInMemory({ clock, tasks: [all, child], logger, telemetry })
  const { taskId } = await holdfast.start(all, 7)
  for (let n = 0; n < 3; n++) {
    await untilIdle(holdfast)
    await clock.advance(3_600_000)
  }
  const result = await holdfast.result(taskId)
  await holdfast.close()
  return { result, lines }
}

describe('a telemetry', () => {
  test.each<[string, string, Telemetry]>([
    ['begin', 'begin', { ...plain, begin: fail }],
    ['record', 'record', { ...plain, record: fail }],
    ['observe', 'observe', { ...plain, observe: fail }],
    ['the end of observe', 'observe', { ...plain, observe: () => fail }],
    ['within, before the call', 'within', { ...plain, begin: () => ({ ...plainSpan, within: fail }) }],
    [
      'within, after the call',
      'within',
      {
        ...plain,
        begin: () => ({
          ...plainSpan,
          within: (act) => {
            act()
            return fail()
          },
        }),
      },
    ],
    ['end', 'end', { ...plain, begin: () => ({ ...plainSpan, end: fail }) }],
  ])('that throws in %s disturbs no task, and has one line', async (_, name, telemetry) => {
    const { result, lines } = await play(telemetry)
    expect(result).toEqual([7, 'child'])
    expect(lines).toEqual([
      [
        'Telemetry failed, so spans or metrics are missing. Tasks are not affected. Fix the function of `telemetry`; further failures of it are not logged.',
        { function: name, error: expect.not.stringContaining('secret') },
      ],
    ])
  })

  test('that calls the function of a span twice, or never, does not change how often it runs', async () => {
    const twice: TelemetrySpan = {
      ...plainSpan,
      within: (act) => {
        act()
        return act()
      },
    }
    const never = { ...plainSpan, within: () => undefined } as unknown as TelemetrySpan
    for (const span of [twice, never]) {
      expect(await play({ ...plain, begin: () => span })).toEqual({ result: [7, 'child'], lines: [] })
    }
  })

  test('whose span has no valid trace stores none with the task', async () => {
    const odd = { ...plainSpan, trace: { traceparent: 'x'.repeat(10_000) } }
    expect(await play({ ...plain, begin: () => odd })).toEqual({ result: [7, 'child'], lines: [] })
  })

  test('that lacks a function is refused before the store is opened', async () => {
    const telemetry = { begin: quiet } as unknown as Telemetry
    await expect(openInMemory({ telemetry })).rejects.toThrow(
      'Expected `telemetry` to be an object with the functions begin, record, observe, got an object',
    )
  })
})
