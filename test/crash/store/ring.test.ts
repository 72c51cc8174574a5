/**
 * Goal: the ring of commits (src/store/integrity/chain.ts) outlasts the logs that LevelDB replays at an open. Every open that lacks
 * an acknowledged commit refuses the store, however small the commits are (store-2).
 * Method: 50,000 synced commits of one byte, then copies of the store, each with one bit flipped in another place of the
 * logs. The same again with a copy that was taken while two logs were there: `strace` delays the sync of a table.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import {
  copyFileSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { systemClock } from '../../../src/base/clock.js'
import { HoldfastError } from '../../../src/base/errors.js'
import { createIds } from '../../../src/base/ids.js'
import { silentLogger } from '../../../src/base/logger.js'
import { under } from '../../../src/store/disk/layout.js'
import { pages } from '../../../src/store/disk/pages.js'
import { openStore } from '../../../src/store/open.js'
import { canAttach, IN_MEMORY } from '../../helpers/strace.js'

const COMMITS = 50_000
const PLACES = 200
const OPENS_AT_ONCE = 4

const folder = mkdtempSync(join(IN_MEMORY ?? tmpdir(), 'holdfast-ring-'))
const live = join(folder, 'live')
if (!canAttach) console.info('skipped: a store with two logs needs `strace`, with the right to attach to a process')

interface Word {
  readonly at: string
  readonly commits: number
  readonly tableThreads: string[]
}

/** A copy that nobody writes to, and how many commits were acknowledged by then. */
interface Snapshot {
  readonly dir: string
  readonly commits: number
  readonly logs: readonly string[]
}

let child: ChildProcess
let words: AsyncIterator<string>
let strace: ChildProcess | undefined
let oneLog: Snapshot
let twoLogs: Snapshot | undefined

async function next(at: string): Promise<Word> {
  const { value } = await words.next()
  const word = JSON.parse(String(value)) as Word
  expect(word.at).toBe(at)
  return word
}

/** Copies the store while its process waits. */
function snapshot(name: string, commits: number): Snapshot {
  const dir = join(folder, name)
  mkdirSync(join(dir, 'db'), { recursive: true })
  for (const file of ['holdfast.json', 'anchor']) copyFileSync(join(live, file), join(dir, file))
  const names = readdirSync(join(live, 'db')).filter((file) => file !== 'LOCK')
  for (const file of names) copyFileSync(join(live, 'db', file), join(dir, 'db', file))
  return { dir, commits, logs: names.filter((file) => file.endsWith('.log')).sort() }
}

/** Delays the next sync of the threads by far longer than the test takes. Resolves once that holds. */
async function delaySync(threads: readonly string[]): Promise<void> {
  const inject = ['-e', 'trace=fdatasync', '-e', 'inject=fdatasync:delay_enter=600000000']
  const attach = threads.flatMap((thread) => ['-p', thread])
  strace = spawn('strace', [...inject, '-o', '/dev/null', ...attach], { stdio: ['ignore', 'ignore', 'pipe'] })
  const { stderr } = strace
  if (!stderr) throw new Error('strace has no standard error')
  for await (const line of createInterface({ input: stderr })) if (/attached/.test(line)) return
  throw new Error('strace did not attach')
}

beforeAll(async () => {
  const script = fileURLToPath(new URL('./ring-child.mjs', import.meta.url))
  child = spawn(process.execPath, [script, live, String(COMMITS)], { stdio: ['pipe', 'pipe', 'inherit'] })
  if (!child.stdout || !child.stdin) throw new Error('The child has no pipes')
  words = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const { commits, tableThreads } = await next('written')
  oneLog = snapshot('one-log', commits)
  if (canAttach) {
    expect(tableThreads).not.toEqual([])
    await delaySync(tableThreads)
    child.stdin.write('\n')
    twoLogs = snapshot('two-logs', (await next('two-logs')).commits)
  }
  child.kill('SIGKILL')
  strace?.kill('SIGKILL')
}, 120_000)

afterAll(() => {
  child?.kill('SIGKILL')
  strace?.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true })
})

/**
 * A copy of the snapshot with one bit flipped. The other files are links where LevelDB never writes to them: not a table
 * that was begun after the oldest log. An open uses its number again, and would write into it for all copies.
 */
function withFlippedBit(from: Snapshot, place: number): string {
  const dir = mkdtempSync(join(folder, 'copy-'))
  mkdirSync(join(dir, 'db'))
  linkSync(join(from.dir, 'holdfast.json'), join(dir, 'holdfast.json'))
  copyFileSync(join(from.dir, 'anchor'), join(dir, 'anchor'))
  let at = place
  for (const file of readdirSync(join(from.dir, 'db')).sort()) {
    const path = join(from.dir, 'db', file)
    const bytes = from.logs.includes(file) ? readFileSync(path) : undefined
    if (bytes !== undefined && at >= 0 && at < bytes.length) {
      bytes[at] = (bytes[at] ?? 0) ^ (1 << (place % 8))
      writeFileSync(join(dir, 'db', file), bytes)
    } else if (file.endsWith('.ldb') && file > (from.logs[0] ?? '')) {
      copyFileSync(path, join(dir, 'db', file))
    } else {
      linkSync(path, join(dir, 'db', file))
    }
    at -= bytes?.length ?? 0
  }
  return dir
}

/** What the open of a store says: a code, or how many of the records it has. */
async function openAndCount(dir: string): Promise<string | number> {
  const options = { dir, durability: 'synced', anchor: 'behind', acceptDamage: false } as const
  try {
    const store = await openStore({ ...options, clock: systemClock, ids: createIds(), logger: silentLogger })
    let found = 0
    await store.read(async (level) => {
      for await (const page of pages(level, under('binding/ring/'))) found += page.length
    })
    await store.close()
    return found
  } catch (error) {
    return error instanceof HoldfastError ? error.code : String(error)
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

async function expectNoticed(from: Snapshot): Promise<void> {
  const bytes = from.logs.reduce((sum, log) => sum + readFileSync(join(from.dir, 'db', log)).length, 0)
  const said = new Map<string | number, number>()
  let place = 0
  const worker = async () => {
    while (place < PLACES) {
      const at = Math.floor(((place++ + 0.5) / PLACES) * bytes)
      const words = await openAndCount(withFlippedBit(from, at))
      said.set(words, (said.get(words) ?? 0) + 1)
    }
  }
  await Promise.all(Array.from({ length: OPENS_AT_ONCE }, worker))
  const noticed = said.get('STORE_DAMAGED') ?? 0
  const whole = said.get(from.commits) ?? 0
  expect(Object.fromEntries(said), 'what the opens said').toEqual({
    ...(noticed > 0 ? { STORE_DAMAGED: noticed } : {}),
    ...(whole > 0 ? { [from.commits]: whole } : {}),
  })
  // Nearly every byte of a log belongs to a commit, so nearly every flipped bit loses some.
  expect(noticed).toBeGreaterThan(0.9 * PLACES)
}

describe(`one of ${PLACES} bits flipped after ${COMMITS} commits of one byte`, () => {
  test('no open lacks an acknowledged commit without saying STORE_DAMAGED', async () => {
    expect(oneLog.commits).toBe(COMMITS)
    await expectNoticed(oneLog)
  }, 120_000)

  test.skipIf(!canAttach)(
    'so it is with a copy that was taken while two logs were there',
    async () => {
      if (twoLogs === undefined) throw new Error('There is no copy')
      expect(twoLogs.logs).toHaveLength(2)
      await expectNoticed(twoLogs)
    },
    120_000,
  )
})
