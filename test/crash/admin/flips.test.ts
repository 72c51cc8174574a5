/**
 * Goal: `verify` reports each damage of a file that changes an answer of the store.
 * Method: stores with tables and logs of each age; in one file a bit is flipped, its end is cut off, some bytes become zeros,
 * others or those of another place, or the file is deleted. If `verify` finds nothing, everything in the database must be as it
 * was. `VERIFY_DAMAGES=1000` makes the full trial.
 */
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { verify } from 'holdfast/admin'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { checkFiles } from '../../../src/store/files/check-files.js'
import { readManifest } from '../../../src/store/files/manifest.js'
import { Damages } from '../../helpers/damages.js'
import { randomOf, seedFor } from '../../helpers/simulation.js'
import { agedStore, contentOf } from '../../helpers/stores.js'

const DAMAGES = Number(process.env['VERIFY_DAMAGES'] ?? 6)
const damages = new Damages(randomOf(seedFor('VERIFY_SEED')))

let scratch: string
let original: string
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'holdfast-flips-'))
  original = join(scratch, 'original')
  await agedStore(original)
})
afterAll(() => rm(scratch, { recursive: true, force: true }))

test('damage of a file is reported, or changes no answer', { timeout: 60_000 + DAMAGES * 5_000 }, async () => {
  expect(await checkFiles(join(original, 'db'), () => {})).toEqual([])
  expect(await verify({ dir: original })).toMatchObject({ isSound: true, findings: [] })
  const copy = join(scratch, 'read')
  await cp(original, copy, { recursive: true })
  const whole = await contentOf(join(copy, 'db'))
  const silent: string[] = []
  let reported = 0
  for (let trial = 0; trial < DAMAGES; trial++) {
    const dir = join(scratch, `trial-${trial}`)
    await cp(original, dir, { recursive: true })
    const what = await damages.make(dir)
    const { isSound } = await verify({ dir })
    if (!isSound) reported++
    else {
      const left = await contentOf(join(dir, 'db'))
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
