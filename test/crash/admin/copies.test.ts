// Goal: a database has every write, and LevelDB does not abort, while linked copies of it are opened and changed again and again.
// Method: a real database under a load that keeps LevelDB compacting. Values are random, because small tables have one file.
import { randomBytes } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { linkDatabase } from '../../../src/store/copies/linked-copy.js'
import { openCopy } from '../../../src/store/copies/open-copy.js'
import { type Level, openClassicLevel } from '../../../src/store/disk/level.js'
import { pages } from '../../../src/store/disk/pages.js'
import { readManifest } from '../../../src/store/files/manifest.js'
import { describeSelf } from '../../../src/store/lock/lock-judge.js'

const COPIES = 40
const COPIES_MAX = 400
const KEYS = 60_000
const WRITES_AT_ONCE = 50
const BATCHES_BEFORE = 1_200
const noise = randomBytes(3_000_000).toString('base64')
const key = (n: number) => `key-${String(n).padStart(6, '0')}`
const random = (max: number) => Math.floor(Math.random() * max)

/** True if a copy has a table of a compaction that had not ended. */
function hasUnnamedTable(path: string): boolean {
  const manifest = readFileSync(join(path, 'CURRENT'), 'utf8').trim()
  const { tables } = readManifest(readFileSync(join(path, manifest)))
  return readdirSync(path).some((name) => name.endsWith('.ldb') && !tables.has(Number.parseInt(name, 10)))
}

/** Writes random keys until it is ended. */
class Load {
  /** The last value of each key. */
  readonly written = new Map<string, string>()
  #isOver = false
  readonly #end: Promise<void>

  constructor(private readonly level: Level) {
    this.#end = this.#run()
  }

  async end(): Promise<void> {
    this.#isOver = true
    await this.#end
  }

  async #run(): Promise<void> {
    for (let batches = 0; !this.#isOver; batches++) {
      const batch = this.level.batch()
      for (let n = 0; n < WRITES_AT_ONCE; n++) {
        const at = random(noise.length - 1_000)
        const [name, text] = [key(random(KEYS)), noise.slice(at, at + 1_000)]
        batch.put(name, text)
        this.written.set(name, text)
      }
      await batch.write({ sync: false })
      if (batches > BATCHES_BEFORE) await delay(2)
    }
  }
}

test('a database keeps every write while its copies are opened', { timeout: 120_000 }, async () => {
  const dir = mkdtempSync(join(tmpdir(), 'holdfast-copies-'))
  const db = join(dir, 'db')
  let level = await openClassicLevel(db, { create: true })
  try {
    const load = new Load(level)
    while (load.written.size < KEYS / 2) await delay(20)
    let unended = 0
    // About one copy of eight is made in the middle of a compaction.
    for (let made = 0; made < COPIES || (unended === 0 && made < COPIES_MAX); made++) {
      const { path, remove } = await linkDatabase(dir, describeSelf('1:2', `token-${made}`, 1))
      if (hasUnnamedTable(path)) unended++
      const copy = await openCopy(path)
      await copy.compactRange('', 'key-001')
      await copy.close()
      await remove()
    }
    await load.end()
    // Without copies of a database in the middle of a compaction, the test shows nothing.
    expect(unended).toBeGreaterThan(0)
    await level.close()
    level = await openClassicLevel(db, { create: false })
    await level.compactRange('', '\uffff')
    const { written } = load
    let entries = 0
    for await (const page of pages(level, { gte: '', lt: '\uffff' })) {
      for (const [name, text] of page) if (written.get(name) === text) entries++
    }
    expect(entries).toBe(written.size)
  } finally {
    await level.close()
    rmSync(dir, { recursive: true, force: true })
  }
})
