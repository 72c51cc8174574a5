// Goal: whatever is wrong, a command ends with a sentence that says what to do and an exit code of the page, and nothing is lost.
// Method: the program in this process, on a store with a task of each kind; everything in the store is compared afterwards. A
// backup is interrupted by a kill of its process. Two rows need root, for a small file system and for the files of another user.
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { cp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { verify } from '../../../src/admin/index.js'
import { EXIT_CODES } from '../../../src/cli/terminal/exit-codes.js'
import { Holdfast, silentLogger } from '../../../src/index.js'
import { operatorClient } from '../../../src/operator/index.js'
import { runCommandLine } from '../../helpers/command-line.js'
import { contentOf, fill, storeTasks } from '../../helpers/stores.js'

const PROGRAM = fileURLToPath(new URL('../../../dist/cli/main.js', import.meta.url))
const HOLDER = fileURLToPath(new URL('../../helpers/operator-holder.mjs', import.meta.url))

const base = mkdtempSync(join(tmpdir(), 'holdfast-bad-input-'))
afterAll(() => rmSync(base, { recursive: true, force: true }))

/** The store that every test copies, with values that make its backup take some time. */
const original = join(base, 'original')
let settled = ''
let names = 0
let dir = ''
beforeAll(async () => {
  const tasks = storeTasks()
  const holdfast = await Holdfast.open({ dir: original, tasks: Object.values(tasks), logger: silentLogger })
  settled = (await fill(holdfast, tasks)).settled
  for (let at = 0; at < 40; at++) {
    const bytes = Buffer.alloc(150_000, at).toString('base64')
    await holdfast.result((await holdfast.start(tasks.echo, bytes)).taskId)
  }
  await holdfast.close()
})
beforeEach(async () => {
  dir = join(base, `store-${++names}`)
  await cp(original, dir, { recursive: true })
})

/** Runs a command that ends with a sentence and the code. Returns the sentence. */
async function refused(code: number, ...args: string[]): Promise<string> {
  const { code: ended, out, err: said } = await runCommandLine(args)
  expect({ ended, out }, said).toEqual({ ended: code, out: '' })
  expect(Object.keys(EXIT_CODES)).toContain(String(code))
  // The library for command lines says `error:` of what it does not know.
  expect(said).toMatch(/^holdfast: [A-Z'`].*\.\n$|^error: .*\n$/s)
  return said
}

/** Checks that the store has every record of the original, and no damage. @param changing keys of records that may change */
async function nothingLost(changing = /^(chain|meta)\//): Promise<void> {
  expect(await verify({ dir })).toMatchObject({ isSound: true })
  const copies = await Promise.all(
    [original, dir].map(async (store, at) => {
      const copy = join(base, `content-${names}-${at}`)
      await cp(join(store, 'db'), copy, { recursive: true })
      return contentOf(copy)
    }),
  )
  const [before, after] = copies as [Map<string, string>, Map<string, string>]
  const changed = [...before].filter(([key, text]) => !changing.test(key) && after.get(key) !== text)
  expect(changed).toEqual([])
}

const identity = () => JSON.parse(readFileSync(join(dir, 'holdfast.json'), 'utf8')) as Record<string, unknown>

test('an unknown command and an unknown task', async () => {
  expect(await refused(2, '--dir', dir, 'tasks', 'lits')).toMatch(/unknown command 'lits'/)
  for (const command of ['get', 'steps', 'explain', 'cancel', 'delete']) {
    expect(await refused(3, '--dir', dir, 'tasks', command, 'task-none')).toMatch(/task-none/)
  }
  expect(await refused(3, '--dir', dir, 'export', 'task-none', join(base, 'export'))).toMatch(/task-none/)
  expect(existsSync(join(base, 'export'))).toBe(false)
  await nothingLost()
})

test('a wrong directory: none, an empty one, one of something else, and a file', async () => {
  const empty = join(base, 'empty')
  const other = join(base, 'other')
  const file = join(other, 'notes.txt')
  for (const folder of [empty, other]) mkdirSync(folder)
  writeFileSync(file, 'notes')
  for (const command of [['stats'], ['verify'], ['repair'], ['backup', 'create', join(base, 'b')], ['compact']]) {
    expect(await refused(3, '--dir', join(base, 'none'), ...command)).toMatch(/no store in/)
    expect(await refused(3, '--dir', empty, ...command)).toMatch(/no store in/)
    const isRead = command[0] !== 'repair'
    expect(await refused(isRead ? 3 : 1, '--dir', other, ...command)).toMatch(isRead ? /no store in/ : /notes\.txt/)
    expect(await refused(isRead ? 3 : 1, '--dir', file, ...command)).toMatch(isRead ? /no store in/ : /is a file/)
  }
  expect(existsSync(join(base, 'none'))).toBe(false)
  expect(readFileSync(file, 'utf8')).toBe('notes')
})

test('a store of a newer version', async () => {
  const before = JSON.stringify(identity())
  writeFileSync(join(dir, 'holdfast.json'), JSON.stringify({ ...identity(), format: 99 }))
  for (const command of [
    ['stats'],
    ['tasks', 'list'],
    ['verify'],
    ['repair'],
    ['backup', 'create', join(base, 'new')],
  ]) {
    expect(await refused(4, '--dir', dir, ...command)).toMatch(/format 99.*Upgrade holdfast/)
  }
  writeFileSync(join(dir, 'holdfast.json'), before)
  await nothingLost()
})

test('a dead socket: its process was killed, or lives and does not answer', { timeout: 60_000 }, async () => {
  const holder = spawn(process.execPath, [HOLDER, 'hold', dir], { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(holder.stdout as NodeJS.ReadableStream, 'data')
  holder.kill('SIGSTOP')
  // The command line waits 30 seconds.
  const client = operatorClient({ dir, timeoutMs: 300 })
  await expect(client.stats()).rejects.toMatchObject({
    code: 'OPERATOR_UNAVAILABLE',
    message: expect.stringMatching(/no answer within 300 ms: the server is busy or stopped\)\. Try again\.$/),
  })
  client.close()
  holder.kill('SIGKILL')
  await once(holder, 'exit')
  expect(await refused(5, '--dir', dir, 'tasks', 'resume', settled)).toMatch(/start the server/)
  // The process has no definitions, so it parked the unfinished tasks, and counted that.
  await nothingLost(/^(chain|meta|live|hour)\//)
})

test('a backup that was interrupted leaves no file of its name, and the next one is whole', async () => {
  const file = join(base, 'interrupted')
  let interrupted = 0
  for (let delay = 150; interrupted === 0 && delay < 3_000; delay += 10) {
    const child = spawn(process.execPath, [PROGRAM, '--dir', dir, 'backup', 'create', file], { stdio: 'ignore' })
    const ended = once(child, 'exit')
    while (child.exitCode === null && !existsSync(`${file}.partial`)) await wait(1)
    child.kill('SIGKILL')
    await ended
    if (existsSync(`${file}.partial`)) interrupted++
    else rmSync(file, { force: true })
  }
  expect(interrupted).toBe(1)
  expect(existsSync(file)).toBe(false)
  const target = join(base, 'restored')
  expect(await refused(7, 'backup', 'restore', `${file}.partial`, '--dir', target)).toMatch(/backup/)
  expect(existsSync(target)).toBe(false)
  execFileSync(process.execPath, [PROGRAM, '--dir', dir, 'backup', 'create', file])
  expect(existsSync(`${file}.partial`)).toBe(false)
  expect(await refused(1, '--dir', dir, 'backup', 'create', file)).toMatch(/exists; name a new one/)
  truncateSync(file, 1_000)
  expect(await refused(7, 'backup', 'restore', file, '--dir', target)).toMatch(/backup/)
  expect(existsSync(target)).toBe(false)
  await nothingLost()
})

const isRoot = process.getuid?.() === 0
if (!isRoot) console.error('Not run: a full disk and the files of another user need root.')

describe.runIf(isRoot)('as root', () => {
  test('a full disk: no file is left, and the store is as it was', async ({ skip }) => {
    const small = join(base, 'small')
    mkdirSync(small)
    const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', small], { stdio: 'ignore' })
    if (mounted.status !== 0) {
      console.error('Not run: no small file system can be mounted here.')
      skip()
    }
    try {
      expect(await refused(1, '--dir', dir, 'backup', 'create', join(small, 'backup'))).toMatch(/ENOSPC|no space/i)
      const whole = join(base, 'whole')
      execFileSync(process.execPath, [PROGRAM, '--dir', dir, 'backup', 'create', whole])
      expect(await refused(1, 'backup', 'restore', whole, '--dir', join(small, 'store'))).toMatch(/space/i)
      expect(await refused(1, '--dir', dir, 'audit', 'export', join(small, 'audit/none'))).toMatch(/ENOENT|no such/i)
      expect(existsSync(join(small, 'backup'))).toBe(false)
    } finally {
      execFileSync('umount', [small])
    }
    await nothingLost()
  })

  test('a store of another user', async () => {
    chownSync(join(dir, 'holdfast.json'), 12_345, 12_345)
    const commands = [['stats'], ['tasks', 'list'], ['tasks', 'cancel', settled], ['verify'], ['repair'], ['compact']]
    for (const command of commands) {
      expect(await refused(8, '--dir', dir, ...command)).toMatch(/Run it as uid 12345/)
    }
    chownSync(join(dir, 'holdfast.json'), 0, 0)
    await nothingLost()
  })
})
