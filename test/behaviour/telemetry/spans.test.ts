// Goal: the spans of tasks have the names, parents, links and attributes of docs/operations/telemetry.md, and no values.
// Method: a real SDK with an exporter in memory. Secrets in inputs, results, states and messages are searched for in every span.
import { context, SpanStatusCode, trace } from '@opentelemetry/api'
import type { ReadableSpan } from '@opentelemetry/sdk-trace-base'
import { defineTask, HoldfastError } from 'holdfast'
import { ManualClock, MemoryDisk, openInMemory, untilIdle } from 'holdfast/testing'
import { describe, expect, test } from 'vitest'
import { TestSdk } from '../../helpers/telemetry.js'

const SECRET = 'secret-5e2f'
const traceOf = (span: ReadableSpan) => span.spanContext().traceId
const linked = (span: ReadableSpan) => span.links.map(({ context: { spanId } }) => spanId)
const idOf = (span: ReadableSpan) => span.spanContext().spanId

const work = defineTask({ name: 'work' }, async (task, input: { readonly secret: string }) => {
  await task.step('load', () => ({ secret: input.secret }))
  await task.step(
    'send',
    ({ attempt }) => {
      if (attempt === 1) throw Object.assign(new Error(`no ${SECRET}`), { code: 'ECONNRESET' })
      return SECRET
    },
    { retry: { maximumAttempts: 2, initialInterval: 1 } },
  )
  return { secret: SECRET }
})

describe('a task', () => {
  test('has one span for its creation, its run, each attempt of a step, each change of status and its end', async () => {
    const sdk = new TestSdk()
    const holdfast = await openInMemory({ tasks: [work], telemetry: sdk.telemetry })
    const { taskId } = await sdk.tracer.startActiveSpan('caller', async (span) => {
      const started = await holdfast.start(work, { secret: SECRET }, { owner: 'ann' })
      span.end()
      return started
    })
    await holdfast.result(taskId)
    await holdfast.close()

    const create = sdk.one('task.create')
    expect(sdk.parentOf(create)?.name).toBe('caller')
    const task = { 'holdfast.task.id': taskId, 'holdfast.task.type': 'work', 'holdfast.task.owner': 'ann' }
    expect(create.attributes).toEqual({ ...task, 'holdfast.outcome': 'completed' })

    const run = sdk.one('holdfast.task.run')
    expect(run.parentSpanContext).toBeUndefined()
    expect(traceOf(run)).not.toBe(traceOf(create))
    expect(linked(run)).toEqual([idOf(create)])
    expect(run.attributes).toEqual({
      ...task,
      'holdfast.run.number': 1,
      'holdfast.run.attempt': 1,
      'holdfast.run.recovered': false,
      'holdfast.run.replayed_steps': 0,
      'holdfast.outcome': 'completed',
    })

    const steps = sdk.named('holdfast.step')
    expect(
      steps.map((step) => [step.attributes['holdfast.step.name'], step.attributes['holdfast.step.attempt']]),
    ).toEqual([
      ['load', 1],
      ['send', 1],
      ['send', 2],
    ])
    for (const step of steps) expect(sdk.parentOf(step)).toBe(run)
    expect(steps[1]?.attributes).toMatchObject({ 'holdfast.outcome': 'failed', 'error.type': 'ECONNRESET' })
    expect(steps.map(({ status }) => status.code === SpanStatusCode.ERROR)).toEqual([false, true, false])

    const [change] = sdk.named('task.status_change')
    expect(change?.attributes).toMatchObject({ 'holdfast.status.from': 'running', 'holdfast.status.to': 'completed' })
    expect(sdk.parentOf(change as ReadableSpan)).toBe(run)
    const complete = sdk.one('task.complete')
    expect(complete.attributes).toEqual({ ...task, 'holdfast.outcome': 'completed' })
    expect(sdk.parentOf(complete)).toBe(run)
  })

  test('has its title and its attributes on its spans but those of steps, as they are when a span begins', async () => {
    const sdk = new TestSdk()
    const marks = defineTask({ name: 'marks' }, async (task) => {
      await task.step('pack', () => 1)
      await task.setAttributes({ customer: null, packed: true })
    })
    const holdfast = await openInMemory({ tasks: [marks], telemetry: sdk.telemetry })
    const about = { title: 'Lamp for Ann', attributes: { customer: 'a-17', priority: 3 } }
    await holdfast.result((await holdfast.start(marks, undefined, about)).taskId)
    await holdfast.close()
    const shownBy = ({ attributes }: ReadableSpan) =>
      Object.fromEntries(Object.entries(attributes).filter(([name]) => /task\.(title|attribute)/.test(name)))
    const title = { 'holdfast.task.title': 'Lamp for Ann', 'holdfast.task.attribute.priority': 3 }
    const before = { ...title, 'holdfast.task.attribute.customer': 'a-17' }
    expect(shownBy(sdk.one('task.create'))).toEqual(before)
    expect(shownBy(sdk.one('holdfast.task.run'))).toEqual(before)
    expect(shownBy(sdk.one('holdfast.step'))).toEqual({})
    expect(shownBy(sdk.one('task.complete'))).toEqual({ ...title, 'holdfast.task.attribute.packed': true })
  })

  test('shows no value of an input, a result or a message in any span', async () => {
    const sdk = new TestSdk()
    const fails = defineTask({ name: 'fails' }, async (task, _: string) => {
      await task.saveCheckpoint({ secret: SECRET })
      await task.step('odd', () => {
        throw Object.assign(new Error(SECRET), { code: `a code with spaces: ${SECRET}`, name: `also ${SECRET}` })
      })
    })
    const holdfast = await openInMemory({ tasks: [work, fails], telemetry: sdk.telemetry })
    const ids = [await holdfast.start(work, { secret: SECRET }), await holdfast.start(fails, SECRET)]
    await Promise.allSettled(ids.map(({ taskId }) => holdfast.result(taskId)))
    await holdfast.close()
    const texts = sdk.spans.map(({ attributes, status, events }) => JSON.stringify([attributes, status, events]))
    expect(texts.filter((text) => text.includes(SECRET))).toEqual([])
    const odd = sdk.named('holdfast.step').find(({ attributes }) => attributes['holdfast.step.name'] === 'odd')
    expect(odd?.attributes['error.type']).toBe('Error')
    expect(JSON.stringify(await sdk.points())).not.toContain(SECRET)
  })

  test('that is cancelled interrupts its run and its step, and ends with outcome cancelled', async () => {
    const sdk = new TestSdk()
    const waits = defineTask({ name: 'waits' }, (task) =>
      task.step('wait', ({ signal }) => new Promise((_, reject) => signal.addEventListener('abort', reject))),
    )
    const holdfast = await openInMemory({ tasks: [waits], telemetry: sdk.telemetry })
    const { taskId } = await holdfast.start(waits, undefined)
    await untilIdle(holdfast)
    await holdfast.cancel(taskId)
    await holdfast.close()
    expect(sdk.one('holdfast.step').attributes['holdfast.outcome']).toBe('interrupted')
    expect(sdk.one('holdfast.task.run').attributes['holdfast.outcome']).toBe('interrupted')
    expect(sdk.one('task.complete').attributes['holdfast.outcome']).toBe('cancelled')
  })

  test('that is refused has a failed span of its creation, with the code', async () => {
    const sdk = new TestSdk()
    const disk = new MemoryDisk()
    const holdfast = await openInMemory({ disk, tasks: [work], telemetry: sdk.telemetry })
    const refused = holdfast.start(work, { secret: '' }, { owner: '"'.repeat(256), idempotencyKey: '"'.repeat(256) })
    await expect(refused).rejects.toMatchObject({ code: 'TOO_LARGE' })
    await holdfast.close()
    expect(sdk.one('task.create').attributes).toMatchObject({
      'holdfast.outcome': 'failed',
      'error.type': 'TOO_LARGE',
    })
  })
})

describe('a step', () => {
  test('is the active span in its function, and a span of the body around it is its parent', async () => {
    const sdk = new TestSdk()
    const seen = defineTask({ name: 'seen' }, (task) =>
      sdk.tracer.startActiveSpan('mine', async (mine) => {
        await task.step('call', async () => {
          await Promise.resolve()
          sdk.tracer.startSpan('client library').end()
        })
        mine.end()
      }),
    )
    const holdfast = await openInMemory({ tasks: [seen], telemetry: sdk.telemetry })
    await holdfast.result((await holdfast.start(seen, undefined)).taskId)
    await holdfast.close()
    const step = sdk.one('holdfast.step')
    expect(sdk.parentOf(sdk.one('client library'))).toBe(step)
    expect(sdk.parentOf(step)).toBe(sdk.one('mine'))
    expect(sdk.parentOf(sdk.one('mine'))).toBe(sdk.one('holdfast.task.run'))
  })

  test('that passes its timeout ends then with STEP_TIMEOUT', async () => {
    const sdk = new TestSdk()
    const clock = new ManualClock()
    const slow = defineTask({ name: 'slow' }, (task) =>
      task.step('slow', () => new Promise(() => {}), { timeout: '1s' }),
    )
    const holdfast = await openInMemory({ clock, tasks: [slow], telemetry: sdk.telemetry })
    const { taskId } = await holdfast.start(slow, undefined)
    await untilIdle(holdfast)
    await clock.advance(1_000)
    await expect(holdfast.result(taskId)).rejects.toThrow()
    expect(sdk.one('holdfast.step').attributes).toMatchObject({
      'holdfast.outcome': 'failed',
      'error.type': 'STEP_TIMEOUT',
    })
    await holdfast.close({ grace: 0 })
  })

  test('that returns an object whose work begins with each `await` is awaited once', async () => {
    const sdk = new TestSdk()
    let queries = 0
    const query = {
      // biome-ignore lint/suspicious/noThenProperty: an object of a query builder
      then(resolve: (rows: number) => void) {
        queries++
        resolve(7)
      },
    }
    const asks = defineTask({ name: 'asks' }, (task) => task.step('ask', () => query as unknown as Promise<number>))
    const holdfast = await openInMemory({ tasks: [asks], telemetry: sdk.telemetry })
    expect(await holdfast.result((await holdfast.start(asks, undefined)).taskId)).toBe(7)
    await holdfast.close()
    expect(queries).toBe(1)
  })

  test('whose result cannot be stored failed', async () => {
    const sdk = new TestSdk()
    const odd = defineTask({ name: 'odd' }, (task) => task.step('odd', () => ({ big: 1n }) as never))
    const holdfast = await openInMemory({ tasks: [odd], telemetry: sdk.telemetry })
    await expect(holdfast.result((await holdfast.start(odd, undefined)).taskId)).rejects.toThrow()
    await holdfast.close()
    expect(sdk.one('holdfast.step').attributes['error.type']).toBe('NOT_SERIALIZABLE')
  })

  test('of a task of one function has a span too', async () => {
    const sdk = new TestSdk()
    const one = defineTask({ name: 'one', run: () => 1 })
    const holdfast = await openInMemory({ tasks: [one], telemetry: sdk.telemetry })
    await holdfast.result((await holdfast.start(one, undefined)).taskId)
    await holdfast.close()
    expect(sdk.parentOf(sdk.one('holdfast.step'))).toBe(sdk.one('holdfast.task.run'))
  })
})

test('a child is created within the run of its parent, and its run links to that creation', async () => {
  const sdk = new TestSdk()
  const child = defineTask({ name: 'child' }, () => 1)
  const parent = defineTask({ name: 'parent' }, (task) => task.child(child, undefined))
  const holdfast = await openInMemory({ tasks: [parent, child], telemetry: sdk.telemetry })
  await holdfast.result((await holdfast.start(parent, undefined)).taskId)
  await holdfast.close()
  const ofType = (name: string, type: string) =>
    sdk.named(name).find(({ attributes }) => attributes['holdfast.task.type'] === type) as ReadableSpan
  const create = ofType('task.create', 'child')
  expect(sdk.parentOf(create)).toBe(ofType('holdfast.task.run', 'parent'))
  expect(linked(ofType('holdfast.task.run', 'child'))).toEqual([idOf(create)])
})

test('a task that is unloaded and wakes has a span for each run, and none for the steps that are replayed', async () => {
  const sdk = new TestSdk()
  const clock = new ManualClock()
  const sleeper = defineTask({ name: 'sleeper' }, async (task) => {
    await task.step('a', () => 1)
    await task.step('b', () => 2)
    await task.sleep('nap', '1h')
    await task.step('c', () => 3)
  })
  const holdfast = await openInMemory({ clock, tasks: [sleeper], telemetry: sdk.telemetry })
  const { taskId } = await holdfast.start(sleeper, undefined)
  await untilIdle(holdfast)
  await clock.advance(3_600_000)
  await holdfast.result(taskId)
  await holdfast.close()
  const runs = sdk.named('holdfast.task.run')
  expect(
    runs.map(({ attributes: of }) => [
      of['holdfast.run.number'],
      of['holdfast.outcome'],
      of['holdfast.run.replayed_steps'],
    ]),
  ).toEqual([
    [1, 'waiting', 0],
    [2, 'completed', 2],
  ])
  expect(runs.map(linked)).toEqual(Array(2).fill([idOf(sdk.one('task.create'))]))
  expect(sdk.named('holdfast.step').map(({ attributes }) => attributes['holdfast.step.name'])).toEqual(['a', 'b', 'c'])
})

test('saves and restores of checkpoints have spans with the ID: of the body within its run, of a client within its call', async () => {
  const sdk = new TestSdk()
  const disk = new MemoryDisk()
  const saver = defineTask({ name: 'saver' }, async (task) => {
    const restored = await task.restoreCheckpoint()
    if (!restored) await task.saveCheckpoint({ part: 1 })
    await task.input('go')
  })
  const open = () => openInMemory({ disk, tasks: [saver], telemetry: sdk.telemetry })
  const first = await open()
  const { taskId } = await first.start(saver, undefined)
  await untilIdle(first)
  await sdk.tracer.startActiveSpan('client', async (span) => {
    await first.saveCheckpoint(taskId, { mine: 1 })
    await first.restoreCheckpoint(taskId, { savedBy: 'client' })
    span.end()
  })
  await first.close()
  const second = await open()
  await untilIdle(second)
  await second.close()

  const rows = ['holdfast.checkpoint.save', 'holdfast.checkpoint.restore'].flatMap((name) =>
    sdk.named(name).map((span) => {
      expect(span.attributes['holdfast.checkpoint.id']).toMatch(/^cp-/)
      return [name, span.attributes['holdfast.checkpoint.by'], sdk.parentOf(span)?.name]
    }),
  )
  expect(rows).toEqual([
    ['holdfast.checkpoint.save', 'body', 'holdfast.task.run'],
    ['holdfast.checkpoint.save', 'client', 'client'],
    ['holdfast.checkpoint.restore', 'client', 'client'],
    ['holdfast.checkpoint.restore', 'body', 'holdfast.task.run'],
  ])
})

test('a recovery has a span with its results, and a run after a crash links to the creation in the process before', async () => {
  const disk = new MemoryDisk()
  const stuck = defineTask({ name: 'stuck' }, async (task) => {
    await task.step('a', () => 1)
    await task.step('b', () => (before ? new Promise(() => {}) : 2))
  })
  let before = true
  const [first, second] = [new TestSdk(), new TestSdk()]
  const dead = await openInMemory({ disk, tasks: [stuck], telemetry: first.telemetry })
  const { taskId } = await dead.start(stuck, undefined)
  await untilIdle(dead)
  disk.crash()
  before = false
  const holdfast = await openInMemory({ disk, tasks: [stuck], telemetry: second.telemetry })
  await holdfast.result(taskId)
  await holdfast.close()
  expect(second.one('holdfast.recover').attributes).toEqual({
    'holdfast.recovery.found': 1,
    'holdfast.recovery.tasks.resumed': 1,
    'holdfast.outcome': 'completed',
  })
  const run = second.one('holdfast.task.run')
  expect(linked(run)).toEqual([idOf(first.one('task.create'))])
  expect(run.attributes).toMatchObject({ 'holdfast.run.recovered': true, 'holdfast.run.replayed_steps': 1 })
})

test('spans end as the run does: parked, retried, failed', async () => {
  const sdk = new TestSdk()
  const disk = new MemoryDisk()
  const again = defineTask({ name: 'again', retry: { maximumAttempts: 2, initialInterval: 1 } }, (task) => {
    if (task.attempt === 1) throw new HoldfastError('TIMEOUT', 'once')
    throw new TypeError('twice')
  })
  const holdfast = await openInMemory({ disk, tasks: [again], telemetry: sdk.telemetry })
  await expect(holdfast.result((await holdfast.start(again, undefined)).taskId)).rejects.toThrow()
  await holdfast.close()
  expect(
    sdk.named('holdfast.task.run').map(({ attributes: of }) => [of['holdfast.outcome'], of['error.type']]),
  ).toEqual([
    ['retrying', 'TIMEOUT'],
    ['failed', 'TASK_FAILED'],
  ])
  expect(sdk.one('task.complete').status.code).toBe(SpanStatusCode.ERROR)
})

test('the engine leaves the active context of a caller as it is', async () => {
  const sdk = new TestSdk()
  const holdfast = await openInMemory({ tasks: [work], telemetry: sdk.telemetry })
  await sdk.tracer.startActiveSpan('caller', async (span) => {
    await holdfast.start(work, { secret: '' })
    expect(trace.getSpan(context.active())).toBe(span)
    span.end()
  })
  await holdfast.close()
})
