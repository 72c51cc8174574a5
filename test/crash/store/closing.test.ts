// Goal: whatever fails while a store is closed, or while a failed open is taken back, the directory is free afterwards, and
// what leaves the library is a HoldfastError.
// Method: real directories whose files go while the store is open, and databases and clocks that are handed in.
import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, renameSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Holdfast, HoldfastError, type Logger, silentLogger } from 'holdfast'
import { ManualClock } from 'holdfast/testing'
import { afterEach, describe, expect, test } from 'vitest'
import { createIds } from '../../../src/base/ids.js'
import { checkOptions } from '../../../src/engine/checks/open-options.js'
import { CompactionTurns } from '../../../src/store/disk/compaction-turns.js'
import { type Level, type OpenLevel, openClassicLevel } from '../../../src/store/disk/level.js'
import { openStore } from '../../../src/store/open.js'

const folders: string[] = []
const folder = () => {
  const made = mkdtempSync(join(tmpdir(), 'holdfast-closing-'))
  folders.push(made)
  return made
}
afterEach(() => {
  for (const made of folders.splice(0)) rmSync(made, { recursive: true, force: true })
})
const options = (dir: string) => ({ dir, logger: silentLogger })

describe('the directory is free after a close', () => {
  test.each([
    ['the whole directory is removed', (dir: string) => rmSync(dir, { recursive: true })],
    ['the database is moved away', (dir: string) => renameSync(join(dir, 'db'), join(dir, '..', 'gone'))],
    [
      'the lock file is a directory by now',
      (dir: string) => {
        rmSync(join(dir, 'lock'))
        mkdirSync(join(dir, 'lock'))
      },
    ],
  ])('where %s while it is open', async (_, harm) => {
    const parent = folder()
    const dir = join(parent, 'store')
    const holdfast = await Holdfast.open(options(dir))
    harm(dir)
    const failed = await holdfast.close().then(
      () => undefined,
      (error: unknown) => error,
    )
    if (failed !== undefined) expect(failed).toBeInstanceOf(HoldfastError)
    rmSync(dir, { recursive: true, force: true })
    await (await Holdfast.open(options(dir))).close()
  })

  /** A store over LevelDB, of which one method fails. */
  const storeWith = (dir: string, harm: Partial<Level>) => {
    const openLevel: OpenLevel = async (path, about) => {
      const level = await openClassicLevel(path, about)
      return about.create ? level : Object.assign(level, harm)
    }
    return openStore({ ...checkOptions(options(dir)), ids: createIds(), openLevel })
  }

  test('where the database cannot be closed: the first failure is reported as a HoldfastError', async () => {
    const dir = folder()
    let closed = 0
    const store = await storeWith(dir, {
      close: async () => {
        closed++
        throw Object.assign(new Error('EIO: i/o error, close'), { code: 'EIO' })
      },
    })
    await expect(store.close()).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE', message: /EIO.*directory is free/s })
    expect(closed).toBe(1)
    // Not by this process's registry: LevelDB itself still holds the database, which was not closed.
    await expect(openStore({ ...checkOptions(options(dir)), ids: createIds() })).rejects.toThrow(
      /held by another process/,
    )
  })

  test('where an open fails and taking it back fails too: what made the open fail is reported', async () => {
    const dir = folder()
    await (await Holdfast.open(options(dir))).close()
    const openLevel: OpenLevel = async (path, about) => {
      const opened = await openClassicLevel(path, about)
      const { close } = opened
      return Object.assign(opened, {
        get: async () => {
          throw new Error('EIO: i/o error, read')
        },
        close: async () => {
          await close.call(opened)
          throw new Error('EIO: i/o error, close')
        },
      })
    }
    await expect(openStore({ ...checkOptions(options(dir)), ids: createIds(), openLevel })).rejects.toMatchObject({
      name: 'HoldfastError',
      message: expect.stringContaining('EIO: i/o error, read'),
    })
    await (await Holdfast.open(options(dir))).close()
  })
})

describe('an open that does not end within 60 s', () => {
  test('is given up and keeps the directory until it has ended; a retry waits for it', async () => {
    const dir = folder()
    await (await Holdfast.open(options(dir))).close()
    const clock = new ManualClock()
    let letOpen = () => {}
    const opens = new Promise<void>((resolve) => {
      letOpen = resolve
    })
    const seen: string[] = []
    const openLevel: OpenLevel = async (path, about) => {
      await opens
      const level = await openClassicLevel(path, about)
      const { close } = level
      seen.push('opened')
      return Object.assign(level, {
        close: async () => {
          await close.call(level)
          seen.push('closed')
        },
      })
    }
    const store = { ...checkOptions(options(dir)), ids: createIds(), clock }
    const first = openStore({ ...store, openLevel })
    const failed = expect(first).rejects.toMatchObject({
      code: 'STORE_UNUSABLE',
      message: expect.stringContaining('did not open within 60000 ms'),
    })
    while (clock.nextDueAt === undefined) await new Promise((resolve) => setImmediate(resolve))
    await clock.advance(60_000)
    await failed
    // The directory is taken still: LevelDB may open it at any moment.
    const late = openStore(store)
    const refused = expect(late).rejects.toMatchObject({ message: expect.stringContaining('has not ended yet') })
    while (clock.nextDueAt === undefined) await new Promise((resolve) => setImmediate(resolve))
    await clock.advance(60_000)
    await refused
    const retry = openStore(store).then((again) => {
      seen.push('opened again')
      return again
    })
    await new Promise((resolve) => setTimeout(resolve, 10))
    expect(seen).toEqual([])
    letOpen()
    await (await retry).close()
    expect(seen).toEqual(['opened', 'closed', 'opened again'])
  })
})

describe('the directory of a store', () => {
  const lines: string[] = []
  const logger: Logger = { debug() {}, info() {}, error() {}, warn: (line) => void lines.push(line) }
  const open = (dir: string) => Holdfast.open({ dir, logger })
  afterEach(() => void lines.splice(0))

  test('that everybody may write to is tightened, with a warning', async () => {
    const dir = join(folder(), 'store')
    await (await open(dir)).close()
    chmodSync(dir, 0o777)
    await (await open(dir)).close()
    expect(statSync(dir).mode & 0o777).toBe(0o700)
    expect(lines).toEqual(['Every user could write to the directory of the store. Its mode was set to 0700.'])
  })

  test('may be the root of a fresh volume, which has a lost+found', async () => {
    const dir = folder()
    mkdirSync(join(dir, 'lost+found'), { mode: 0o700 })
    await (await open(dir)).close()
    await (await open(dir)).close()
    expect(lines).toEqual([])
  })

  test.skipIf(process.getuid?.() !== 0 || process.platform !== 'linux')(
    'that another user owns and this process may write to is used, with a warning',
    () => {
      const dir = folder()
      chmodSync(join(dir), 0o755)
      const volume = join(dir, 'volume')
      mkdirSync(volume)
      execFileSync('chown', ['0:54321', volume])
      chmodSync(volume, 0o2777)
      const script = `
        process.setgroups([]); process.setgid(54321); process.setuid(54321)
        const { openStore } = await import(${JSON.stringify(join(process.cwd(), 'src/store/open.ts'))})
        const { checkOptions } = await import(${JSON.stringify(join(process.cwd(), 'src/engine/checks/open-options.ts'))})
        const { createIds } = await import(${JSON.stringify(join(process.cwd(), 'src/base/ids.ts'))})
        const lines = []
        const logger = { debug() {}, info() {}, error() {}, warn: (line) => lines.push(line) }
        const store = await openStore({ ...checkOptions({ dir: ${JSON.stringify(volume)}, logger }), ids: createIds() })
        await store.close()
        console.log(JSON.stringify(lines))`
      const said = execFileSync(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
        encoding: 'utf8',
      })
      expect(JSON.parse(said)).toEqual([expect.stringMatching(/^The directory of the store belongs to another user/)])
    },
  )
})

describe('pages and compactions', () => {
  test('take turns: no compaction begins while a page is being read, and no page while one is running', async () => {
    const turns = new CompactionTurns()
    const seen: string[] = []
    const gates = new Map<string, () => void>()
    const held = (name: string) => async () => {
      seen.push(`${name} begins`)
      await new Promise<void>((resolve) => gates.set(name, resolve))
      seen.push(`${name} ends`)
    }
    const tick = () => new Promise((resolve) => setImmediate(resolve))
    const all = [turns.read(held('page 1')), turns.read(held('page 2'))]
    all.push(turns.compact(held('compaction')))
    await tick()
    gates.get('page 1')?.()
    await tick()
    // A page that begins before the compaction does holds it up a little longer; nothing waits for what waits for it.
    all.push(turns.read(held('page 3')))
    await tick()
    gates.get('page 2')?.()
    gates.get('page 3')?.()
    await tick()
    all.push(turns.read(held('page 4')))
    await tick()
    expect(seen.slice(-1)).toEqual(['compaction begins'])
    gates.get('compaction')?.()
    await tick()
    gates.get('page 4')?.()
    await Promise.all(all)
    expect(seen.slice(-4)).toEqual(['compaction begins', 'compaction ends', 'page 4 begins', 'page 4 ends'])
  })

  test('go on after a compaction that failed', async () => {
    const turns = new CompactionTurns()
    const failed = turns.compact(async () => {
      throw new Error('IO error')
    })
    await expect(failed).rejects.toThrow('IO error')
    expect(await turns.read(async () => 1)).toBe(1)
    await turns.compact(async () => {})
  })
})
