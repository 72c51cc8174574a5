// Goal: an isolated step harms nobody: past its limits it is ended, and whatever it does the server goes on; else it is
// a step like any other. Method: real processes, which do their worst (isolated-work.mjs).
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, test } from 'vitest'
import { childArguments } from '../../../src/engine/calls/isolated/process.js'
import { processUsageOf } from '../../../src/engine/calls/isolated/process-usage.js'
import { runIsolated } from '../../../src/engine/calls/isolated/run-isolated.js'
import { defineTask, type IsolatedOptions } from '../../../src/index.js'
import { MemoryDisk, openInMemory, untilIdle } from '../../../src/testing/index.js'
import { BusyClock } from '../../helpers/waiting.js'

const WORK = new URL('../../helpers/isolated-work.mjs', import.meta.url)
const folder = mkdtempSync(join(tmpdir(), 'holdfast-isolated-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
let files = 0
const newFile = () => join(folder, `file-${files++}`)
const linesOf = (file: string) => (existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : [])

async function until(condition: () => boolean, ms = 10_000) {
  for (let waited = 0; waited < ms; waited += 20) {
    if (condition()) return
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  throw new Error('It did not come to be')
}

function isAlive(pid: number): boolean {
  try {
    // One that has ended and that nobody asked after is not alive, though it still has its number.
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'))
  } catch {
    return false
  }
}

type Input = { args?: unknown; options?: IsolatedOptions; url?: unknown }
const isolated = defineTask({ name: 'isolated' }, (task, { args, options, url = WORK.href }: Input) =>
  task.isolated('work', url as string, args, options),
)

async function run(fn: string | undefined, options: IsolatedOptions = {}, args: unknown = {}) {
  await using holdfast = await openInMemory({ tasks: [isolated], limits: { resultBytesMax: 4_096 } })
  const { taskId } = await holdfast.start(isolated, { args, options: fn ? { export: fn, ...options } : options })
  return await holdfast.result(taskId)
}

const refused = (fn: string, options: IsolatedOptions = {}, args: unknown = {}) =>
  run(fn, options, args).then(
    () => expect.unreachable(),
    (error: Error & { code: string; cause: Error & { cause: Error } }) => ({
      code: error.code,
      cause: error.cause.cause,
    }),
  )

describe('an isolated function', () => {
  test('is called with its arguments and what a step is handed, in another process', async () => {
    const said = (await run(undefined, {}, { n: 1, at: new Date(0) })) as Record<string, unknown>
    expect(said).toMatchObject({ args: { n: 1, at: '1970-01-01T00:00:00.000Z' }, attempt: 1, isAborted: false })
    expect(said['idempotencyKey']).toMatch(/^task-/)
    expect(said['pid']).not.toBe(process.pid)
  })

  test('can be named by a URL, its text, or an absolute path', async () => {
    await using holdfast = await openInMemory()
    for (const url of [WORK, WORK.href, fileURLToPath(WORK)]) {
      const task = defineTask({ name: String(files++) }, (task) => task.isolated<{ args: number }>('work', url, 5))
      const { taskId } = await holdfast.start(task, null)
      expect(await holdfast.result(taskId)).toMatchObject({ args: 5 })
    }
  })

  test.each([
    ['nothing', undefined],
    ['dated', { at: '1970-01-01T00:00:00.000Z' }],
  ])('that returns what JSON can carry (%s) gives what JSON makes of it', async (fn, value) => {
    expect(await run(fn)).toEqual(value)
  })

  test.each([
    ['notFinite', 'NOT_SERIALIZABLE', /`b` in The result of step 'work' is a NaN/],
    ['map', 'NOT_SERIALIZABLE', /`rows` .* is a Map/],
    ['bigint', 'NOT_SERIALIZABLE', /bigint/],
    ['large', 'TOO_LARGE', /5002 bytes.*4096.*limits\.resultBytesMax/],
    ['notAFunction', 'TASK_FAILED', /to export a function as `notAFunction`; it exports .*buffers/],
    ['missing', 'TASK_FAILED', /`missing`/],
  ])('that returns what it cannot (%s) fails the step with %s', async (fn, code, message) => {
    expect(await refused(fn)).toMatchObject({ code, cause: { message: expect.stringMatching(message) } })
  })

  test('keeps its error’s name, message, code and cause', async () => {
    expect(await refused('throws')).toMatchObject({
      code: 'TASK_FAILED',
      cause: { name: 'RangeError', message: 'too far', code: 'E_FAR', cause: { message: 'the wind' } },
    })
  })

  test('sends at most 200 bytes of its error’s name and code', async () => {
    const limits = { memoryMb: 512, cpuMs: undefined }
    const call = { taskId: 'task-1', step: 'work', moduleUrl: WORK.href, exportName: 'throwsData', argsText: '{}' }
    const rest = { idempotencyKey: 'k', attempt: 1, resultBytesMax: 1_000, limits }
    const thrown = runIsolated({ ...call, ...rest }, new AbortController().signal)
    await expect(thrown).rejects.toMatchObject({ name: 'n'.repeat(200), message: 'short', code: '€'.repeat(66) })
  })

  test('keeps the message of an error of another realm', async () => {
    expect(await refused('throwsOfAnotherRealm')).toMatchObject({ cause: { name: 'RangeError', message: 'too far' } })
  })

  test('is tried again as its options say', async () => {
    expect(await run('flaky', { retry: { maximumAttempts: 3, initialInterval: 1 } })).toBe(3)
  })
})

describe('past its limit', () => {
  test('a gigabyte of Buffers is ended', async () => {
    const { code, cause } = await refused('buffers', { memoryMb: 256 })
    expect(code).toBe('RESOURCE_EXCEEDED')
    expect(cause).toMatchObject({
      code: 'RESOURCE_EXCEEDED',
      message: expect.stringMatching(/took \d+ MiB of memory; the limit is 256 MiB \(option `memoryMb`\)/),
      details: { resource: 'memory', option: 'memoryMb', limit: 256, measured: expect.any(Number), step: 'work' },
    })
    expect((cause as unknown as { details: { measured: number } }).details.measured).toBeLessThan(1_024)
  })

  test.runIf(process.platform === 'linux')(
    'the memory of what the process has started counts, and is ended',
    async () => {
      const file = newFile()
      // Each of the two stays far below the limit.
      const { code, cause } = await refused('startsOneThatFills', { memoryMb: 300, timeout: '20s' }, { file })
      expect(code).toBe('RESOURCE_EXCEEDED')
      expect(cause).toMatchObject({
        message: expect.stringMatching(/2 processes of its group took \d+ MiB of memory; the limit is 300 MiB/),
        details: { resource: 'memory', option: 'memoryMb', limit: 300, measured: expect.any(Number) },
      })
      await until(() => linesOf(file).length === 1 && !isAlive(Number(linesOf(file)[0])))
    },
  )

  test('an array without end is ended', async () => {
    expect(await refused('array', { memoryMb: 200 })).toMatchObject({
      cause: { code: 'RESOURCE_EXCEEDED', details: { resource: 'memory', limit: 200 } },
    })
  })

  test('a busy loop is ended', async () => {
    const { cause } = await refused('spin', { cpuMs: 300 })
    expect(cause).toMatchObject({
      message: expect.stringMatching(/took \d+ ms of CPU time; the limit is 300 ms \(option `cpuMs`\)/),
      details: { resource: 'cpu', option: 'cpuMs', limit: 300, measured: expect.any(Number) },
    })
  })

  test('the time that Node takes to start is not the function’s', async () => {
    expect(await run('work', { cpuMs: 400 }, { seconds: 0.2 })).toBe('done')
  })

  const call = (exportName: string, limits: { memoryMb: number; cpuMs: number | undefined }) => ({
    taskId: 'task-1',
    step: 'work',
    moduleUrl: WORK.href,
    exportName,
    argsText: '{}',
    idempotencyKey: 'k',
    attempt: 1,
    resultBytesMax: 1_000,
    limits,
  })
  const { signal } = new AbortController()
  const silent = () => () => undefined

  test('where the kernel says nothing the process says it itself, also while it is busy', async () => {
    const spun = runIsolated(call('spin', { memoryMb: 512, cpuMs: 300 }), signal, silent)
    await expect(spun).rejects.toMatchObject({ code: 'RESOURCE_EXCEEDED', details: { resource: 'cpu' } })
    const filled = runIsolated(call('buffers', { memoryMb: 256, cpuMs: undefined }), signal, silent)
    await expect(filled).rejects.toMatchObject({ code: 'RESOURCE_EXCEEDED', details: { resource: 'memory' } })
  })

  test('where this process is too busy to look, it is ended all the same', async () => {
    const filled = runIsolated(call('buffers', { memoryMb: 256, cpuMs: undefined }), signal)
    const busyUntil = performance.now() + 2_500
    while (performance.now() < busyUntil);
    const error = await filled.catch((error: unknown) => error)
    expect(error).toMatchObject({ code: 'RESOURCE_EXCEEDED', details: { resource: 'memory', limit: 256 } })
    expect((error as { details: { measured: number } }).details.measured).toBeLessThan(1_000)
  })

  test('one array that V8 cannot make ends the process, and the step says why', async () => {
    await expect(runIsolated(call('oneArray', { memoryMb: 512, cpuMs: undefined }), signal)).rejects.toMatchObject({
      code: 'RESOURCE_EXCEEDED',
      message: expect.stringMatching(/needed more memory than it could get; the limit is 512 MiB/),
      details: { resource: 'memory', limit: 512 },
    })
  })

  test('the kernel’s figures are those of the process', () => {
    const usage = processUsageOf(process.pid)
    const { user, system } = process.cpuUsage()
    // What the processes took that were started above is counted in.
    expect((usage?.cpuMs ?? 0) - (user + system) / 1_000).toBeGreaterThan(-100)
    expect((usage?.memoryBytes ?? 0) / process.memoryUsage.rss()).toBeCloseTo(1, 0)
    expect(processUsageOf(2 ** 30)).toBeUndefined()
  })
})

describe('a process that ends before its function', () => {
  test.each([
    ['exit', /The process of step 'work' ended with exit code 3 before its function had ended/],
    ['killed', /The process of step 'work' was killed by SIGKILL, by another process or for lack of memory,/],
    ['throwsLater', /nobody catches this/],
  ])('(%s) fails the step, saying how', async (fn, message) => {
    expect(await refused(fn)).toMatchObject({ code: 'TASK_FAILED', cause: { message: expect.stringMatching(message) } })
  })

  test('because it was told to leaves nobody behind, and neither does one that returned', async () => {
    for (const fn of ['leaves', 'idle', 'busy']) {
      const file = newFile()
      const done = run(fn, fn === 'leaves' ? {} : { timeout: 1_500 }, { file })
      await (fn === 'leaves'
        ? expect(done).resolves.toBe('left')
        : expect(done).rejects.toMatchObject({ code: 'STEP_TIMEOUT' }))
      await until(() => !linesOf(file).some((pid) => isAlive(Number(pid))))
      expect(linesOf(file)).toHaveLength(2)
    }
  })
})

describe('an isolated step', () => {
  test.each(['heeds', 'busy'])('(%s) is ended by a cancel', async (fn) => {
    const file = newFile()
    await using holdfast = await openInMemory({ tasks: [isolated] })
    const { taskId } = await holdfast.start(isolated, { args: { file }, options: { export: fn } })
    await until(() => linesOf(file).length > 0)
    const [pid] = linesOf(file)
    await holdfast.cancel(taskId)
    await until(() => !isAlive(Number(pid)))
    expect(await holdfast.get(taskId)).toMatchObject({ status: 'cancelled' })
    if (fn === 'heeds') expect(linesOf(file)).toContain('heeded')
  })

  test('is ended by a close, and runs again at the next open', async () => {
    const file = newFile()
    const disk = new MemoryDisk()
    const first = await openInMemory({ disk, tasks: [isolated] })
    const { taskId } = await first.start(isolated, { args: { file }, options: { export: 'heeds' } })
    await until(() => linesOf(file).length > 0)
    await first.close({ grace: 0 })
    await until(() => !isAlive(Number(linesOf(file)[0])))
    await using second = await openInMemory({ disk, tasks: [isolated] })
    await until(() => linesOf(file).length > 2)
    expect(await second.get(taskId)).toMatchObject({ status: 'running' })
    await second.cancel(taskId)
  })

  test('that is recorded does not run again after a crash', async () => {
    const file = newFile()
    const disk = new MemoryDisk()
    let block = true
    const task = defineTask({ name: 'steps' }, async (task) => {
      const one = await task.isolated<number>('note', WORK, { file, n: 1 }, { export: 'note' })
      await task.step('block', () => (block ? new Promise(() => {}) : 1))
      return one + (await task.isolated<number>('note', WORK, { file, n: 2 }, { export: 'note' }))
    })
    const first = await openInMemory({ disk, tasks: [task] })
    const { taskId } = await first.start(task, null)
    await new Promise((resolve) => first.on('step:recorded', resolve))
    disk.crash()
    block = false
    await using second = await openInMemory({ disk, tasks: [task] })
    expect(await second.result(taskId)).toBe(3)
    expect(linesOf(file)).toEqual(['1', '2'])
  })

  test('waits for a place while as many run as may', async () => {
    const task = defineTask({ name: 'many' }, (task) =>
      Promise.all([0, 1, 2, 3, 4].map(() => task.isolated<{ pid: number }>('work', WORK))),
    )
    await using holdfast = await openInMemory({ tasks: [task], limits: { isolatedProcessesMax: 1 } })
    const { taskId } = await holdfast.start(task, null)
    expect(new Set((await holdfast.result(taskId)).map(({ pid }) => pid)).size).toBe(5)
    // One that waits, and is cancelled, gives up its place in the queue.
    const file = newFile()
    holdfast.register(isolated)
    const running = await holdfast.start(isolated, { args: { file }, options: { export: 'idle' } })
    await until(() => linesOf(file).length > 0)
    const waiting = await holdfast.start(isolated, { args: { file: newFile() }, options: { export: 'idle' } })
    await holdfast.cancel(waiting.taskId)
    await holdfast.cancel(running.taskId)
    const after = await holdfast.start(isolated, { args: 5 })
    expect(await holdfast.result(after.taskId)).toMatchObject({ args: 5 })
  })

  test('that waited for a place until the deadline of its task does not begin', async () => {
    const clock = new BusyClock()
    await using holdfast = await openInMemory({ clock, tasks: [isolated], limits: { isolatedProcessesMax: 1 } })
    const [file, late] = [newFile(), newFile()]
    const running = await holdfast.start(isolated, { args: { file }, options: { export: 'idle' } })
    await until(() => linesOf(file).length > 0)
    const deadline = clock.now() + 1_000
    const waiting = await holdfast.start(isolated, { args: { file: late }, options: { export: 'idle' } }, { deadline })
    await untilIdle(holdfast)
    // Past the deadline, with the timer of the deadline not fired yet.
    clock.fallBehind(1_000)
    await holdfast.cancel(running.taskId)
    await expect(holdfast.result(waiting.taskId)).rejects.toMatchObject({ code: 'TIMEOUT' })
    const after = await holdfast.start(isolated, { args: 5 })
    expect(await holdfast.result(after.taskId)).toMatchObject({ args: 5 })
    expect(linesOf(late)).toEqual([])
  })

  test.each([
    ['memoryMb', { memoryMb: 0 }],
    ['memoryMb', { memoryMb: 127 }],
    ['memoryMb', { memoryMb: 1.5 }],
    ['memoryMb', { memoryMb: Number.POSITIVE_INFINITY }],
    ['memoryMb', { memoryMb: '512' }],
    ['cpuMs', { cpuMs: 0 }],
    ['cpuMs', { cpuMs: -1 }],
    ['cpuMs', { cpuMs: Number.NaN }],
    ['cpuMs', { cpuMs: '1s' }],
    ['export', { export: '' }],
    ['export', { export: 5 }],
    ['timeout', { timeout: '5 minutes' }],
    ['retry.maximumAttempts', { retry: { maximumAttempts: 0 } }],
    ['onInterrupted', { onInterrupted: 'never' }],
    ['task.isolated', null],
  ])('with a bad `%s` (%j) is refused', async (option, options) => {
    const task = defineTask({ name: 'bad' }, (task) => task.isolated('work', WORK, null, options as never))
    await using holdfast = await openInMemory({ tasks: [task] })
    const { taskId } = await holdfast.start(task, null)
    await expect(holdfast.result(taskId)).rejects.toMatchObject({
      cause: { name: 'TypeError', message: expect.stringContaining(option) },
    })
  })

  test.each(['./work.js', 'work', 'https://example.com/work.js', 'node:fs', '', '/a\0b', 5, undefined, null, {}])(
    'of a module given as %j is refused',
    async (url) => {
      const task = defineTask({ name: 'bad' }, (task) => task.isolated('work', url as never))
      await using holdfast = await openInMemory({ tasks: [task] })
      const { taskId } = await holdfast.start(task, null)
      await expect(holdfast.result(taskId)).rejects.toMatchObject({
        cause: { name: 'TypeError', message: expect.stringContaining('`moduleUrl`') },
      })
    },
  )

  test('of a module that is not there, or with arguments that are no JSON, fails', async () => {
    await using holdfast = await openInMemory()
    const gone = defineTask({ name: 'gone' }, (task) => task.isolated('work', join(folder, 'gone.mjs')))
    const bad = defineTask({ name: 'bad' }, (task) => task.isolated('work', WORK, { rows: [1n] }))
    await expect(holdfast.result((await holdfast.start(gone, null)).taskId)).rejects.toThrow(/gone\.mjs/)
    await expect(holdfast.result((await holdfast.start(bad, null)).taskId)).rejects.toThrow(
      /`rows\[0\]` in the arguments of step 'work' is a BigInt/,
    )
  })
})

describe('a server', () => {
  const parent = (fn: string, file: string, options: readonly string[] = []) => {
    const script = fileURLToPath(new URL('./isolated-parent.ts', import.meta.url))
    return spawn(process.execPath, [...options, '--import', 'tsx', script, fn, file], {
      stdio: ['ignore', 'pipe', 'ignore'],
    })
  }

  test.each(['idle', 'busy'])('that is killed takes its isolated functions with it (%s)', async (fn) => {
    const file = newFile()
    const server = parent(fn, file)
    await until(() => linesOf(file).length === 2, 20_000)
    const pids = linesOf(file).map(Number)
    expect(pids.every(isAlive)).toBe(true)
    server.kill('SIGKILL')
    await until(() => !pids.some(isAlive), 3_000)
  })

  test('has its standard output for itself', async () => {
    const file = newFile()
    const server = parent('noise', file)
    let said = ''
    server.stdout.on('data', (text) => {
      said += text
    })
    await once(server, 'close')
    expect(linesOf(file)).toEqual(['noise was made'])
    expect(said).toBe('ready\ndone\n')
  })

  test('runs isolated steps under options of Node whose value is an argument of its own', async () => {
    const server = parent('note', newFile(), ['--inspect-port', '0', '--conditions', 'development'])
    await once(server, 'close')
    expect(server.exitCode).toBe(0)
  })

  test('hands on those of Node’s arguments that say how modules are loaded', () => {
    const own = [
      '--import',
      'tsx',
      '--inspect=9229',
      '--input-type=module',
      '-e',
      'code',
      '--max-old-space-size=9',
      '-C',
      'x',
      '--inspect-port',
      '9333',
      '--inspect_publish_uid',
      'http',
      '--watch-path',
      './src',
      '-i',
      '-pe',
      '1 + 1',
      '--eval=code=1',
      '--require=./hooks.cjs',
      '--title',
      'server',
    ]
    const kept = ['--import', 'tsx', '-C', 'x', '--require=./hooks.cjs', '--title', 'server']
    expect(childArguments(own, 64)).toEqual([...kept, '--max-old-space-size=64'])
  })
})
