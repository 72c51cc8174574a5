// Goal: each command does what the page says, with a server that runs the store and without one.
// Method: the program in this process, on real directories and the real socket. A table has each command with the exit code and
// the output in both cases.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createBackup, exportTask } from '../../../src/admin/index.js'
import { programFor } from '../../../src/cli/program.js'
import type { Terminal } from '../../../src/cli/terminal/context.js'
import { EXIT_CODES } from '../../../src/cli/terminal/exit-codes.js'
import type { Command } from '../../../src/cli/terminal/packages.js'
import { defineTask, Holdfast, silentLogger } from '../../../src/index.js'
import { untilIdle } from '../../../src/testing/index.js'
import { runCommandLine as command } from '../../helpers/command-line.js'
import { alter } from '../../helpers/stores.js'

const tasks = [
  defineTask({ name: 'imports' }, async (task) => {
    await task.step('read', () => ({ rows: 'secret' }))
    await task.saveCheckpoint({ at: 1 })
    await task.step('write', () => 5)
    await task.saveCheckpoint({ at: 2, more: 'x' })
    return 'done'
  }),
  defineTask({ name: 'asks' }, async (task) => task.input('really', { message: 'Go on?' })),
  defineTask({ name: 'flaky', retry: { maximumAttempts: 5, initialInterval: '1h' } }, (): number => {
    throw new Error('not yet')
  }),
  defineTask({ name: 'listens' }, (task) => task.receive('go')),
]
const gone = defineTask({ name: 'gone' }, (task) => task.receive('go'))

const base = mkdtempSync(join(tmpdir(), 'holdfast-cli-'))
afterAll(() => rmSync(base, { recursive: true, force: true }))

/** The tasks of a store, by their type. */
type Ids = Readonly<Record<'imports' | 'asks' | 'flaky' | 'listens' | 'gone' | 'moves', string>>

interface Filled {
  readonly holdfast: Holdfast
  readonly ids: Ids
  readonly checkpoint: string
  readonly key: string
  /** A backup of the store. */
  readonly backup: string
}

async function fill(dir: string): Promise<Filled> {
  const before = await Holdfast.open({ dir, tasks: [gone], logger: silentLogger })
  const ids: Record<string, string> = { gone: (await before.start(gone, undefined, { owner: 'ann' })).taskId }
  await before.close()
  // Without the definition `gone`, so its task is parked.
  const holdfast = await Holdfast.open({ dir, tasks, logger: silentLogger })
  await holdfast.recovery.done
  const asking = { title: 'A question', attributes: { customer: 'a-17', priority: 3 } }
  for (const { name } of tasks) {
    const options = { owner: 'ann', ...(name === 'asks' && asking) }
    ids[name] = (await holdfast.start(name, undefined, options)).taskId
  }
  ids['moves'] = (await holdfast.start('listens', undefined)).taskId
  await untilIdle(holdfast)
  const [, second] = await holdfast.listCheckpoints(ids['imports'] as string)
  const [key] = Object.keys((await holdfast.get(ids['asks'] as string)).inputRequests ?? {})
  const backup = `${dir}.backup`
  await createBackup({ holdfast, file: backup })
  return { holdfast, ids: ids as Ids, checkpoint: second?.checkpointId as string, key: key as string, backup }
}

const NO_SERVER = { code: 5, err: /^holdfast: No process runs the store .*; start the server\.\n$/ }
interface Expected {
  /** Interrupts the command once it printed this. */
  readonly until?: RegExp
  readonly code?: number
  readonly out?: RegExp
  readonly err?: RegExp
}
type Row = readonly [
  name: string,
  args: (store: Filled & { readonly file: string }) => readonly string[],
  running: Expected,
  stopped: Expected,
]

const NO_STORE = { ids: {}, checkpoint: '', key: '', backup: '', file: '' } as unknown as Filled & { file: string }

const same = (expected: Expected) => [expected, expected] as const

const ROWS: readonly Row[] = [
  ['tasks list', () => ['tasks', 'list'], ...same({ out: /\tcompleted\timports\tann\t/ })],
  ['tasks list with filters', () => ['tasks', 'list', '--status', 'failed', 'cancelled'], ...same({ out: /^$/ })],
  [
    'tasks get',
    ({ ids }) => ['tasks', 'get', ids.imports],
    ...same({ out: /^status\tcompleted$/m, err: /--show-values/ }),
  ],
  [
    'tasks list of an attribute',
    () => ['tasks', 'list', '--attribute', 'customer=a-17', '--attribute', 'priority=3'],
    ...same({ out: /^task-\w+\tinput_required\tasks\tann\t.*\tA question\n$/ }),
  ],
  [
    'tasks set-attributes',
    ({ ids }) => ['tasks', 'set-attributes', ids.listens, 'zip="8001"', 'n=-2', 'day=2026-01-31', 'no=null', '--json'],
    ...same({ out: /"attributes":\{"day":"2026-01-31","n":-2,"zip":"8001"\}/ }),
  ],
  ['tasks get of no task', () => ['tasks', 'get', 'task-none'], ...same({ code: 3, err: /There is no task/ })],
  ['tasks steps', ({ ids }) => ['tasks', 'steps', ids.imports], ...same({ out: /\tstep\tread\t1\tcompleted\t/ })],
  [
    'tasks explain',
    ({ ids }) => ['tasks', 'explain', ids.asks],
    { out: /^state\twaiting\nwaits\t.*"since":"\d{4}-\d\d-\d\dT/m },
    { out: /^state\tnot-recovered$/m },
  ],
  [
    'tasks events',
    () => ['tasks', 'events', '--json'],
    { code: 130, out: /"event":"snapshot"/, until: /snapshot/ },
    { code: 5, err: /No process runs the store/ },
  ],
  [
    'tasks events of one',
    ({ ids }) => ['tasks', 'events', ids.asks],
    { code: 130, out: /^now\t/, until: /now/ },
    NO_SERVER,
  ],
  ['tasks watch', ({ ids }) => ['tasks', 'watch', ids.imports], { out: /^now\t.*\tcompleted$/m }, NO_SERVER],
  ['checkpoints list', ({ ids }) => ['checkpoints', 'list', ids.imports], ...same({ out: /\tbody\t/ })],
  [
    'checkpoints show',
    ({ ids, checkpoint }) => ['checkpoints', 'show', ids.imports, checkpoint],
    ...same({ out: /^stateBytes\t/m }),
  ],
  [
    'checkpoints diff',
    ({ ids, checkpoint }) => ['checkpoints', 'diff', ids.imports, checkpoint],
    ...same({ out: /^\/more\tadded$/m }),
  ],
  ['stats', () => ['stats'], ...same({ out: /^tasks\.completed\t1$/m })],
  ['health', () => ['health'], { out: /^ready\ttrue$/m }, NO_SERVER],
  ['recovery', () => ['recovery'], ...same({ out: /^found\t1$/m })],
  ['recovery that is begun', () => ['recovery', '--begin'], { out: /^found\t1$/m }, NO_SERVER],
  ['recovery of an earlier start', () => ['recovery', '--last'], ...same({ out: /^counts\.parked\t1$/m })],
  ['audit list', ({ ids }) => ['audit', 'list', '--task', ids.imports], ...same({ out: /\tcreated\t/ })],
  [
    'audit export',
    () => ['audit', 'export', join(mkdtempSync(join(base, 'audit-')), 'file')],
    ...same({ out: /: \d+ entries of \d+ commits\. Head: \d+:[0-9a-f]{64}$/m }),
  ],
  ['audit verify', () => ['audit', 'verify'], ...same({ out: /the chain holds\. Head: /, err: /Without --head/ })],
  ['verify', () => ['verify'], ...same({ out: /no damage\.$/m })],
  ['repair', () => ['repair'], { code: 6, err: /is held by process/ }, { out: /Nothing was changed\.$/m }],
  [
    'backup create',
    () => ['backup', 'create', join(mkdtempSync(join(base, 'backup-')), 'file')],
    ...same({ out: /commit \d+ of store/ }),
  ],
  ['backup verify', ({ backup }) => ['backup', 'verify', backup], ...same({ out: /^damaged records\t0$/m })],
  [
    'backup restore',
    ({ backup }) => ['backup', 'restore', backup, '--dir', join(mkdtempSync(join(base, 'restored-')), 'store')],
    ...same({
      out: /is a new store, made of commit \d+ of store .* 5 unfinished tasks wait for `holdfast recovery --begin`\./,
    }),
  ],
  ['compact', () => ['compact'], ...same({ out: /^The database has \d+ bytes of tables now, and had \d+ before/m })],
  [
    'export',
    ({ ids }) => ['export', ids.listens, join(mkdtempSync(join(base, 'export-')), 'file')],
    ...same({ out: /task-\w+ \(listens, running\), \d+ records\.$/m }),
  ],
  [
    'export --redact',
    ({ ids }) => ['export', ids.imports, join(mkdtempSync(join(base, 'export-')), 'file'), '--redact'],
    ...same({ out: /cannot be imported\.$/m }),
  ],
  [
    'export of no task',
    () => ['export', 'task-none', join(mkdtempSync(join(base, 'export-')), 'file')],
    ...same({ code: 3, err: /There is no task/ }),
  ],
  [
    'export --move',
    ({ ids }) => ['export', ids.moves, join(mkdtempSync(join(base, 'export-')), 'file'), '--move'],
    ...same({ out: /It is cancelled here: moved\.$/m }),
  ],
  ['import', ({ file }) => ['import', file], ...same({ out: /\(listens, running\) is imported\. It is parked: / })],
  ['import, again', ({ file }) => ['import', file], ...same({ code: 4, err: /has task task-\w+ already/ })],
  [
    'import of another file',
    () => ['import', new URL(import.meta.url).pathname],
    ...same({ code: 7, err: /is not an exported task/ }),
  ],
  ['doctor', () => ['doctor'], ...same({ out: /^store\tok\tformat 2/m })],
  ['tasks start', () => ['tasks', 'start', 'imports', '--input', '1'], { out: /^task-\w+ started\.$/m }, NO_SERVER],
  [
    'tasks fork',
    ({ ids }) => ['tasks', 'fork', ids.imports, '--after-step', 'read'],
    { out: /continues from/ },
    NO_SERVER,
  ],
  ['tasks respond', ({ ids, key }) => ['tasks', 'respond', ids.asks, key, 'true'], { out: /is stored/ }, NO_SERVER],
  ['tasks send', ({ ids }) => ['tasks', 'send', ids.listens, 'go', '{"a":1}'], { out: /is stored/ }, NO_SERVER],
  ['tasks retry', ({ ids }) => ['tasks', 'retry', ids.flaky], { out: /retried/ }, NO_SERVER],
  ['tasks resume', ({ ids }) => ['tasks', 'resume', ids.gone], { code: 2, err: /'gone'/ }, NO_SERVER],
  [
    'tasks cancel',
    ({ ids }) => ['tasks', 'cancel', ids.gone],
    { out: /cancelled\.$/m },
    { out: /Its clean-up is pending/ },
  ],
  [
    'tasks cancel of a settled task',
    ({ ids }) => ['tasks', 'cancel', ids.imports],
    ...same({ code: 4, err: /completed/ }),
  ],
  [
    'tasks cancel with a filter, to count',
    () => ['tasks', 'cancel', '--type', 'flaky', '--dry-run'],
    ...same({ out: /^1 task matches\. Nothing was changed\.$/m }),
  ],
  [
    'tasks cancel with a filter',
    () => ['tasks', 'cancel', '--type', 'flaky', '--yes'],
    ...same({ out: /^1 task cancelled\./m }),
  ],
  [
    'tasks delete of a task whose clean-up is pending',
    ({ ids }) => ['tasks', 'delete', ids.gone],
    { code: 4 },
    { code: 4 },
  ],
  ['tasks delete', ({ ids }) => ['tasks', 'delete', ids.imports], ...same({ out: /deleted\.$/m })],
]

/** A file of a task of another store. */
async function exportedElsewhere(): Promise<string> {
  const dir = mkdtempSync(join(base, 'other-'))
  const holdfast = await Holdfast.open({ dir: join(dir, 'store'), tasks, logger: silentLogger })
  const { taskId } = await holdfast.start('listens', undefined)
  await exportTask({ holdfast, taskId, file: join(dir, 'file') })
  await holdfast.close()
  return join(dir, 'file')
}

describe.each(['running', 'stopped'] as const)('with the server %s', (mode) => {
  const dir = join(base, mode)
  let store: Awaited<ReturnType<typeof fill>> & { file: string }
  beforeAll(async () => {
    store = { ...(await fill(dir)), file: await exportedElsewhere() }
    if (mode === 'stopped') await store.holdfast.close()
  })
  afterAll(() => store.holdfast.close())

  test.each(ROWS)('%s', async (_name, args, ...expected) => {
    const { code = 0, out, err, until } = expected[mode === 'running' ? 0 : 1]
    const ran = await command(['--dir', dir, ...args(store)], { until })
    expect(ran).toMatchObject({
      code,
      ...(out && { out: expect.stringMatching(out) }),
      ...(err && { err: expect.stringMatching(err) }),
    })
    expect(ran.out).not.toContain('secret')
    if (code !== 0 && !until) expect(ran.out).toBe('')
  })
})

test('backup create --move needs a store at rest; then no command and no server opens it', async () => {
  const dir = join(base, 'moves')
  const { holdfast, ids } = await fill(dir)
  const file = join(base, 'moved')
  const env = { HOLDFAST_DIR: dir }
  const move = ['backup', 'create', file, '--move']
  expect(await command(move, { env })).toMatchObject({ code: 6, err: expect.stringMatching(/is held by process/) })
  expect(await holdfast.get(ids.asks)).toMatchObject({ status: 'input_required' })
  await holdfast.close()
  expect(await command(move, { env })).toMatchObject({
    code: 0,
    out: expect.stringMatching(/commit \d+ of store .* accepts no open any more\.$/m),
  })
  const sentence = {
    code: 4,
    err: expect.stringMatching(/^holdfast: The store .* was moved into the backup .*moved on \d{4}-/),
  }
  const commands = [['tasks', 'list'], ['tasks', 'start', 'asks'], ['verify'], ['repair'], ['compact'], move]
  for (const args of commands) expect(await command(args, { env }), args.join(' ')).toMatchObject(sentence)
  expect(await command(['doctor'], { env })).toMatchObject({
    code: 1,
    out: expect.stringMatching(
      /^store\tfailed\tformat 2, store \S+, moved on \S+\tIt accepts no open\. Use .*\/moved\.$/m,
    ),
  })
  const next = join(base, 'moved-to')
  const restored = await command(['--dir', next, 'backup', 'restore', file, '--start'])
  expect(restored).toMatchObject({ code: 0, out: expect.stringMatching(/5 unfinished tasks run at the next start/) })
  expect(restored.out).toMatch(/^listens\t2$/m)
  expect(restored.out).toMatch(new RegExp(`^${ids.asks}$`, 'm'))
  expect(await command(['--dir', next, 'doctor'])).toMatchObject({
    code: 0,
    out: expect.stringMatching(/^store\tok\tformat 2, store \S+, restored from commit \d+ of store \S+ on \d{4}-/m),
  })
})

describe('the audit', () => {
  const dir = join(base, 'audit')
  const file = join(base, 'audit.jsonl')
  const withDir = (...args: readonly string[]) => command(['--dir', dir, ...args])

  test('is verified with the head of an export, as a store and as a file, and a cut or a change has exit code 7', async () => {
    const { holdfast, ids } = await fill(dir)
    expect(await withDir('audit', 'export', file)).toMatchObject({ code: 0 })
    await holdfast.cancel(ids.asks)
    await holdfast.close()
    for (const args of [['--head', file], [file], [file, '--kept', '1d']]) {
      expect(await withDir('audit', 'verify', ...args)).toMatchObject({
        code: 0,
        out: expect.stringMatching(/the chain holds/),
      })
    }
    // The newest head is of an entry that the file does not have.
    const { out } = await withDir('audit', 'verify', '--json')
    const { head } = JSON.parse(out) as { head: { commit: number; hash: string } }
    const newest = `${head.commit}:${head.hash}`
    expect(await withDir('audit', 'verify', '--head', newest)).toMatchObject({ code: 0, err: '' })
    const cut = await withDir('audit', 'verify', file, '--head', newest)
    expect(cut).toMatchObject({
      code: 7,
      out: expect.stringMatching(/^CUT\t-\t\d+\t/),
      err: expect.stringMatching(/The first wrong entry is [0-9a-f]{12}-0000/),
    })
    await alter(dir, async (database) => {
      database.change(database.first('audit/'), (body) => body.replace('"by":"', '"by":"x'))
    })
    const changed = await withDir('audit', 'verify')
    expect(changed).toMatchObject({ code: 7, out: expect.stringMatching(/^CHANGED\t/) })
    const export_ = await withDir('audit', 'export', join(base, 'changed.jsonl'))
    expect(export_).toMatchObject({ code: 7, out: expect.stringMatching(/entries of/) })
    expect(readFileSync(join(base, 'changed.jsonl'), 'utf8')).toContain('"by":"x')
  })

  test('is not verified with a head or a file that is none', async () => {
    expect(await withDir('audit', 'verify', '--head', 'none')).toMatchObject({
      code: 7,
      out: '',
      err: expect.stringMatching(/neither/),
    })
    expect(await withDir('audit', 'verify', join(dir, 'holdfast.json'))).toMatchObject({
      code: 7,
      out: '',
      err: expect.stringMatching(/no exported audit/),
    })
    expect(await withDir('audit', 'verify', '--kept', 'x')).toMatchObject({ code: 2 })
    expect(await withDir('audit', 'export', file)).toMatchObject({
      err: expect.stringMatching(/exists; name a new one/),
    })
  })
})

test('the table above has every command that the program has', () => {
  const leaves = (command: Command, path: readonly string[]): string[] =>
    command.commands.length === 0
      ? [path.join(' ')]
      : command.commands.flatMap((each) => leaves(each, [...path, each.name()]))
  const terminal = { write() {}, writeError() {} } as unknown as Terminal
  const tried = new Set(
    ROWS.map(([, args]) => args(NO_STORE).filter((word) => word !== '--dir' && word !== '')).map((words) =>
      leaves(programFor(terminal, '0'), []).find((path) => words.join(' ').startsWith(path)),
    ),
  )
  // `mcp` speaks on the streams of its process: process.test.ts tries it with a server and without.
  expect(leaves(programFor(terminal, '0'), []).filter((path) => path !== 'mcp' && !tried.has(path))).toEqual([])
})

describe('the output', () => {
  const dir = join(base, 'output')
  let store: Awaited<ReturnType<typeof fill>>
  beforeAll(async () => {
    store = await fill(dir)
  })
  afterAll(() => store.holdfast.close())
  const env = { HOLDFAST_DIR: dir }

  test('with --json is one object a line, with a schema, and an error is one too', async () => {
    const { out } = await command(['tasks', 'list', '--json'], { env })
    const lines = out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { schema: number; taskId: string })
    expect(lines).toHaveLength(6)
    expect(lines.every(({ schema, taskId }) => schema === 1 && taskId.startsWith('task-'))).toBe(true)
    const failed = await command(['tasks', 'get', 'task-none', '--json'], { env })
    expect(failed.out).toBe('')
    expect(JSON.parse(failed.err)).toMatchObject({ schema: 1, error: { exitCode: 3, code: 'TASK_NOT_FOUND' } })
  })

  test('continues a list that is longer than its limit', async () => {
    const first = await command(['tasks', 'list', '--json', '--limit', '2'], { env })
    const { cursor } = JSON.parse(first.out.trim().split('\n').at(-1) as string) as { cursor: string }
    const rest = await command(['tasks', 'list', '--json', '--limit', '10', '--cursor', cursor], { env })
    expect(rest.out.trim().split('\n')).toHaveLength(4)
  })

  test('has colours on a terminal, and none with NO_COLOR or in a pipe', async () => {
    const colour = '\u001b['
    expect((await command(['tasks', 'list'], { env, isTerminal: true })).out).toContain(colour)
    expect((await command(['tasks', 'list'], { env: { ...env, NO_COLOR: '1' }, isTerminal: true })).out).not.toContain(
      colour,
    )
    expect((await command(['tasks', 'list'], { env })).out).not.toContain(colour)
  })

  test('has inputs, results and states only with --show-values', async () => {
    const shown = await command(['tasks', 'steps', store.ids.imports, '--show-values'], { env })
    expect(shown.out).toContain('{"rows":"secret"}')
    const diff = await command(['checkpoints', 'diff', store.ids.imports, store.checkpoint, '--show-values'], { env })
    expect(diff.out).toContain('/more\tadded\t-\t"x"')
  })

  test('the audit names the user who did it, as a claim of the command line', async () => {
    await command(['tasks', 'cancel', store.ids.listens, '--reason', 'stuck'], { env })
    const { out } = await command(['audit', 'list', '--task', store.ids.listens], { env })
    expect(out).toMatch(/\tcancelled\t.*\tcli: \S+\t/)
  })
})

describe('bad input', () => {
  const dir = join(base, 'bad')
  test.each([
    ['an unknown command', ['nope'], 2, /unknown command/],
    ['an unknown option', ['stats', '--nope'], 2, /unknown option/],
    ['no directory', ['stats'], 2, /--dir <folder>, or with HOLDFAST_DIR/],
    ['a directory without a store', ['--dir', join(base, 'none'), 'stats'], 3, /no store/i],
    ['an input that is no JSON', ['--dir', dir, 'tasks', 'start', 'x', '--input', '{'], 2, /is not JSON/],
    ['a fork without a point', ['--dir', dir, 'tasks', 'fork', 'task-1'], 2, /either --checkpoint/],
    ['a cancel of everything', ['--dir', dir, 'tasks', 'cancel'], 2, /at least one filter/],
    ['an instant that is none', ['--dir', dir, 'tasks', 'list', '--created-after', 'soon'], 2, /2026-01-31T12:00:00Z/],
    ['a limit that is none', ['--dir', dir, 'tasks', 'list', '--limit', '0'], 2, /whole number/],
  ])('%s ends with a sentence and a code', async (_name, args, code, err) => {
    const ran = await command(args)
    expect({ code: ran.code, out: ran.out }).toEqual({ code, out: '' })
    expect(ran.err).toMatch(err)
  })

  test('--help ends with 0', async () => {
    expect(await command(['--help'])).toMatchObject({ code: 0, out: expect.stringContaining('tasks') })
  })
})

test('the page has each exit code with its meaning', () => {
  const page = readFileSync(new URL('../../../docs/operations/command-line.md', import.meta.url), 'utf8')
  const rows = Object.entries(EXIT_CODES).map(([code, meaning]) => `| ${code} | ${meaning} |`)
  expect(page).toContain(
    ['<!-- exit-codes:begin -->', '| code | meaning |', '|--|--|', ...rows, '<!-- exit-codes:end -->'].join('\n'),
  )
})
