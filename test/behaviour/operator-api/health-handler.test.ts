// Goal: probes and Prometheus get a true answer in each state of an instance, and no answer has a value or an ID of a task.
// Method: requests to the fetch handler of stores on a disk in memory. A strict parser reads the metrics.
import { expect, test } from 'vitest'
import type { Logger } from '../../../src/base/logger.js'
import { engineOf } from '../../../src/engine/recovery/open-engines.js'
import { defineTask, type Holdfast } from '../../../src/index.js'
import { healthHandler } from '../../../src/operator/index.js'
import { prometheusText } from '../../../src/operator/prometheus.js'
import type { Level } from '../../../src/store/disk/level.js'
import { type InMemoryOptions, ManualClock, MemoryDisk, openInMemory, untilIdle } from '../../../src/testing/index.js'
import { afterTest, openStore, talk } from '../../helpers/operator.js'
import { Machine } from '../../helpers/poison-machine.js'
import { parsePrometheus, sampleValue } from '../../helpers/prometheus.js'

async function opened(options: InMemoryOptions = {}): Promise<Holdfast> {
  const holdfast = await openInMemory({ clock: new ManualClock(), ...options })
  afterTest(() => holdfast.close({ grace: 0 }))
  return holdfast
}

function probesOf(holdfast: Holdfast) {
  const { fetch } = healthHandler(holdfast)
  const get = (path: string) => fetch(new Request(`http://10.0.0.7:9090${path}`))
  return {
    async codes(path: '/live' | '/ready') {
      const response = await get(path)
      const { reasons } = (await response.json()) as { reasons: { code: string }[] }
      return [response.status, ...reasons.map(({ code }) => code)]
    },
    async metrics() {
      const response = await get('/metrics')
      expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8')
      expect(response.status).toBe(200)
      return parsePrometheus(await response.text())
    },
  }
}

test('a ready instance has 200, and metrics of its tasks', async () => {
  const quick = defineTask({ name: 'quick' }, async () => 'outcome-value')
  const holdfast = await opened({ tasks: [talk, quick] })
  for (let count = 0; count < 3; count++) await holdfast.start(talk, 'input-value')
  await holdfast.start(quick, undefined)
  await untilIdle(holdfast)
  const { codes, metrics } = probesOf(holdfast)
  expect(await codes('/live')).toEqual([200])
  expect(await codes('/ready')).toEqual([200])
  const found = await metrics()
  expect(sampleValue(found, 'holdfast_tasks', { status: 'completed' })).toBe(1)
  expect(sampleValue(found, 'holdfast_tasks', { status: 'input_required' })).toBe(3)
  expect(found.get('holdfast_unfinished_tasks')?.samples).toEqual([
    { labels: { type: 'talk', status: 'input_required' }, value: 3 },
  ])
  expect(found.get('holdfast_settled_tasks_total')?.type).toBe('counter')
  expect(sampleValue(found, 'holdfast_settled_tasks_total', { status: 'completed' })).toBe(1)
  expect(sampleValue(found, 'holdfast_queued_tasks')).toBe(0)
  expect(sampleValue(found, 'holdfast_parked_tasks')).toBe(0)
  expect(sampleValue(found, 'holdfast_ready')).toBe(1)
  expect(sampleValue(found, 'holdfast_store_state', { state: 'up' })).toBe(1)
  expect(found.get('holdfast_store_bytes')?.samples.map(({ labels }) => labels['kind'])).toContain('log')
})

test('queued, parked and recovered tasks are counted', async () => {
  const disk = new MemoryDisk()
  const stuck = defineTask({ name: 'stuck' }, () => new Promise<void>(() => {}))
  const gone = defineTask({ name: 'gone' }, (task) => task.sleep('night', '8h'))
  const first = await opened({ disk, tasks: [stuck, gone] })
  await first.start(gone, undefined)
  for (let count = 0; count < 3; count++) await first.start(stuck, undefined)
  await untilIdle(first)
  await first.close({ grace: 0 })
  const next = await opened({ disk, tasks: [stuck], concurrency: 1 })
  await untilIdle(next)
  const found = await probesOf(next).metrics()
  expect(sampleValue(found, 'holdfast_queued_tasks')).toBe(2)
  expect(sampleValue(found, 'holdfast_parked_tasks')).toBe(1)
  expect(sampleValue(found, 'holdfast_recovered_tasks', { action: 'parked' })).toBe(1)
  const unfinished = found.get('holdfast_unfinished_tasks')?.samples ?? []
  expect(unfinished.filter(({ labels }) => labels['type'] === 'gone').map(({ value }) => value)).toEqual([1])
})

test('at most 100 types have a label, and a type keeps it', async () => {
  const many = Array.from({ length: 130 }, (_, at) =>
    defineTask({ name: `type-${at}` }, (task) => task.sleep('night', '8h')),
  )
  const holdfast = await opened({ tasks: many.slice(0, 20) })
  for (const definition of [...many].reverse()) await holdfast.start(definition, undefined)
  await untilIdle(holdfast)
  const { metrics } = probesOf(holdfast)
  const read = async () => (await metrics()).get('holdfast_unfinished_tasks')?.samples ?? []
  const samples = await read()
  const types = new Set(samples.map(({ labels }) => labels['type']))
  expect(types.size).toBe(101)
  expect([...Array(20).keys()].every((at) => types.has(`type-${at}`))).toBe(true)
  expect(samples.filter(({ labels }) => labels['type'] === 'other').map(({ value }) => value)).toEqual([30])
  expect(samples.reduce((sum, { value }) => sum + value, 0)).toBe(130)
  expect(await read()).toEqual(samples)
})

test('while the recovery is held, the instance is live and not ready', async () => {
  const machine = new Machine()
  const [taskId] = (await machine.startAndDie('one')) as [string]
  // Five starts crash right after their first write.
  for (let start = 0; start < 5; start++) {
    machine.disk.dieAt({ atWrite: 1, applied: true })
    expect(await machine.live()).toBeUndefined()
  }
  machine.hanging.clear()
  const holdfast = (await machine.live()) as Holdfast
  afterTest(() => holdfast.close({ grace: 0 }))
  const { codes, metrics } = probesOf(holdfast)
  expect(await codes('/live')).toEqual([200, 'RECOVERY_HELD'])
  expect(await codes('/ready')).toEqual([503, 'RECOVERY_HELD'])
  const found = await metrics()
  expect(sampleValue(found, 'holdfast_recovery_state', { state: 'held' })).toBe(1)
  expect(sampleValue(found, 'holdfast_recovery_state', { state: 'done' })).toBe(0)
  expect(JSON.stringify([...found])).not.toContain(taskId)
  await holdfast.recover()
  await holdfast.recovery.done
  expect(await codes('/ready')).toEqual([200])
})

test('while the disk is full, the instance is live and not ready, and ready again afterwards', async () => {
  const disk = new MemoryDisk()
  const clock = new ManualClock()
  const holdfast = await opened({ disk, clock, tasks: [talk] })
  const { taskId } = await holdfast.start(talk, 'input-value')
  await untilIdle(holdfast)
  const { codes, metrics } = probesOf(holdfast)
  disk.full = true
  await expect(holdfast.cancel(taskId)).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
  expect(await codes('/live')).toEqual([200, 'STORE_DOWN'])
  expect(await codes('/ready')).toEqual([503, 'STORE_DOWN'])
  const found = await metrics()
  expect(sampleValue(found, 'holdfast_store_state', { state: 'down' })).toBe(1)
  expect(sampleValue(found, 'holdfast_ready')).toBe(0)
  expect(sampleValue(found, 'holdfast_unfinished_tasks', { type: 'talk', status: 'input_required' })).toBe(1)
  disk.full = false
  await clock.advance(5_000)
  await untilIdle(holdfast)
  expect(await codes('/ready')).toEqual([200])
})

test('each batch of commits is counted once, in the bucket of its time', async () => {
  let batches = 0
  class CountedDisk extends MemoryDisk {
    override async open(): Promise<Level> {
      const level = await super.open()
      const make = level.batch.bind(level)
      level.batch = () => {
        batches++
        return make()
      }
      return level
    }
  }
  const holdfast = await opened({ disk: new CountedDisk(), tasks: [talk] })
  const { metrics } = probesOf(holdfast)
  const read = async (end: string) =>
    sampleValue(await metrics(), 'holdfast_commit_seconds', { __name__: end }) as number
  await untilIdle(holdfast)
  const before = { batches, count: await read('_count'), seconds: await read('_sum') }
  for (let count = 0; count < 3; count++) {
    await holdfast.start(talk, null)
    await untilIdle(holdfast)
  }
  expect(batches).toBeGreaterThan(before.batches + 3)
  expect((await read('_count')) - before.count).toBe(batches - before.batches)
  expect(await read('_sum')).toBeGreaterThan(before.seconds)
})

test('a closed instance is neither live nor ready, and still has metrics', async () => {
  const holdfast = await opened({ tasks: [talk] })
  const { codes, metrics } = probesOf(holdfast)
  await holdfast.close()
  expect(await codes('/live')).toEqual([503, 'CLOSED'])
  expect(await codes('/ready')).toEqual([503, 'CLOSED'])
  const found = await metrics()
  expect(sampleValue(found, 'holdfast_live')).toBe(0)
  expect(found.has('holdfast_store_bytes')).toBe(false)
})

test('a store on disk has the space of its file system', async () => {
  const { holdfast } = await openStore({ tasks: [talk] })
  const found = await probesOf(holdfast).metrics()
  expect(sampleValue(found, 'holdfast_disk_total_bytes')).toBeGreaterThan(0)
  expect(sampleValue(found, 'holdfast_disk_free_bytes')).toBeGreaterThan(0)
})

test('no answer has an input, a result or an ID of a task', async () => {
  const holdfast = await opened({ tasks: [talk] })
  const { taskId } = await holdfast.start(talk, 'input-value', { owner: 'owner-value' })
  await untilIdle(holdfast)
  const { fetch } = healthHandler(holdfast)
  for (const path of ['/live', '/ready', '/metrics']) {
    const text = await (await fetch(new Request(`http://localhost${path}`))).text()
    expect(text).not.toContain(taskId)
    expect(text).not.toMatch(/-value/)
  }
})

test('requests that come together share an answer', async () => {
  const holdfast = await opened({ tasks: [talk] })
  const { store } = engineOf(holdfast)
  let reads = 0
  const read = store.read.bind(store)
  store.read = ((act: never) => {
    reads++
    return read(act)
  }) as typeof store.read
  const { fetch } = healthHandler(holdfast)
  await Promise.all(Array.from({ length: 50 }, () => fetch(new Request('http://localhost/metrics'))))
  expect(reads).toBe(1)
  await fetch(new Request('http://localhost/metrics'))
  expect(reads).toBe(2)
})

test('another path or method is refused, and so is a wrong option', async () => {
  const holdfast = await opened()
  const { fetch } = healthHandler(holdfast, { path: '/health' })
  const status = async (path: string, method = 'GET') =>
    (await fetch(new Request(`http://localhost${path}`, { method }))).status
  expect(await status('/health/live')).toBe(200)
  expect(await status('/live')).toBe(404)
  expect(await status('/health/constructor')).toBe(404)
  expect(await status('/health/live', 'POST')).toBe(405)
  for (const options of [null, { path: 'health' }, { path: '/health/' }, { port: 1 }]) {
    expect(() => healthHandler(holdfast, options as never)).toThrow(TypeError)
  }
  expect(() => healthHandler({} as never)).toThrow(TypeError)
})

test('a fault is answered with 500, and logged without its message', async () => {
  const lines: unknown[] = []
  const note = (...line: unknown[]) => lines.push(line)
  const logger = { debug: () => {}, info: () => {}, warn: note, error: note } as unknown as Logger
  const holdfast = await opened({ logger })
  const { tasks } = engineOf(holdfast)
  tasks.values = () => {
    throw new Error('text-of-the-fault')
  }
  const response = await healthHandler(holdfast).fetch(new Request('http://localhost/metrics'))
  Reflect.deleteProperty(tasks, 'values')
  expect(response.status).toBe(500)
  expect(await response.text()).not.toContain('text-of-the-fault')
  expect(lines).toMatchObject([['A probe of the health handler failed unexpectedly', {}]])
  expect(JSON.stringify(lines)).not.toContain('text-of-the-fault')
})

test('labels and help texts are escaped', () => {
  const label = 'a"b\\c\nd\\n'
  const text = prometheusText([
    { name: 'one', type: 'gauge', help: 'A \\ and\na line', samples: [{ labels: { label }, value: 1e21 }] },
    { name: 'two', type: 'gauge', help: 'No samples', samples: [] },
    {
      name: 'three',
      type: 'counter',
      help: '"',
      samples: [{ value: Number.NaN }, { labels: { label: '' }, value: -Infinity }],
    },
  ])
  const found = parsePrometheus(text)
  expect([...found.keys()]).toEqual(['one', 'three'])
  expect(found.get('one')).toMatchObject({ help: 'A \\ and\na line', samples: [{ labels: { label }, value: 1e21 }] })
  expect(found.get('three')?.samples.map(({ value }) => value)).toEqual([Number.NaN, Number.NEGATIVE_INFINITY])
})
