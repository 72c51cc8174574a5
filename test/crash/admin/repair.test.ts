/**
 * Goal: a repaired store opens without `acceptDamage`, has everything that was whole, and its `verify` is clean. A repair that
 * fails or whose process is killed loses nothing.
 * Method: real stores with tables and logs of each age, harmed as disks and people harm them; a process that is killed before
 * each of its renames. `REPAIR_DAMAGES=200` repairs that many stores with random damage.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { Holdfast, silentLogger } from 'holdfast'
import { repair, verify } from 'holdfast/admin'
import { untilIdle } from 'holdfast/testing'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { salvage } from '../../../src/admin/repair/salvage.js'
import { Damages } from '../../helpers/damages.js'
import { randomOf, seedFor } from '../../helpers/simulation.js'
import { agedStore, alter, CallNotes, contentOf, storeIdOf, storeTasks } from '../../helpers/stores.js'

const DAMAGES = Number(process.env['REPAIR_DAMAGES'] ?? 4)

let scratch: string
let original: string
/** Content of the database of the original. */
let whole: Map<string, string>
let names = 0
const fresh = () => join(scratch, `store-${++names}`)
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'holdfast-repair-'))
  original = fresh()
  await agedStore(original)
  whole = await contentOf(join(await copy(), 'db'))
})
afterAll(() => rm(scratch, { recursive: true, force: true }))

async function copy(): Promise<string> {
  const dir = fresh()
  await cp(original, dir, { recursive: true })
  return dir
}

const open = (dir: string, more: object = {}) =>
  Holdfast.open({ dir, tasks: Object.values(storeTasks()), logger: silentLogger, ...more })

const filesOf = async (dir: string, end: string) =>
  (await readdir(join(dir, 'db'))).filter((name) => name.endsWith(end) || name.startsWith(end)).sort()

async function largestTable(dir: string): Promise<string> {
  const names = await filesOf(dir, '.ldb')
  const sizes = await Promise.all(names.map(async (name) => (await stat(join(dir, 'db', name))).size))
  return join(dir, 'db', names[sizes.indexOf(Math.max(...sizes))] as string)
}

async function change(path: string, act: (bytes: Buffer) => void): Promise<void> {
  const bytes = await readFile(path)
  act(bytes)
  await writeFile(path, bytes)
}

/** Repairs, and checks what holds for every repaired store. */
async function repaired(dir: string, options: object = {}) {
  const report = await repair({ dir, ...options })
  expect(await verify({ dir })).toMatchObject({ isSound: true, findings: [] })
  const left = (await readdir(dir)).filter((name) => !/^(anchor|db|holdfast\.json|broken-\w+)$/.test(name))
  expect(left).toEqual([])
  const holdfast = await open(dir)
  expect(holdfast.recovery.heldReason).toBe(report.held)
  await holdfast.close()
  return report
}

describe('files of the database', () => {
  test('a store without damage is left alone', async () => {
    const dir = await copy()
    const before = await readdir(dir)
    expect(await repair({ dir })).toMatchObject({ isChanged: false, isWhole: true, findings: [], keptIn: undefined })
    expect(await readdir(dir)).toEqual(before)
  })

  test('a salvage of sound files gives each record, none that was deleted, and the newest value', async () => {
    const dir = await copy()
    const folders = { from: [join(dir, 'db')], scratch: join(dir, 'scratch'), to: join(dir, 'salvaged') }
    expect(await salvage(folders, () => {})).toEqual([])
    expect(await contentOf(folders.to)).toEqual(whole)
    expect(whole.size).toBeGreaterThan(500)
  })

  test('a table with a flipped bit loses one block, which the report names', async () => {
    const dir = await copy()
    const table = await largestTable(dir)
    await change(table, (bytes) => bytes.writeUInt8(bytes.readUInt8(40) ^ 4, 40))
    const report = await repaired(dir)
    expect(report).toMatchObject({ isChanged: true, isWhole: false, held: expect.stringMatching(/lost records/) })
    expect(report.changes[0]).toMatchObject({
      code: 'TABLE_DAMAGED',
      key: table.split('/').at(-1),
      message: expect.stringMatching(/^keys after '' up to /),
      isLoss: true,
    })
    const after = await contentOf(join(dir, 'db'))
    const left = [...whole].filter(([key, text]) => !key.startsWith('chain/') && after.get(key) === text)
    expect(left.length).toBeGreaterThan(whole.size / 2)
  })

  test('a table whose end is cut off keeps the blocks before it', async () => {
    const dir = await copy()
    const table = await largestTable(dir)
    await truncate(table, Math.floor((await stat(table)).size * 0.7))
    const report = await repaired(dir)
    expect(report.changes[0]?.message).toMatch(/^its index, so its blocks were found by their checksums/)
  })

  test('a missing table is reported, and every task of it that cannot be read has failed', async () => {
    const dir = await copy()
    await rm(await largestTable(dir))
    const report = await repaired(dir, { start: true })
    expect(report.changes).toContainEqual(
      expect.objectContaining({ code: 'TABLE_DAMAGED', message: 'the file is missing' }),
    )
    expect(report.held).toBeUndefined()
  })

  test.each([
    [
      'a MANIFEST with a flipped bit',
      async (dir: string) => {
        const [name = ''] = await filesOf(dir, 'MANIFEST')
        await change(join(dir, 'db', name), (bytes) => bytes.writeUInt8(bytes.readUInt8(20) ^ 1, 20))
      },
    ],
    ['no CURRENT', (dir: string) => rm(join(dir, 'db', 'CURRENT'))],
    ['a CURRENT that names nothing', (dir: string) => writeFile(join(dir, 'db', 'CURRENT'), 'MANIFEST-999999\n')],
  ])('%s loses nothing', async (_, harm) => {
    const dir = await copy()
    await harm(dir)
    await expect(open(dir)).rejects.toMatchObject({
      code: 'STORE_DAMAGED',
      message: expect.stringMatching(/holdfast repair/),
    })
    const report = await repaired(dir)
    expect(report).toMatchObject({ isWhole: true, held: undefined, failedTasks: 0 })
    const after = await contentOf(join(dir, 'db'))
    for (const [key, text] of whole) if (!/^(chain|meta)\//.test(key)) expect(after.get(key), key).toBe(text)
  })

  test('a log with a flipped bit loses the commit, and the unfinished tasks wait for recover()', async () => {
    const dir = await copy()
    const [log = ''] = await filesOf(dir, '.log')
    const path = join(dir, 'db', log)
    await change(path, (bytes) => bytes.writeUInt8(bytes.readUInt8(5_000) ^ 1, 5_000))
    const report = await repaired(dir)
    const codes = report.changes.filter(({ isLoss }) => isLoss).map(({ code }) => code)
    expect(codes).toContain('LOG_FILE_DAMAGED')
    expect(codes).toContain('COMMITS_MISSING')
    expect(report.held).toBeDefined()
  })

  test('a log that was cut short loses what the anchor shows, and its numbers are not used again', async () => {
    const dir = await copy()
    const [log = ''] = await filesOf(dir, '.log')
    await truncate(join(dir, 'db', log), 3_000)
    const report = await repaired(dir)
    expect(report.changes).toContainEqual(
      expect.objectContaining({
        code: 'COMMITS_MISSING',
        message: expect.stringMatching(/was acknowledged/),
        isLoss: true,
      }),
    )
  })

  test.each(['damaged', 'missing'])('an anchor file that is %s is found by verify, and made anew', async (how) => {
    const dir = await copy()
    if (how === 'missing') await rm(join(dir, 'anchor'))
    else await writeFile(join(dir, 'anchor'), 'rot')
    expect(await verify({ dir })).toMatchObject({ findingCounts: { ANCHOR_DAMAGED: 1 } })
    expect(await repaired(dir)).toMatchObject({ isWhole: true })
  })

  test('the store as it was is kept, and can be put back', async () => {
    const dir = await copy()
    await rm(join(dir, 'db', 'CURRENT'))
    const { keptIn = '' } = await repaired(dir)
    expect((await readdir(keptIn)).sort()).toEqual([
      'anchor',
      'db',
      'holdfast.json',
      'lost-found.jsonl',
      'repair-report.json',
    ])
    const report = await verify({ dir: keptIn })
    expect(report).toMatchObject({ isSound: false, storeId: await storeIdOf(original) })
    if (process.platform !== 'win32') expect((await stat(join(keptIn, 'lost-found.jsonl'))).mode & 0o077).toBe(0)
  })

  test('random damage ends in a sound store, or in a refusal that changes nothing', {
    timeout: 60_000 + DAMAGES * 10_000,
  }, async () => {
    const damages = new Damages(randomOf(seedFor('REPAIR_SEED')))
    const counts = { sound: 0, repaired: 0, whole: 0 }
    for (let trial = 0; trial < DAMAGES; trial++) {
      const dir = await copy()
      const what = await damages.make(dir)
      const report = await repair({ dir }).catch((error: unknown) => {
        throw new Error(`${what}: ${String(error)}`)
      })
      counts[report.isChanged ? (report.isWhole ? 'whole' : 'repaired') : 'sound']++
      expect(await verify({ dir }), what).toMatchObject({ findings: [] })
      await (await open(dir)).close()
      await rm(dir, { recursive: true, force: true })
    }
    console.info(`${DAMAGES} damages: ${JSON.stringify(counts)}`)
  })
})

test('tasks continue after a repair without a loss, and none runs a step again', async () => {
  const dir = fresh()
  const notes = new CallNotes()
  const tasks = storeTasks(notes)
  const before = await Holdfast.open({ dir, tasks: Object.values(tasks), logger: silentLogger })
  const { taskId } = await before.start(tasks.wait, 'value')
  await untilIdle(before)
  await before.close()
  await rm(join(dir, 'db', 'CURRENT'))
  await repair({ dir })
  const after = await Holdfast.open({ dir, tasks: Object.values(tasks), logger: silentLogger })
  await untilIdle(after)
  await after.respond(taskId, { ok: true })
  expect(await after.result(taskId)).toBe('value')
  expect(notes.repeated).toEqual([])
  await after.close()
})

test('a server that opens a repaired store logs the repair once', async () => {
  const dir = await copy()
  await alter(dir, async (database) => database.del(database.first('ix/')))
  await repair({ dir })
  const lines: string[] = []
  const logger = { ...silentLogger, warn: (line: string) => void lines.push(line) }
  for (let opens = 0; opens < 2; opens++) await (await open(dir, { logger })).close()
  const line = 'The store was repaired since its last opening. See the report in its folder broken-….'
  expect(lines.filter((each) => each === line)).toHaveLength(1)
})

describe('a repair that is killed', () => {
  const source = pathToFileURL(fileURLToPath(new URL('../../../src/admin/index.ts', import.meta.url))).href
  const child = fileURLToPath(new URL('repair-child.mjs', import.meta.url))

  test('before any of its renames leaves the store as it was, or is ended by the next one', {
    timeout: 120_000,
  }, async () => {
    const harmed = await copy()
    await rm(join(harmed, 'db', 'CURRENT'))
    const ends: string[] = []
    for (let renames = 1; ends.at(-1) !== 'done'; renames++) {
      const dir = fresh()
      await cp(harmed, dir, { recursive: true })
      const process = spawn('node', ['--import', 'tsx', child, source, dir, String(renames)], { stdio: 'inherit' })
      const [code] = (await once(process, 'exit')) as [number | null]
      const refusal = await open(dir).then(
        async (holdfast) => {
          await holdfast.close()
          return 'sound'
        },
        (error: { code: string; message: string }) => {
          expect(error.message).toMatch(/holdfast repair/)
          return error.code
        },
      )
      if (refusal === 'STORE_INCOMPLETE') await expect(verify({ dir })).rejects.toMatchObject({ code: refusal })
      const report = await repair({ dir })
      if (refusal !== 'sound')
        expect(report).toMatchObject({ isChanged: true, findingCounts: { DATABASE_UNREADABLE: 2 } })
      expect(await verify({ dir })).toMatchObject({ findings: [] })
      const kept = (await readdir(dir)).filter((name) => name.startsWith('broken-'))
      expect(kept).toHaveLength(1)
      expect(await readdir(join(dir, kept[0] as string, 'db'))).toEqual(await readdir(join(harmed, 'db')))
      await (await open(dir)).close()
      ends.push(code === 0 ? 'done' : refusal)
    }
    expect(ends).toContain('STORE_DAMAGED')
    expect(ends.filter((end) => end === 'STORE_INCOMPLETE').length).toBeGreaterThanOrEqual(3)
  })
})

describe('refusals', () => {
  test('a store that a process holds is refused, and stays as it is', async () => {
    const dir = await copy()
    const holdfast = await open(dir)
    await expect(repair({ dir })).rejects.toMatchObject({ code: 'STORE_LOCKED' })
    await holdfast.close()
  })

  test('other versions, no store, no database, and an interrupted restore are refused', async () => {
    const cases: [harm: (dir: string) => Promise<unknown>, code: string][] = [
      [(dir) => rewrite(dir, { format: 99 }), 'STORE_TOO_NEW'],
      [(dir) => rewrite(dir, { format: 1 }), 'STORE_TOO_OLD'],
      [(dir) => rewrite(dir, { restoring: true }), 'STORE_INCOMPLETE'],
      [(dir) => rm(join(dir, 'db'), { recursive: true }), 'STORE_DAMAGED'],
      [(dir) => rm(join(dir, 'holdfast.json')), 'STORE_UNUSABLE'],
      [(dir) => rm(dir, { recursive: true }), 'STORE_NOT_FOUND'],
    ]
    for (const [harm, code] of cases) {
      const dir = await copy()
      await harm(dir)
      await expect(repair({ dir }), code).rejects.toMatchObject({ code })
    }
  })

  async function rewrite(dir: string, fields: object): Promise<void> {
    const path = join(dir, 'holdfast.json')
    await writeFile(path, JSON.stringify({ ...(JSON.parse(await readFile(path, 'utf8')) as object), ...fields }))
  }

  test('a process that does not start is REPAIR_FAILED, and the store is as it was', async () => {
    const dir = await copy()
    await rm(join(dir, 'db', 'CURRENT'))
    const { execPath } = process
    process.execPath = join(scratch, 'no-such-program')
    try {
      await expect(repair({ dir })).rejects.toMatchObject({ code: 'REPAIR_FAILED' })
    } finally {
      process.execPath = execPath
    }
    expect((await readdir(dir)).sort()).toEqual(['anchor', 'db', 'holdfast.json'])
  })

  test('options of the wrong type are refused', async () => {
    await expect(repair({} as never)).rejects.toThrow(/`dir`/)
    await expect(repair({ dir: original, start: 1 } as never)).rejects.toThrow(/`start`/)
    await expect(repair({ dir: original, holdfast: {} } as never)).rejects.toThrow(/holdfast/)
  })
})
