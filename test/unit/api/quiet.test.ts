// Goal: a server that uses the library as it may is told of no leak that is none, and harmed by no logger.
// Method: what Node warns of and what nobody catches is collected while signals are shared and loggers throw.
import { getEventListeners } from 'node:events'
import { setTimeout as later, setImmediate as next } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { defineTask } from '../../../src/index.js'
import { MemoryDisk, openInMemory } from '../../../src/testing/index.js'

const heard: unknown[] = []
const note = (what: unknown) => void heard.push(what)
beforeEach(() => {
  heard.length = 0
  process.on('warning', note)
  process.on('unhandledRejection', note)
})
afterEach(async () => {
  // Node warns a turn later.
  await later(5)
  process.off('warning', note)
  process.off('unhandledRejection', note)
  expect(heard).toEqual([])
})

const wait = defineTask({ name: 'wait' }, (task) => task.sleep('long', '1h'))
const quick = defineTask({ name: 'quick' }, (task) => task.step('a', () => 1))

test('one signal for many waits is listened to once, and no longer than somebody waits', async () => {
  const holdfast = await openInMemory({ tasks: [wait, quick] })
  const shutdown = new AbortController()
  const { signal } = shutdown
  const ids = await Promise.all(Array.from({ length: 40 }, () => holdfast.start(quick, null)))
  expect(await Promise.all(ids.map(({ taskId }) => holdfast.result(taskId, { signal })))).toEqual(ids.map(() => 1))
  expect(getEventListeners(signal, 'abort')).toHaveLength(0)
  const { taskId } = await holdfast.start(wait, null)
  const waits = Array.from({ length: 40 }, () => holdfast.result(taskId, { signal }).catch((reason: unknown) => reason))
  const short = holdfast.result(taskId, { signal, timeout: 1 }).catch((error: { code: string }) => error.code)
  expect(await short).toBe('WAIT_TIMEOUT')
  expect(getEventListeners(signal, 'abort')).toHaveLength(1)
  shutdown.abort('bye')
  expect(new Set(await Promise.all(waits))).toEqual(new Set(['bye']))
  expect(getEventListeners(signal, 'abort')).toHaveLength(0)
  expect(await holdfast.result(taskId, { signal }).catch((reason: unknown) => reason)).toBe('bye')
  expect(await holdfast.get(taskId)).toMatchObject({ status: 'running' })
})

test('the signals of a body, a branch and a step may be handed to as many calls as there are', async () => {
  const listen = (signal: AbortSignal) => {
    for (let n = 0; n < 30; n++) signal.addEventListener('abort', () => {})
  }
  let signals: AbortSignal[] = []
  const many = defineTask({ name: 'many' }, async (task) => {
    listen(task.signal)
    await task.step('a', ({ signal }) => listen(signal))
    await task.all({
      x: async (t) => {
        listen(t.signal)
        return t.all({
          y: async (inner) => {
            listen(inner.signal)
            signals = [task, t, inner, task, t, inner].map((context) => context.signal)
          },
        })
      },
    })
  })
  const holdfast = await openInMemory({ tasks: [many] })
  await holdfast.result((await holdfast.start(many, null)).taskId)
  // The same one each time that it is asked for.
  expect(new Set(signals).size).toBe(3)
})

test('a body that is interrupted while the store is being closed is heard by nobody, and harms nobody', async () => {
  for (let at = 0; at < 10; at++) {
    const disk = new MemoryDisk(() => next())
    const deaf = defineTask({ name: 'deaf' }, (task) => task.step('deaf', () => new Promise(() => {})))
    const holdfast = await openInMemory({ disk, tasks: [deaf] })
    const { taskId } = await holdfast.start(deaf, null)
    for (let turn = 0; turn < 20; turn++) await next()
    const cancelled = holdfast.cancel(taskId).catch(() => {})
    for (let turn = 0; turn < at; turn++) await next()
    await Promise.all([cancelled, holdfast.close({ grace: 20 })])
  }
})

test('a logger that throws disturbs no task', async () => {
  const said: string[] = []
  const fails = (message: string) => {
    said.push(message)
    throw new Error('the log is closed')
  }
  const talks = defineTask({ name: 'talks' }, async (task) => {
    task.log.warn('from the body')
    return task.step('a', () => 1)
  })
  const logger = { debug: fails, info: fails, warn: fails, error: fails }
  const holdfast = await openInMemory({ tasks: [talks], logger })
  holdfast.on('task:created', () => {
    throw new Error('listener')
  })
  holdfast.on('task:settled', async () => {
    throw new Error('async listener')
  })
  holdfast.on('task:started', () => {
    throw Object.create(null)
  })
  expect(await holdfast.result((await holdfast.start(talks, null)).taskId)).toBe(1)
  await holdfast.close()
  expect(said).toContain('from the body')
  expect(said).toContain("A listener of 'task:settled' threw")
})
