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
import { AUDIT_OPTIONS } from '../../../src/api/audit.js'
import { LIST_OPTIONS } from '../../../src/api/list.js'
import { STEP_OPTIONS } from '../../../src/engine/calls/checked-step.js'
import { CALL_OPTIONS } from '../../../src/engine/checks/call-options.js'
import { DEFAULT_LIMITS } from '../../../src/engine/checks/limits.js'
import { OPEN_OPTIONS } from '../../../src/engine/checks/open-options.js'
import { START_OPTIONS } from '../../../src/engine/lifecycle/start.js'
import {
  type AuditOptions,
  type CancelOptions,
  type ChildOptions,
  type CleanUpOptions,
  type ClientRestoreOptions,
  type ClientSaveOptions,
  type CloseOptions,
  defineTask,
  Holdfast,
  type HoldfastError,
  type IsolatedOptions,
  type Limits,
  type ListOptions,
  type OpenOptions,
  type OwnerOption,
  type OwnerScope,
  type ResultOptions,
  RetryAfterError,
  type RetryOptions,
  type SaveCheckpointOptions,
  type SendOptions,
  type SessionTaskOptions,
  type StartOptions,
  type StepOptions,
  type TaskContext,
  type TaskOptions,
  type WaitOptions,
} from '../../../src/index.js'
import { CHILD_OPTIONS, SAVE_OPTIONS, WAIT_OPTIONS } from '../../../src/task/definition/context.js'
import { CLEAN_UP_OPTIONS, TASK_OPTIONS } from '../../../src/task/definition/definition.js'
import { ISOLATED_OPTIONS } from '../../../src/task/definition/isolated-options.js'
import { RETRY_OPTIONS } from '../../../src/task/definition/retry-options.js'
import { ManualClock, MemoryDisk, openInMemory } from '../../../src/testing/index.js'

// --- what no option of a kind may be --------------------------------------------------------------------------------

/** Of no kind at all. A function is one in some places, and is left out. */
const NOTHING_ELSE = [null, true, Symbol('x'), 5n, [], Object.create(null)]
const text = (bytesMax: number) => ['', 'x'.repeat(bytesMax + 1), 'a\nb', 'a\0', '\ud800', 0, -1, ...NOTHING_ELSE]
const COUNT = [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 60, '5', '', ...NOTHING_ELSE]
const NO_DURATION = [
  ...[-1, -0.5, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 1e17],
  ...[
    '',
    '5',
    's',
    '-5s',
    '5 fortnights',
    '7 weeks',
    '1e3s',
    '5S',
    'Infinitys',
    '99999999999d',
    new Date(),
    ...NOTHING_ELSE,
  ],
]
const DURATION = [0, '0s', '0.0m', ...NO_DURATION]
const INSTANT = [
  ...[
    Number.NaN,
    Number.POSITIVE_INFINITY,
    9e15,
    new Date(Number.NaN),
    '2026-01-01',
    'tomorrow',
    '5s',
    ...NOTHING_ELSE,
  ],
]
const FLAG = ['no', '', 0, 1, null, [], {}]
const FUNCTION = [5, 'x', {}, ...NOTHING_ELSE]
const OBJECT = [5, 'x', () => {}, null, true, []]
const oneOf = ['', 'maybe', 0, ...NOTHING_ELSE]
const OWNER = text(256)
const KEY = text(256)

/** Bad values for each option: all names of its interface, or it doesn't compile. */
type Rows<Options> = { readonly [Name in keyof Required<Options>]: readonly unknown[] }

const RETRY: Rows<RetryOptions> = {
  maximumAttempts: COUNT,
  initialInterval: NO_DURATION,
  backoffCoefficient: [0, 0.5, -2, Number.NaN, Number.POSITIVE_INFINITY, '2', ...NOTHING_ELSE],
  maximumInterval: DURATION,
  retryIf: FUNCTION,
}
const BASIC_STEP = { retry: OBJECT, timeout: DURATION, onInterrupted: oneOf }
const STEP: Rows<StepOptions> = { ...BASIC_STEP, commit: oneOf }
const WAIT: Rows<WaitOptions> = { timeout: DURATION }
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
  lockWait: NO_DURATION,
  clock: [...OBJECT, {}, Date, { now: () => 0 }],
  logger: [...OBJECT, {}, { warn: () => {} }],
  logLevel: oneOf,
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
const START: Rows<StartOptions> = {
  owner: OWNER,
  idempotencyKey: KEY,
  ttl: DURATION,
  deadline: INSTANT,
  priority: [101, -101, 0.5, Number.NaN, Number.POSITIVE_INFINITY, '5', ...NOTHING_ELSE],
}
const OWNED: Rows<OwnerOption> = { owner: OWNER }

// --- what is tried ----------------------------------------------------------------------------------------------------

interface Tried {
  /** What the error calls the options. */
  readonly call: string
  readonly names: object
  readonly rows: Readonly<Record<string, readonly unknown[]>>
  /** What else the call needs to be a good one. */
  readonly good?: Readonly<Record<string, unknown>>
}

/** Every bad value of every option, with what its error has to say. */
function* badOptions({ call, names, rows, good = {} }: Tried, prefix = ''): Iterable<[unknown, RegExp]> {
  expect(Object.keys(rows).sort()).toEqual(Object.keys(names).sort())
  const nested = prefix !== ''
  for (const given of OBJECT) {
    const what = nested ? `Expected \`${prefix.slice(0, -1)}\`` : `Expected the options of \`${call}\``
    yield [given, new RegExp(`^${escaped(what)} to be an object.*, got `)]
  }
  const misspelt = nested
    ? `Unknown option \`${prefix}misspelt\`; there are `
    : `Unknown option \`misspelt\` of \`${call}\`; `
  yield [{ ...good, misspelt: 1 }, new RegExp(`^${escaped(misspelt)}`)]
  for (const [name, values] of Object.entries(rows)) {
    for (const value of values) {
      yield [
        { ...good, [name]: value },
        new RegExp(`(Expected|Unknown option) .*\`?${escaped(prefix + name)}\\b|defineTask`),
      ]
    }
  }
}

const escaped = (plain: string) => plain.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')

/** Whether the message says what was given, and is a mistake of the program: a `TypeError` without a code. */
function expectRefusal(error: unknown, message: RegExp, where: string): void {
  expect(error, where).toBeInstanceOf(TypeError)
  expect((error as { code?: unknown }).code, where).toBeUndefined()
  expect((error as Error).message, where).toMatch(message)
  expect((error as Error).message, where).toMatch(/, got .|^Unknown option .*; there are ./)
}

const show = (value: unknown) => {
  try {
    return typeof value === 'object' ? JSON.stringify(value) : String(value)
  } catch {
    return 'something'
  }
}

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

// --- the calls on an instance -----------------------------------------------------------------------------------------

interface Fixture {
  readonly holdfast: Holdfast
  readonly disk: MemoryDisk
  readonly clock: ManualClock
  /** Alice's: one that sleeps, one that is settled, and a session. */
  readonly sleeping: string
  readonly settled: string
  readonly session: string
}

const sleeper = defineTask({ name: 'sleeper' }, async (task) => {
  await task.step('a', () => 1)
  await task.saveCheckpoint({ row: 1 })
  await task.sleep('long', '1h')
})
const quick = defineTask({ name: 'quick' }, () => 1)

async function fixture(): Promise<Fixture> {
  const disk = new MemoryDisk()
  const clock = new ManualClock()
  const holdfast = await openInMemory({ disk, clock, tasks: [sleeper, quick] })
  const owner = 'alice'
  const { taskId: sleeping } = await holdfast.start(sleeper, null, { owner })
  const { taskId: settled } = await holdfast.start(quick, null, { owner })
  await holdfast.result(settled)
  const { taskId: session } = await holdfast.createSessionTask({ type: 'talk', owner })
  await clock.advance(100)
  return { holdfast, disk, clock, sleeping, settled, session }
}

type Call = Tried & { readonly run: (fixture: Fixture, options: never) => unknown }

const CALLS = {
  start: { call: 'start', names: START_OPTIONS, rows: START, run: (f, o) => f.holdfast.start(quick, null, o) },
  fork: {
    call: 'fork',
    names: START_OPTIONS,
    rows: START,
    run: ({ holdfast, sleeping }, options) => holdfast.fork(sleeping, { afterStep: 'a' }, options),
  },
  get: { call: 'get', names: CALL_OPTIONS.owner, rows: OWNED, run: (f, o) => f.holdfast.get(f.sleeping, o) },
  list: {
    call: 'list',
    names: LIST_OPTIONS,
    rows: {
      owner: OWNER,
      status: ['done', '', 5, ...NOTHING_ELSE.filter((value) => !Array.isArray(value)), ['running', 'done'], [null]],
      type: text(128),
      parent: ['', 'task-', 'other', 5, {}, ...NOTHING_ELSE],
      createdAfter: INSTANT,
      createdBefore: INSTANT,
      order: ['', 'descending', 5, {}, ...NOTHING_ELSE],
      limit: [...COUNT, 1_001],
      cursor: ['nonsense', '', 5, null, {}],
    } satisfies Rows<ListOptions>,
    run: (f, o) => f.holdfast.list(o),
  },
  result: {
    call: 'result',
    names: CALL_OPTIONS.result,
    rows: {
      owner: OWNER,
      signal: [5, 'x', {}, new AbortController(), ...NOTHING_ELSE],
      timeout: NO_DURATION,
      waitParked: FLAG,
    } satisfies Rows<ResultOptions>,
    run: (f, o) => f.holdfast.result(f.sleeping, o),
  },
  cancel: {
    call: 'cancel',
    names: CALL_OPTIONS.cancel,
    rows: {
      owner: OWNER,
      reason: [5, {}, ...NOTHING_ELSE, 'x'.repeat(2_001)],
      force: FLAG,
    } satisfies Rows<CancelOptions>,
    run: (f, o) => f.holdfast.cancel(f.sleeping, o),
  },
  respond: {
    call: 'respond',
    names: CALL_OPTIONS.owner,
    rows: OWNED,
    run: (f, o) => f.holdfast.respond(f.sleeping, { 'q-1': 1 }, o),
  },
  send: {
    call: 'send',
    names: CALL_OPTIONS.send,
    rows: { owner: OWNER, idempotencyKey: KEY } satisfies Rows<SendOptions>,
    run: (f, o) => f.holdfast.send(f.sleeping, 'm', 1, o),
  },
  resume: { call: 'resume', names: CALL_OPTIONS.owner, rows: OWNED, run: (f, o) => f.holdfast.resume(f.sleeping, o) },
  saveCheckpoint: {
    call: 'saveCheckpoint',
    names: CALL_OPTIONS.save,
    rows: { owner: OWNER, label: text(256) } satisfies Rows<ClientSaveOptions>,
    run: (f, o) => f.holdfast.saveCheckpoint(f.session, 1, o),
  },
  restoreCheckpoint: {
    call: 'restoreCheckpoint',
    names: CALL_OPTIONS.restore,
    rows: { owner: OWNER, checkpointId: text(256), savedBy: oneOf } satisfies Rows<ClientRestoreOptions>,
    run: (f, o) => f.holdfast.restoreCheckpoint(f.sleeping, o),
  },
  listCheckpoints: {
    call: 'listCheckpoints',
    names: CALL_OPTIONS.owner,
    rows: OWNED,
    run: (f, o) => f.holdfast.listCheckpoints(f.sleeping, o),
  },
  steps: { call: 'steps', names: CALL_OPTIONS.owner, rows: OWNED, run: (f, o) => f.holdfast.steps(f.sleeping, o) },
  createSessionTask: {
    call: 'createSessionTask',
    names: CALL_OPTIONS.session,
    rows: { owner: OWNER, type: [undefined, ...text(128)], ttl: DURATION } satisfies Rows<SessionTaskOptions>,
    good: { type: 'talk' },
    run: (f, o) => f.holdfast.createSessionTask(o),
  },
  completeSessionTask: {
    call: 'completeSessionTask',
    names: CALL_OPTIONS.owner,
    rows: OWNED,
    run: (f, o) => f.holdfast.completeSessionTask(f.session, { kind: 'result', result: 1 }, o),
  },
  audit: {
    call: 'audit',
    names: AUDIT_OPTIONS,
    rows: { taskId: [5, {}, ...NOTHING_ELSE], since: INSTANT, limit: [...COUNT, 10_001] } satisfies Rows<AuditOptions>,
    run: (f, o) => f.holdfast.audit(o),
  },
  close: {
    call: 'close',
    names: CALL_OPTIONS.close,
    rows: { grace: NO_DURATION } satisfies Rows<CloseOptions>,
    run: (f, o) => f.holdfast.close(o),
  },
} satisfies Record<string, Call>
/** Calls that take no options. */
const WITHOUT_OPTIONS = ['constructor', 'recovery', 'recover', 'register', 'forOwner', 'stats', 'on']

/** What must not change by a refusal: every byte on the disk. */
const bytesOn = (disk: MemoryDisk) => [...disk.content].sort(([one], [other]) => (one < other ? -1 : 1))

/** What a call threw, now or later. */
async function errorOf(call: () => unknown): Promise<unknown> {
  try {
    await call()
    return undefined
  } catch (thrown) {
    return thrown
  }
}

/** Whether the store opens again, with its tasks as they were. */
async function expectUnharmed({ disk, clock, sleeping, settled, session }: Fixture): Promise<void> {
  disk.crash()
  const again = await openInMemory({ disk, clock, tasks: [sleeper, quick] })
  await again.recovery.done
  expect(await again.get(sleeping)).toMatchObject({ status: 'running', owner: 'alice', parked: undefined })
  expect(await again.get(settled)).toMatchObject({ status: 'completed', outcome: { kind: 'result', result: 1 } })
  expect(await again.get(session)).toMatchObject({ status: 'running', kind: 'session' })
  const ended = again.result(sleeping)
  await clock.advance(3_600_000)
  expect(await ended).toBeUndefined()
  await again.close()
}

describe('a call on an instance', () => {
  test('is in this table', () => {
    const methods = Object.getOwnPropertyNames(Holdfast.prototype)
    expect(methods.sort()).toEqual([...Object.keys(CALLS), ...WITHOUT_OPTIONS].sort())
  })

  test.each(Object.values(CALLS as Record<string, Call>))(
    '$call refuses every option that can’t be, and changes nothing',
    async (tried) => {
      const made = await fixture()
      const before = bytesOn(made.disk)
      for (const [options, message] of badOptions(tried)) {
        const error = await errorOf(() => tried.run(made, options as never))
        const where = `${tried.call}(…, ${show(options)})`
        // A cursor is data that went through a client, so it has a code.
        if ((error as HoldfastError | undefined)?.code === 'INVALID_CURSOR') continue
        expectRefusal(error, message, where)
        expect(bytesOn(made.disk), where).toEqual(before)
      }
      await expectUnharmed(made)
    },
  )

  test('limited to an owner refuses the same, and never falls back to everybody’s tasks', async () => {
    const made = await fixture()
    const before = bytesOn(made.disk)
    const bob = made.holdfast.forOwner('bob')
    const { sleeping, session } = made
    const calls: [string, (options: never) => unknown][] = [
      ['start', (o) => bob.start(quick, null, o)],
      ['fork', (o) => bob.fork(sleeping, { afterStep: 'a' }, o)],
      ['list', (o) => bob.list(o)],
      ['result', (o) => bob.result(sleeping, o)],
      ['cancel', (o) => bob.cancel(sleeping, o)],
      ['send', (o) => bob.send(sleeping, 'm', 1, o)],
      ['saveCheckpoint', (o) => bob.saveCheckpoint(session, 1, o)],
      ['restoreCheckpoint', (o) => bob.restoreCheckpoint(sleeping, o)],
      ['createSessionTask', (o) => bob.createSessionTask(o)],
    ]
    const without = ['constructor', 'get', 'respond', 'resume', 'listCheckpoints', 'steps', 'completeSessionTask']
    const methods = Object.getOwnPropertyNames(Object.getPrototypeOf(bob) as OwnerScope)
    expect(methods.sort()).toEqual([...calls.map(([name]) => name), ...without].sort())
    for (const [name, call] of calls) {
      for (const options of [...OBJECT, { misspelt: 1 }]) {
        const error = await errorOf(() => call(options as never))
        expectRefusal(error, new RegExp(`options? .*of \`${name}\``), `${name}(…, ${show(options)})`)
      }
    }
    // What names another owner is still bob's.
    expect(await errorOf(() => bob.cancel(sleeping, { owner: 'alice' } as never))).toMatchObject({
      code: 'TASK_NOT_FOUND',
    })
    expect(bytesOn(made.disk)).toEqual(before)
    await expectUnharmed(made)
  })

  const ids = [5, {}, ...NOTHING_ELSE, undefined]
  const ARGUMENTS: [string, readonly unknown[], (made: Fixture, value: never) => unknown, RegExp][] = [
    ...(['get', 'result', 'cancel', 'resume', 'restoreCheckpoint', 'listCheckpoints', 'steps'] as const).map(
      (name): (typeof ARGUMENTS)[number] => [
        `the ID of ${name}`,
        ids,
        (f, id) => f.holdfast[name](id),
        /`taskId` to be a string/,
      ],
    ),
    ['the ID of respond', ids, (f, id) => f.holdfast.respond(id, {}), /`taskId` to be a string/],
    ['the ID of send', ids, (f, id) => f.holdfast.send(id, 'm'), /`taskId` to be a string/],
    ['the ID of saveCheckpoint', ids, (f, id) => f.holdfast.saveCheckpoint(id, 1), /`taskId` to be a string/],
    ['the ID of fork', ids, (f, id) => f.holdfast.fork(id, { afterStep: 'a' }), /`taskId` to be a string/],
    [
      'the ID of completeSessionTask',
      ids,
      (f, id) => f.holdfast.completeSessionTask(id, { kind: 'result' }),
      /`taskId` to be a string/,
    ],
    [
      'the definition of start',
      [5, {}, { name: 'x', body: () => {} }, () => {}, undefined, ...NOTHING_ELSE],
      (f, definition) => f.holdfast.start(definition, null),
      /Expected a definition made by `defineTask`, got /,
    ],
    [
      'the definition of register',
      [5, 'quick', {}, undefined, ...NOTHING_ELSE],
      (f, definition) => f.holdfast.register(definition),
      /Expected a definition made by `defineTask`, got /,
    ],
    ['the owner of forOwner', [undefined, ...OWNER], (f, owner) => f.holdfast.forOwner(owner), /`owner` to be/],
    ['the name of send', [undefined, ...text(200)], (f, name) => f.holdfast.send(f.sleeping, name), /`name` to be/],
    [
      'the answers of respond',
      [5, 'yes', undefined, () => {}, null, true, []],
      (f, answers) => f.holdfast.respond(f.sleeping, answers),
      /`responses` to be an object of answers/,
    ],
    [
      'the point of fork',
      [5, 'load', {}, { after: 'a' }, { afterStep: 5 }, { afterStep: {} }, { checkpointId: 5 }, undefined, null, []],
      (f, point) => f.holdfast.fork(f.sleeping, point),
      /`point|`afterStep|`checkpointId/,
    ],
    [
      'the outcome of completeSessionTask',
      [5, 'done', {}, { kind: 'maybe' }, { kind: 'error' }, { kind: 'error', error: {} }, null, undefined],
      (f, outcome) => f.holdfast.completeSessionTask(f.session, outcome),
      /`outcome` to be/,
    ],
    [
      'the event of on',
      ['task:setled', '', 5, undefined, 'toString', null],
      (f, event) => f.holdfast.on(event, () => {}),
      /`event` to be one of task:created, /,
    ],
    [
      'the listener of on',
      [undefined, ...FUNCTION],
      (f, listener) => f.holdfast.on('task:settled', listener),
      /`listener` to be a function/,
    ],
  ]
  test.each(ARGUMENTS)('refuses %s that can’t be, and changes nothing', async (_, values, call, message) => {
    const made = await fixture()
    const before = bytesOn(made.disk)
    for (const value of values) {
      expectRefusal(await errorOf(() => call(made, value as never)), message, show(value))
      expect(bytesOn(made.disk), show(value)).toEqual(before)
    }
    await expectUnharmed(made)
  })

  test('that changes a settled task is refused or ignored, and says so', async () => {
    const made = await fixture()
    const { holdfast, settled } = made
    const before = bytesOn(made.disk)
    expect(await holdfast.respond(settled, { 'q-1': 'yes' })).toEqual({
      open: [],
      accepted: [],
      ignored: [{ key: 'q-1', reason: 'settled' }],
    })
    for (const call of [
      () => holdfast.cancel(settled),
      () => holdfast.cancel(settled, { force: true }),
      () => holdfast.send(settled, 'm'),
      () => holdfast.resume(settled),
      () => holdfast.saveCheckpoint(settled, 1),
    ]) {
      expect(await errorOf(call)).toMatchObject({ code: 'TASK_SETTLED', message: expect.stringMatching(/'completed'/) })
    }
    expect(bytesOn(made.disk)).toEqual(before)
    await expectUnharmed(made)
  })

  test('with a deadline that has passed makes a task that fails at once, and says when it was over', async () => {
    for (const deadline of [0, -1, new Date(0)]) {
      const { holdfast, clock } = await fixture()
      const { taskId } = await holdfast.start(sleeper, null, { deadline })
      const told = errorOf(() => holdfast.result(taskId))
      await clock.advance(1)
      expect(await told).toMatchObject({
        code: 'TIMEOUT',
        message: expect.stringMatching(/its `deadline` passed at 19(70|69)-/),
      })
      await holdfast.close()
    }
  })
})

// --- the calls of a body ------------------------------------------------------------------------------------------------

const MODULE = new URL('../../helpers/isolated-work.mjs', import.meta.url)
const NAME = [undefined, ...text(200)]

type BodyCall = Tried & { readonly prefix?: string; readonly run: (task: TaskContext, options: never) => unknown }
const BODY_CALLS: Record<string, BodyCall> = {
  'task.step': {
    call: 'task.step',
    names: STEP_OPTIONS,
    rows: STEP,
    run: (task, options) => task.step('bad', () => 1, options),
  },
  'retry of task.step': {
    call: 'retry',
    prefix: 'retry.',
    names: RETRY_OPTIONS,
    rows: RETRY,
    run: (task, retry) => task.step('bad', () => 1, { retry }),
  },
  'task.isolated': {
    call: 'task.isolated',
    names: ISOLATED_OPTIONS,
    rows: {
      ...BASIC_STEP,
      memoryMb: [...COUNT, 127],
      cpuMs: COUNT,
      export: ['', 5, ...NOTHING_ELSE],
    } satisfies Rows<IsolatedOptions>,
    run: (task, options) => task.isolated('bad', MODULE, null, options),
  },
  'task.input': {
    call: 'task.input',
    names: WAIT_OPTIONS,
    rows: WAIT,
    run: (task, options) => task.input('bad', null, options),
  },
  'task.receive': {
    call: 'task.receive',
    names: WAIT_OPTIONS,
    rows: { timeout: NO_DURATION } satisfies Rows<WaitOptions>,
    run: (task, options) => task.receive('bad', options),
  },
  'task.child': {
    call: 'task.child',
    names: CHILD_OPTIONS,
    rows: { name: text(200) } satisfies Rows<ChildOptions>,
    run: (task, options) => task.child(quick, null, options),
  },
  'task.saveCheckpoint': {
    call: 'task.saveCheckpoint',
    names: SAVE_OPTIONS,
    rows: { label: text(256), prune: FLAG } satisfies Rows<SaveCheckpointOptions>,
    run: (task, options) => task.saveCheckpoint(1, options),
  },
}
const branch = async () => 1
const branches = [5, 'x', () => {}, null, true, [], undefined, { a: 5 }, { '': branch }, { ['x'.repeat(65)]: branch }]
const BODY_ARGUMENTS: [string, readonly unknown[], (task: TaskContext, value: never) => unknown, RegExp][] = [
  ['the name of step', NAME, (task, name) => task.step(name, () => 1), /`name` to be/],
  ['the function of step', [undefined, ...FUNCTION], (task, fn) => task.step('bad', fn), /`fn` to be a function/],
  ['the name of isolated', NAME, (task, name) => task.isolated(name, MODULE), /`name` to be/],
  [
    'the module of isolated',
    [undefined, 5, '', './work.mjs', 'https://example.org/x.js', new URL('data:text/javascript,'), {}, ...NOTHING_ELSE],
    (task, url) => task.isolated('bad', url),
    /`moduleUrl` to be/,
  ],
  ['the name of sleep', NAME, (task, name) => task.sleep(name, 1), /`name` to be/],
  ['the duration of sleep', [undefined, ...NO_DURATION], (task, ms) => task.sleep('bad', ms), /`duration` to be/],
  ['the name of sleepUntil', NAME, (task, name) => task.sleepUntil(name, 1), /`name` to be/],
  ['the instant of sleepUntil', [undefined, ...INSTANT], (task, at) => task.sleepUntil('bad', at), /`instant` to be/],
  ['the name of input', NAME, (task, name) => task.input(name), /`name` to be/],
  ['the name of receive', NAME, (task, name) => task.receive(name), /`name` to be/],
  [
    'the definition of child',
    [5, {}, undefined, ...NOTHING_ELSE],
    (task, definition) => task.child(definition, null),
    /definition made by `defineTask`, got /,
  ],
  ['the ID of restoreCheckpoint', text(256), (task, id) => task.restoreCheckpoint(id), /`checkpointId` to be/],
  ['the ID of patched', NAME, (task, id) => task.patched(id), /`id` to be/],
  [
    'the progress',
    [undefined, ...OBJECT],
    (task, progress) => task.progress(progress),
    /`progress` to be an object of done, total, message/,
  ],
  ['the branches of all', branches, (task, given) => task.all(given), /`?branch/],
  ['the branches of race', [...branches, {}], (task, given) => task.race(given), /`?branch|at least one/],
  ['the branches of any', [...branches, {}], (task, given) => task.any(given), /`?branch|at least one/],
]
/** What of a context can't be called wrongly: figures, and calls without arguments. */
const NOT_CALLED = ['taskId', 'type', 'version', 'owner', 'attempt', 'recovered', 'signal', 'log', 'now', 'uuid']

describe('a call of a body', () => {
  /** Runs a body that tries bad calls, and goes on. Returns what they threw; only what came after is in the log. */
  async function tries(calls: [string, (task: TaskContext) => unknown][]): Promise<Map<string, unknown>> {
    const errors = new Map<string, unknown>()
    const disk = new MemoryDisk()
    const task = defineTask({ name: 'task' }, async (task) => {
      expect(Object.keys(task).sort()).toEqual([...new Set([...NOT_CALLED, ...methodsTried()])].sort())
      for (const [where, call] of calls) errors.set(where, await errorOf(() => call(task)))
      return task.step('after', () => 'fine')
    })
    const holdfast = await openInMemory({ disk, tasks: [task, quick] })
    const { taskId } = await holdfast.start(task, null)
    expect(await holdfast.result(taskId)).toBe('fine')
    expect((await holdfast.steps(taskId)).flatMap(({ steps }) => steps.map(({ name }) => name))).toEqual(['after'])
    expect((await holdfast.list()).tasks).toHaveLength(1)
    expect(await holdfast.get(taskId)).toMatchObject({ completedSteps: 1, progress: undefined })
    await holdfast.close()
    return errors
  }
  const methodsTried = () => [
    ...Object.values(BODY_CALLS).flatMap(({ call }) => (call.startsWith('task.') ? [call.slice(5)] : [])),
    ...BODY_ARGUMENTS.map(([what]) => what.split(' ').at(-1) as string),
  ]

  test.each(Object.entries(BODY_CALLS))('%s refuses every option that can’t be; the body goes on', async (_, tried) => {
    const bad = [...badOptions(tried, tried.prefix)]
    const errors = await tries(
      bad.map(
        ([options], at) =>
          [`${at}`, (task) => tried.run(task, options as never)] as [string, (task: TaskContext) => unknown],
      ),
    )
    for (const [at, [options, message]] of bad.entries()) {
      expectRefusal(errors.get(`${at}`), message, `${tried.call} with ${show(options)}`)
    }
  })

  test.each(BODY_ARGUMENTS)('refuses %s that can’t be; the body goes on', async (_, values, call, message) => {
    const errors = await tries(values.map((value, at) => [`${at}`, (task) => call(task, value as never)]))
    for (const [at, value] of values.entries()) {
      const error = errors.get(`${at}`)
      expect(error, show(value)).toBeInstanceOf(TypeError)
      expect((error as Error).message, show(value)).toMatch(message)
    }
  })

  test('takes undefined for left out, and leaves out figures of progress that are none', async () => {
    const options = (names: object) => Object.fromEntries(Object.keys(names).map((name) => [name, undefined]))
    const task = defineTask({ name: 'task' }, async (task) => {
      await task.step('a', () => 1, { ...options(STEP_OPTIONS), retry: options(RETRY_OPTIONS) })
      await task.child(quick, null, options(CHILD_OPTIONS))
      await task.saveCheckpoint(1, options(SAVE_OPTIONS))
      await task.restoreCheckpoint(undefined)
      task.progress({ done: Number.NaN, total: Number.POSITIVE_INFINITY, message: 'half' })
      await task.race({ a: (t) => t.input('q', undefined, options(WAIT_OPTIONS)), b: (t) => t.step('b', () => 1) })
    })
    const holdfast = await openInMemory({ tasks: [task] })
    const { taskId } = await holdfast.start(task, undefined, options(START_OPTIONS))
    await holdfast.result(taskId, options(CALL_OPTIONS.result))
    expect((await holdfast.get(taskId, options(CALL_OPTIONS.owner))).progress).toEqual({ message: 'half' })
    await holdfast.list(options(LIST_OPTIONS))
    await holdfast.audit(options(AUDIT_OPTIONS))
    await holdfast.close(options(CALL_OPTIONS.close))
  })

  test('that makes a task its own ancestor ends after a few generations, and leaves none of them', async () => {
    const self = defineTask({ name: 'self' }, (task: TaskContext): Promise<unknown> => task.child('self'))
    const holdfast = await openInMemory({ tasks: [self] })
    const { taskId } = await holdfast.start(self, null)
    await expect(holdfast.result(taskId)).rejects.toThrow(/ancestors already, as many as a task may have/)
    const { tasks } = await holdfast.list()
    expect(tasks.every(({ status }) => status === 'failed')).toBe(true)
    expect(tasks.length).toBeLessThan(20)
    await holdfast.close()
  })
})
