// Goal: the lines that docs/operations/log.md lists are written, and neither tasks nor clients can fill the log.
// Method: a logger keeps every line of a store in memory; the default logger is tested through standard error.
import { readFileSync } from 'node:fs'
import { afterEach, expect, test, vi } from 'vitest'
import { defaultLogger, LOG_LEVELS } from '../../../src/base/logger.js'
import { defineTask, type Logger } from '../../../src/index.js'
import { ManualClock, MemoryDisk, openInMemory } from '../../../src/testing/index.js'

type Line = [level: string, message: string, fields?: Record<string, unknown>]

function keeping(): { lines: Line[]; logger: Logger } {
  const lines: Line[] = []
  const at = (level: string) => (message: string, fields?: Record<string, unknown>) =>
    void lines.push(fields ? [level, message, fields] : [level, message])
  return { lines, logger: { debug() {}, info: at('info'), warn: at('warn'), error: at('error') } }
}

const docs = readFileSync(new URL('../../../docs/operations/log.md', import.meta.url), 'utf8')
const row = ([level, message]: Line) => `| ${level} | \`${message}\` |`
const SECRET = 'a secret'
const failing = defineTask({ name: 'failing' }, () => {
  throw new Error(SECRET)
})
const asking = (name: string) => defineTask({ name }, (task) => task.input('question', { message: SECRET }))

afterEach(() => vi.restoreAllMocks())

test('an open and a close have one line each, and a parked task one', async () => {
  const disk = new MemoryDisk()
  const first = keeping()
  const gone = asking('gone')
  const kept = defineTask({ name: 'kept' }, (task) => task.step('a', () => new Promise(() => {})))
  const one = await openInMemory({ disk, logger: first.logger, tasks: [gone, kept] })
  await one.recovery.done
  const { taskId } = await one.start(gone, null)
  await one.start(kept, null)
  await one.close({ grace: 0 })
  expect(first.lines).toEqual([
    ['info', 'The store is open. No task was unfinished.'],
    ['info', 'The store is closed. Unfinished tasks continue at the next open.', { unfinished: 2 }],
  ])
  const second = keeping()
  const two = await openInMemory({ disk, logger: second.logger, tasks: [kept] })
  await two.recovery.done
  expect(second.lines).toEqual([
    [
      'warn',
      'A task is parked. Call get(taskId) for the reason. Correct the cause, or cancel the task.',
      { taskId, type: 'gone', code: 'TASK_TYPE_UNKNOWN' },
    ],
    ['info', '1 task resumed, 1 parked: TASK_TYPE_UNKNOWN (gone)'],
  ])
  await two.close({ grace: 0 })
  for (const line of [...first.lines, ...second.lines]) expect(docs).toContain(row(line))
})

test('of tasks of one type that fail, one line is written in a minute, then a count', async () => {
  const { lines, logger } = keeping()
  const clock = new ManualClock()
  const holdfast = await openInMemory({ clock, logger, tasks: [failing] })
  await holdfast.recovery.done
  lines.length = 0
  const ids: string[] = []
  for (let n = 0; n < 5; n++) {
    const { taskId } = await holdfast.start(failing, null)
    ids.push(taskId)
    await holdfast.result(taskId).catch(() => {})
  }
  const said = 'A task failed. Call get(taskId) for its error.'
  const about = { type: 'failing', code: 'TASK_FAILED' }
  expect(lines).toEqual([['warn', said, { taskId: ids[0], ...about }]])
  expect(docs).toContain(row(lines[0] as Line))
  await clock.advance(60_000)
  expect(lines.slice(1)).toEqual([['warn', said, { ...about, more: 4 }]])
  expect(JSON.stringify(lines)).not.toContain(SECRET)
  await holdfast.close()
})

test('a step that failed three times is warned of once, without its error', async () => {
  const { lines, logger } = keeping()
  let tries = 0
  const flaky = defineTask({ name: 'flaky' }, (task) =>
    task.step(
      'call',
      () => {
        tries++
        if (tries < 6) throw new Error(SECRET)
        return 1
      },
      { retry: { maximumAttempts: 9, initialInterval: 1, maximumInterval: 1 } },
    ),
  )
  const holdfast = await openInMemory({ logger, tasks: [flaky] })
  await holdfast.recovery.done
  lines.length = 0
  const { taskId } = await holdfast.start(flaky, null)
  await holdfast.result(taskId)
  const line: Line = ['warn', 'A step failed three times and is tried again.', { taskId, type: 'flaky', step: 'call' }]
  expect(lines).toEqual([line])
  expect(docs).toContain(row(line))
  await holdfast.close()
})

test('more than 100 kinds of lines in a minute are counted together', async () => {
  const { lines, logger } = keeping()
  const clock = new ManualClock()
  const holdfast = await openInMemory({ clock, logger })
  await holdfast.recovery.done
  lines.length = 0
  for (let n = 0; n < 120; n++) {
    const { taskId } = await holdfast.createSessionTask({ type: `type-${n}` })
    await holdfast.completeSessionTask(taskId, { kind: 'error', error: { name: 'Error', message: SECRET } })
  }
  expect(lines).toHaveLength(100)
  await holdfast.close()
  expect(lines.slice(100)).toEqual([
    ['warn', 'Lines of other kinds', { more: 20 }],
    ['info', 'The store is closed. Unfinished tasks continue at the next open.', { unfinished: 0 }],
  ])
})

test.each(LOG_LEVELS)('HOLDFAST_LOG=%s comes before `logLevel`', (level) => {
  const written: string[] = []
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => written.push(String(text)) > 0)
  const logger = defaultLogger(level === 'debug' ? 'silent' : 'debug', level)
  for (const name of ['debug', 'info', 'warn', 'error'] as const) logger[name](name)
  const all = ['debug: debug', 'info: info', 'warning: warn', 'error: error'].map((text) => `holdfast ${text}\n`)
  expect(written).toEqual(all.slice(LOG_LEVELS.indexOf(level)))
})

test('a HOLDFAST_LOG that is no level is reported, and `logLevel` holds', () => {
  const written: string[] = []
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => written.push(String(text)) > 0)
  defaultLogger('warn', 'loud').info('not written')
  expect(written).toEqual([
    'holdfast warning: HOLDFAST_LOG is not one of debug, info, warn, error, silent. It has no effect.\n',
  ])
})
