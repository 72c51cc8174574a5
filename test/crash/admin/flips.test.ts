/**
 * Goal: `verify` reports each damage of a file that changes an answer of the store.
 * Method: stores with tables and logs of each age; in one file a bit is flipped, its end is cut off, some bytes become zeros,
 * others or those of another place, or the file is deleted. If `verify` finds nothing, everything in the database must be as it
 * was. `VERIFY_DAMAGES=1000` makes the full trial.
 */
import { cp, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ClassicLevel } from 'classic-level'
import { Holdfast, silentLogger } from 'holdfast'
import { verify } from 'holdfast/admin'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { checkFiles } from '../../../src/store/files/check-files.js'
import { readManifest } from '../../../src/store/files/manifest.js'
import { randomOf, seedFor } from '../../helpers/simulation.js'
import { fill, storeTasks } from '../../helpers/stores.js'

const DAMAGES = Number(process.env['VERIFY_DAMAGES'] ?? 6)
const random = randomOf(seedFor('VERIFY_SEED'))
const upTo = (end: number) => Math.floor(random() * end)

let scratch: string
let original: string
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'holdfast-flips-'))
  original = join(scratch, 'original')
  // Each opening makes a table of the log before it. A close leaves the newest records in the log.
  for (let opening = 0; opening < 4; opening++) {
    const tasks = storeTasks()
    const holdfast = await Holdfast.open({ dir: original, tasks: Object.values(tasks), logger: silentLogger })
    for (let times = 0; times < 5; times++) await fill(holdfast, tasks, `${opening}-${times}`)
    await holdfast.close()
    if (opening === 1) await compact()
  }
})
afterAll(() => rm(scratch, { recursive: true, force: true }))

async function compact(): Promise<void> {
  const level = new ClassicLevel(join(original, 'db'))
  await level.open()
  await level.compactRange('a', 'z')
  await level.close()
}

async function contentOf(dir: string): Promise<Map<string, string>> {
  const level = new ClassicLevel<string, string>(join(dir, 'db'))
  await level.open({ createIfMissing: false })
  const content = new Map(await level.iterator().all())
  await level.close()
  return content
}

/** Kinds of damage of a file, and their share. Most are single bits, since these are the hardest to notice. */
const KINDS = [
  ['flip', 0.6],
  ['cut', 0.1],
  ['zeros', 0.1],
  ['garbage', 0.1],
  ['swap', 0.05],
  ['delete', 0.05],
] as const

function kindOfDamage(): (typeof KINDS)[number][0] {
  let at = random()
  for (const [kind, share] of KINDS) {
    at -= share
    if (at < 0) return kind
  }
  return 'flip'
}

/** Damages one file of the database. */
async function damage(dir: string): Promise<string> {
  const names = (await readdir(join(dir, 'db'))).filter((name) => /ldb$|log$|MANIFEST|CURRENT/.test(name))
  const name = names[upTo(names.length)] as string
  const path = join(dir, 'db', name)
  const kind = kindOfDamage()
  if (kind === 'delete') {
    await rm(path)
    return `${name} deleted`
  }
  const bytes = await readFile(path)
  const at = upTo(bytes.length)
  const length = Math.min(1 + upTo(4_096), bytes.length - at)
  const what = `${name}: ${kind} of ${length} bytes at byte ${at}`
  switch (kind) {
    case 'flip': {
      const bit = upTo(8)
      bytes[at] = (bytes[at] as number) ^ (1 << bit)
      await writeFile(path, bytes)
      return `${name}: bit ${bit} of byte ${at}`
    }
    case 'cut':
      await truncate(path, at)
      return `${name} cut at ${at}`
    case 'zeros':
      bytes.fill(0, at, at + length)
      break
    case 'garbage':
      for (let index = at; index < at + length; index++) bytes[index] = upTo(256)
      break
    case 'swap':
      bytes.copyWithin(at, upTo(bytes.length - length + 1), bytes.length)
  }
  await writeFile(path, bytes)
  return what
}

test('damage of a file is reported, or changes no answer', { timeout: 60_000 + DAMAGES * 5_000 }, async () => {
  expect(await checkFiles(join(original, 'db'), () => {})).toEqual([])
  expect(await verify({ dir: original })).toMatchObject({ isSound: true, findings: [] })
  const copy = join(scratch, 'read')
  await cp(original, copy, { recursive: true })
  const whole = await contentOf(copy)
  const silent: string[] = []
  let reported = 0
  for (let trial = 0; trial < DAMAGES; trial++) {
    const dir = join(scratch, `trial-${trial}`)
    await cp(original, dir, { recursive: true })
    const what = await damage(dir)
    const { isSound } = await verify({ dir })
    if (!isSound) reported++
    else {
      const left = await contentOf(dir)
      const changed = [...whole].filter(([key, text]) => left.get(key) !== text)
      if (changed.length > 0 || left.size !== whole.size) silent.push(`${what}: ${changed.length} records changed`)
    }
    await rm(dir, { recursive: true, force: true })
  }
  console.info(`${DAMAGES} damages: ${reported} reported, ${DAMAGES - reported} without an effect`)
  expect(silent).toEqual([])
  // A few damages may all be in bytes that nothing reads.
  if (DAMAGES >= 20) expect(reported).toBeGreaterThan(DAMAGES / 5)
})

test('a damaged table is reported with the name of the table', async () => {
  const dir = join(scratch, 'aborts')
  await cp(original, dir, { recursive: true })
  const current = await readFile(join(dir, 'db', 'CURRENT'), 'utf8')
  const { tables } = readManifest(await readFile(join(dir, 'db', current.trim())))
  const [number] = [...tables].sort(([, one], [, other]) => other - one)[0] as [number, number]
  const name = `${String(number).padStart(6, '0')}.ldb`
  const bytes = await readFile(join(dir, 'db', name))
  bytes.fill(0, 0, 64)
  await writeFile(join(dir, 'db', name), bytes)
  const report = await verify({ dir })
  expect(report.isSound).toBe(false)
  expect(report.findings).toContainEqual(expect.objectContaining({ code: 'TABLE_DAMAGED', key: name }))
})
