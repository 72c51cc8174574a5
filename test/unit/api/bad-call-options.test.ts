// Goal: every option of every call on an instance refuses what it cannot be, with an error that names the option, what was
// expected and what was given; nothing is begun, written or lost by it.
// Method: a table of calls, each with a row of bad values for each option. The tests want every call, so that a new one without
// rows fails. Around each refusal the disk is compared byte by byte.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { AUDIT_OPTIONS } from '../../../src/api/audit.js'
import { LIST_OPTIONS } from '../../../src/api/list.js'
import { STATS_OPTIONS } from '../../../src/api/stats.js'
import { CALL_OPTIONS } from '../../../src/engine/checks/call-options.js'
import { START_OPTIONS } from '../../../src/engine/checks/start-options.js'
import { COMPACT_OPTIONS } from '../../../src/engine/retention/compact-store.js'
import {
  type AuditOptions,
  type CancelOptions,
  type ClientRestoreOptions,
  type ClientSaveOptions,
  type CloseOptions,
  type CompactOptions,
  defineTask,
  Holdfast,
  type HoldfastError,
  type ListOptions,
  type OwnerOption,
  type OwnerScope,
  type ResultOptions,
  type SendOptions,
  type SessionTaskOptions,
  type StartOptions,
  type StatsOptions,
} from '../../../src/index.js'
import { ManualClock, MemoryDisk, openInMemory } from '../../../src/testing/index.js'
import {
  badOptions,
  COUNT,
  DURATION,
  errorOf,
  expectRefusal,
  FLAG,
  FUNCTION,
  INSTANT,
  NO_DURATION,
  NOTHING_ELSE,
  OBJECT,
  oneOf,
  quick,
  type Rows,
  show,
  type Tried,
  text,
} from '../../helpers/bad-options.js'

const OWNER = text(256)
const KEY = text(256)
const ATTRIBUTES = [
  ...[5, 'x', null, true, [], new Map([['a', 1]])],
  ...[{ '': 1 }, { ['x'.repeat(65)]: 1 }, { 'a\n': 1 }, { a: {} }, { a: 5n }, { a: Number.NaN }, { a: 'é'.repeat(33) }],
  ...[{ a: 'a\0' }, Object.fromEntries(Array.from({ length: 9 }, (_, n) => [`a${n}`, n]))],
]
const START: Rows<StartOptions> = {
  owner: OWNER,
  idempotencyKey: KEY,
  ttl: DURATION,
  deadline: INSTANT,
  priority: [101, -101, 0.5, Number.NaN, Number.POSITIVE_INFINITY, '5', ...NOTHING_ELSE],
  title: text(256),
  attributes: ATTRIBUTES,
}
const OWNED: Rows<OwnerOption> = { owner: OWNER }

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
      attributes: [...ATTRIBUTES, {}, { a: null }, { a: undefined }, { a: 1, b: 2, c: 3 }],
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
  explain: {
    call: 'explain',
    names: CALL_OPTIONS.owner,
    rows: OWNED,
    run: (f, o) => f.holdfast.explain(f.sleeping, o),
  },
  retry: { call: 'retry', names: CALL_OPTIONS.owner, rows: OWNED, run: (f, o) => f.holdfast.retry(f.sleeping, o) },
  setAttributes: {
    call: 'setAttributes',
    names: CALL_OPTIONS.owner,
    rows: OWNED,
    run: (f, o) => f.holdfast.setAttributes(f.sleeping, { a: 1 }, o),
  },
  delete: { call: 'delete', names: CALL_OPTIONS.owner, rows: OWNED, run: (f, o) => f.holdfast.delete(f.settled, o) },
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
    rows: {
      owner: OWNER,
      type: [undefined, ...text(128)],
      ttl: DURATION,
      title: text(256),
      attributes: ATTRIBUTES,
    } satisfies Rows<SessionTaskOptions>,
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
  stats: {
    call: 'stats',
    names: STATS_OPTIONS,
    rows: { from: INSTANT, to: INSTANT } satisfies Rows<StatsOptions>,
    run: (f, o) => f.holdfast.stats(o),
  },
  compact: {
    call: 'compact',
    names: COMPACT_OPTIONS,
    rows: {
      onProgress: [5, 'x', {}, ...NOTHING_ELSE],
      signal: [5, 'x', {}, new AbortController(), ...NOTHING_ELSE],
    } satisfies Rows<CompactOptions>,
    run: (f, o) => f.holdfast.compact(o),
  },
  close: {
    call: 'close',
    names: CALL_OPTIONS.close,
    rows: { grace: NO_DURATION } satisfies Rows<CloseOptions>,
    run: (f, o) => f.holdfast.close(o),
  },
} satisfies Record<string, Call>
/** Calls that take no options. */
/** Calls on many tasks, whose options are tried in test/behaviour/operating. */
const MANY = ['cancelMany', 'retryMany', 'resumeMany', 'deleteMany']
const WITHOUT_OPTIONS = [
  'constructor',
  'recovery',
  'recover',
  'register',
  'forOwner',
  'health',
  'lastRecovery',
  'on',
  ...MANY,
]

/** What must not change by a refusal: every byte on the disk. */
const bytesOn = (disk: MemoryDisk) => [...disk.content].sort(([one], [other]) => (one < other ? -1 : 1))

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
    const classes = [Holdfast.prototype, Object.getPrototypeOf(Holdfast.prototype) as object]
    const methods = [...new Set(classes.flatMap((each) => Object.getOwnPropertyNames(each)))]
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
    const without = [
      'constructor',
      'explain',
      'retry',
      'setAttributes',
      'delete',
      'get',
      'respond',
      'resume',
      'listCheckpoints',
      'steps',
      'completeSessionTask',
    ]
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
