// Goal: every option of every call refuses what it can't be, with an error that names the option, what was expected and
// what was given; nothing is begun, written or lost by it.
// Method: a table of calls, each with a row of bad values for each option. The compiler wants a row for every name of an
// option's interface, and the tests want every call, so that a new one without rows fails. Around each refusal the disk
// is compared byte by byte; in a body, the log.
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { DEFAULT_LIMITS } from '../../../src/engine/checks/limits.js'
import { OPEN_OPTIONS } from '../../../src/engine/checks/open-options.js'
import {
  type CleanUpOptions,
  defineTask,
  Holdfast,
  type Limits,
  type OpenOptions,
  RetryAfterError,
  type TaskOptions,
} from '../../../src/index.js'
import { CLEAN_UP_OPTIONS, TASK_OPTIONS } from '../../../src/task/definition/definition.js'
import { RETRY_OPTIONS } from '../../../src/task/definition/retry-options.js'
import {
  badOptions,
  COUNT,
  DURATION,
  expectRefusal,
  FLAG,
  FUNCTION,
  NO_DURATION,
  NOTHING_ELSE,
  OBJECT,
  oneOf,
  RETRY,
  type Rows,
  show,
  type Tried,
  text,
} from '../../helpers/bad-options.js'

const OPEN: Rows<OpenOptions> = {
  dir: ['', 'a\0b', 5, undefined, ...NOTHING_ELSE],
  tasks: [{}, 'x', 5, null, [null], [5], [{}], [{ name: 'x', body: () => {} }], [() => {}]],
  concurrency: COUNT,
  concurrencyPerOwner: COUNT,
  ratePerOwner: [...OBJECT, {}, { starts: 0, per: '1m' }, { starts: 5 }, { starts: 5, per: '1 year' }, { start: 5 }],
  durability: oneOf,
  idempotencyRetention: DURATION,
  retention: DURATION,
  auditRetention: DURATION,
  auditBytesMax: COUNT,
  keepCheckpoints: COUNT,
  unloadAfter: NO_DURATION,
  maximumRecoveries: COUNT,
  recover: oneOf,
  anchor: oneOf,
  acceptDamage: FLAG,
  operator: FLAG,
  lockWait: NO_DURATION,
  clock: [...OBJECT, {}, Date, { now: () => 0 }],
  logger: [...OBJECT, {}, { warn: () => {} }],
  logLevel: oneOf,
  telemetry: [...OBJECT, {}, { begin: () => {} }],
  limits: [...OBJECT, { stepsMax: 5 }, { recordsPerTaskMax: 0 }],
}
const TASK: Rows<TaskOptions<undefined, undefined>> = {
  name: [undefined, ...text(128)],
  version: text(64),
  input: [5, 'x', {}, () => {}, { parse: () => {} }, ...NOTHING_ELSE],
  output: [5, 'x', {}, () => {}, ...NOTHING_ELSE],
  timeout: DURATION,
  concurrency: COUNT,
  retry: OBJECT,
  keepCheckpoints: COUNT,
  undo: [...OBJECT, { charge: 5 }, { charge: undefined }],
  onCancel: FUNCTION,
  cleanUp: OBJECT,
}
const CLEAN_UP: Rows<CleanUpOptions> = { retry: OBJECT, timeout: DURATION, grace: NO_DURATION }

const unhandled: unknown[] = []
const note = (reason: unknown) => void unhandled.push(reason)
let scratch: string
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'holdfast-bad-options-'))
  process.on('unhandledRejection', note)
})
afterAll(async () => {
  await rm(scratch, { recursive: true, force: true })
  process.off('unhandledRejection', note)
  expect(unhandled).toEqual([])
})

describe('open', () => {
  const dir = () => join(scratch, 'store')
  const refused = async (options: unknown, message: RegExp) => {
    const error = await Holdfast.open(options as never).catch((thrown: unknown) => thrown)
    expectRefusal(error, message, show(options))
    expect(existsSync(dir()), show(options)).toBe(false)
  }

  test('refuses every option that can’t be, and makes no store', async () => {
    const tried: Tried = { call: 'open', names: OPEN_OPTIONS, rows: OPEN, good: { dir: dir() } }
    for (const [options, message] of badOptions(tried)) await refused(options, message)
  })

  test('refuses every limit that can’t be', async () => {
    for (const name of Object.keys(DEFAULT_LIMITS) as (keyof Limits)[]) {
      const isBudget = name === 'storeBytesMax' || name === 'ownerBytesMax'
      const isRecord = name.endsWith('BytesMax') && !isBudget
      const bad = [...COUNT, ...(isRecord ? [2 ** 30] : [])].filter(
        (value) => !(isBudget && value === Number.POSITIVE_INFINITY),
      )
      for (const value of bad) {
        await refused({ dir: dir(), limits: { [name]: value } }, new RegExp(`\`limits.${name}\` to be `))
      }
    }
  })

  test('counts an option that is undefined as left out', async () => {
    const names = Object.keys(OPEN_OPTIONS).filter((name) => name !== 'dir')
    const options = Object.fromEntries(names.map((name) => [name, undefined]))
    const limits = Object.fromEntries(Object.keys(DEFAULT_LIMITS).map((name) => [name, undefined]))
    const holdfast = await Holdfast.open({ dir: join(scratch, 'defaults'), ...options, limits })
    expect((await holdfast.createSessionTask({ type: 'talk', owner: undefined, ttl: undefined })).taskId).toMatch(
      /^task-/,
    )
    await holdfast.close({ grace: undefined })
  })
})

describe('defineTask', () => {
  const refused = (options: unknown, message: RegExp) => {
    let error: unknown
    try {
      defineTask(options as never, () => 1)
    } catch (thrown) {
      error = thrown
    }
    expectRefusal(error, message, show(options))
  }

  test.each([
    ['defineTask', TASK_OPTIONS, TASK, ''],
    ['retry', RETRY_OPTIONS, RETRY, 'retry.'],
    ['cleanUp', CLEAN_UP_OPTIONS, CLEAN_UP, 'cleanUp.'],
    ['cleanUp.retry', RETRY_OPTIONS, RETRY, 'cleanUp.retry.'],
  ] as const)('refuses every option of %s that can’t be', (call, names, rows, prefix) => {
    for (const [given, message] of badOptions({ call, names, rows, good: prefix ? {} : { name: 'x' } }, prefix)) {
      const path = prefix.split('.').filter((part) => part !== '')
      const whole = path.reduceRight((inner, part) => ({ [part]: inner }), given)
      refused(path.length === 0 ? given : { name: 'x', ...(whole as object) }, message)
    }
  })

  test('refuses a body that is no function, and takes undefined for left out', () => {
    expect(() => defineTask({ name: 'x' }, 5 as never)).toThrow(/`body` to be a function, got 5 \(number\)/)
    const options = Object.fromEntries(Object.keys(TASK_OPTIONS).map((name) => [name, undefined]))
    expect(defineTask({ ...options, name: 'x' }, () => 1)).toEqual(
      expect.objectContaining({
        name: 'x',
        timeoutMs: undefined,
        retry: expect.objectContaining({ maximumAttempts: 1 }),
      }),
    )
  })

  test('a wait after which to try again is a duration', () => {
    for (const value of NO_DURATION)
      expect(() => new RetryAfterError(value as never)).toThrow(/`duration` to be .*, got /)
  })
})
