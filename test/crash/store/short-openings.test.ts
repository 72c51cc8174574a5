/**
 * Goal: a store with a table that aborts the process is refused with the table's name, instead of ending each start of a
 * server. A store that is sound opens after any number of early ends.
 * Method: processes that open a store on disk, and end by an abort of LevelDB, a kill or a close.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { Holdfast, silentLogger } from 'holdfast'
import { repair, verify } from 'holdfast/admin'
import { ManualClock } from 'holdfast/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createIds } from '../../../src/base/ids.js'
import { countOpening } from '../../../src/store/files/short-openings.js'
import { openStore } from '../../../src/store/open.js'
import { makeAborting } from '../../helpers/aborting-tables.js'
import { fillStore, storeTasks } from '../../helpers/stores.js'

const SOURCE = pathToFileURL(fileURLToPath(new URL('../../../src/index.ts', import.meta.url))).href
const CHILD = fileURLToPath(new URL('short-openings-child.mjs', import.meta.url))

let scratch: string
let sound: string
let aborting: string
let names = 0
const fresh = () => join(scratch, `store-${++names}`)

beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'holdfast-short-'))
  sound = fresh()
  await fillStore(sound)
  aborting = await copyOf(sound)
  await makeAborting(aborting)
})
afterAll(() => rm(scratch, { recursive: true, force: true }))

async function copyOf(dir: string): Promise<string> {
  const to = fresh()
  await cp(dir, to, { recursive: true })
  return to
}

const tablesOf = async (dir: string) =>
  (await readdir(join(dir, 'db')))
    .filter((name) => name.endsWith('.ldb'))
    .sort()
    .map((name) => join(dir, 'db', name))

/** Every file of a store with its content. */
async function filesOf(dir: string): Promise<Map<string, string>> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
  return new Map(await Promise.all(files.sort().map(async (file) => [file, await readFile(file, 'latin1')] as const)))
}

const start = (dir: string) =>
  spawn('node', ['--import', 'tsx', CHILD, SOURCE, dir], { stdio: ['pipe', 'pipe', 'ignore'] })

/** The first line of a process, and how it ended. */
async function endOf(child: ChildProcess) {
  const lines: string[] = []
  createInterface({ input: child.stdout as NodeJS.ReadableStream }).on('line', (line) => lines.push(line))
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null]
  return { said: lines.at(-1), ended: signal ?? code }
}

/** Starts a process, and kills it once it has the store open. */
async function killed(dir: string): Promise<void> {
  const child = start(dir)
  await once(child.stdout as NodeJS.ReadableStream, 'data')
  child.kill('SIGKILL')
  await once(child, 'close')
}

const counted = async (dir: string) => {
  const text = await readFile(join(dir, 'opening'), 'utf8').catch(() => undefined)
  return text === undefined ? undefined : (JSON.parse(text) as { short: number }).short
}

/** A logger that notes the lines that this file is about. */
function noting() {
  const checks: string[] = []
  const info = (line: string) => void (line.includes('within 10 seconds') && checks.push(line))
  return { checks, logger: { ...silentLogger, info } }
}

const open = (dir: string, logger = silentLogger) =>
  Holdfast.open({ dir, tasks: Object.values(storeTasks()), logger, operator: false })

test('a table that aborts the process twice is refused by name, and a repair keeps the rest', {
  timeout: 60_000,
}, async () => {
  const dir = await copyOf(aborting)
  for (let opening = 1; opening <= 2; opening++) {
    expect((await endOf(start(dir))).ended).toBe('SIGABRT')
    expect(await counted(dir)).toBe(opening)
  }
  const before = await filesOf(dir)
  const [table = ''] = await tablesOf(dir)
  for (let opening = 0; opening < 2; opening++) {
    await expect(open(dir)).rejects.toMatchObject({
      code: 'STORE_DAMAGED',
      message: expect.stringMatching(
        new RegExp(`the table db/${table.split('/').at(-1)} .*npx holdfast repair --dir ${dir}`),
      ),
    })
  }
  // The lock file of the process that aborted was taken over and released.
  before.delete(join(dir, 'lock'))
  expect(await filesOf(dir)).toEqual(before)

  const report = await repair({ dir })
  expect(report).toMatchObject({ isChanged: true, keptIn: expect.stringContaining('broken-') })
  expect(await verify({ dir })).toMatchObject({ isSound: true })
  const { checks, logger } = noting()
  const holdfast = await open(dir, logger)
  expect(checks).toHaveLength(1)
  await holdfast.close()
  expect(await counted(dir)).toBeUndefined()
})

test('an opening to operate is refused too, and is not counted', { timeout: 60_000 }, async () => {
  const dir = await copyOf(aborting)
  await writeFile(join(dir, 'opening'), '{"short":2}\n')
  const operate = (at: string) =>
    openStore({
      dir: at,
      durability: 'synced',
      anchor: 'behind',
      acceptDamage: false,
      purpose: 'operate',
      clock: new ManualClock(),
      ids: createIds(),
      logger: silentLogger,
    })
  await expect(operate(dir)).rejects.toMatchObject({ code: 'STORE_DAMAGED' })
  expect(await counted(dir)).toBe(2)
  const other = await copyOf(sound)
  await (await operate(other)).close()
  expect(await counted(other)).toBeUndefined()
})

test('a sound store opens after any number of kills, and is checked at every third start', {
  timeout: 60_000,
}, async () => {
  const dir = await copyOf(sound)
  await killed(dir)
  await killed(dir)
  expect(await counted(dir)).toBe(2)
  await killed(dir)
  expect(await counted(dir)).toBe(1)
  const { checks, logger } = noting()
  const holdfast = await open(dir, logger)
  expect(checks).toEqual([])
  await holdfast.close()
  expect(await counted(dir)).toBeUndefined()
})

test('an opening counts until it is closed or lasted 10 seconds', async () => {
  const dir = await copyOf(sound)
  const clock = new ManualClock()
  let isHeld = true
  const assertHeld = () => {
    if (!isHeld) throw new Error('another process holds the store')
  }
  const count = () => countOpening(dir, { clock, logger: silentLogger, counts: true, assertHeld })
  await count()
  await clock.advance(9_999)
  expect(await counted(dir)).toBe(1)
  await clock.advance(1)
  expect(await counted(dir)).toBeUndefined()

  const opening = await count()
  opening.end()
  opening.end()
  expect(await counted(dir)).toBeUndefined()

  // The file of another process stays.
  await count()
  isHeld = false
  await clock.advance(20_000)
  expect(await counted(dir)).toBe(1)
})

test.each([['not JSON'], ['null'], ['{"short":"two"}'], ['']])('a count that reads %j is no count', async (text) => {
  const dir = await copyOf(sound)
  await writeFile(join(dir, 'opening'), text)
  const holdfast = await open(dir)
  expect(await counted(dir)).toBe(1)
  await holdfast.close()
})
