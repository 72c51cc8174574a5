/**
 * Goal: one task that kills its process is parked with its step named, and the 99 others complete; kills from outside
 * fail nobody.
 * Method: real processes over real directories, which exit, kill themselves or throw inside a step, or are killed at
 * random moments fifty times; after them one that runs to its end, and one with mended code that resumes what is parked.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type { TaskView } from 'holdfast'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { randomOf, seedFor } from '../helpers/simulation.js'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const CHILD = fileURLToPath(new URL('./poison-child.mjs', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'holdfast-poison-'))
let url = ''

beforeAll(async () => {
  const outDir = join(folder, 'package')
  const compiler = spawn('npx', ['tsc', '-p', join(ROOT, 'tsconfig.build.json'), '--outDir', outDir], { cwd: ROOT })
  expect(await new Promise((resolve) => compiler.on('close', resolve))).toBe(0)
  writeFileSync(join(outDir, 'package.json'), '{ "type": "module" }')
  symlinkSync(join(ROOT, 'node_modules'), join(outDir, 'node_modules'))
  url = pathToFileURL(join(outDir, 'index.js')).href
}, 120_000)

afterAll(() => rmSync(folder, { recursive: true, force: true }))

interface Ended {
  readonly ends: End[]
  /** How many it found `POISONED`, and resumed. */
  readonly resumed: number
}

interface End {
  readonly value?: number
  readonly view?: TaskView
}

/** Runs a process to its end, or kills it so long after it began, or after it had started or found its tasks. Returns how its tasks ended, if it lived. */
function live(
  args: readonly string[],
  kill: { after: 'spawn' | 'started'; ms: number } = { after: 'spawn', ms: 60_000 },
): Promise<Ended | undefined> {
  const child = spawn(process.execPath, [CHILD, url, ...args], { stdio: ['ignore', 'pipe', 'ignore'] })
  let said = ''
  let killed: NodeJS.Timeout | undefined
  const killSoon = () => {
    killed ??= setTimeout(() => child.kill('SIGKILL'), kill.ms)
  }
  if (kill.after === 'spawn') killSoon()
  child.stdout.on('data', (text: Buffer) => {
    said += String(text)
    if (said.includes('"started"')) killSoon()
  })
  return new Promise((resolve) => {
    child.on('close', () => {
      clearTimeout(killed)
      const last = said.split('\n').find((line) => line.includes('"ended"'))
      resolve(last === undefined ? undefined : (JSON.parse(last) as Ended))
    })
  })
}

const numbers = (count: number) => Array.from({ length: count }, (_, value) => ({ value }))

test.each(['exit', 'kill', 'throw'])(
  'one task of a hundred that ends its process by %s is parked, and no other',
  {
    timeout: 120_000,
  },
  async (how) => {
    const dir = join(folder, how)
    let deaths = 0
    let ends: End[] | undefined
    while (!ends && deaths < 30) {
      ends = (await live([dir, '100', how, '5']))?.ends
      if (!ends) deaths++
    }
    const [poisonous] = ends?.splice(50, 1) ?? []
    expect(poisonous?.view).toMatchObject({ status: 'running', parked: { code: 'POISONED' } })
    expect(poisonous?.view?.parked?.reason).toMatch(/^5 processes in a row crashed .* the last in step 'work'$/)
    expect(ends).toEqual(numbers(100).toSpliced(50, 1))
    console.info(`${how}: parked after ${deaths} deaths of the process; the 99 others completed`)
    expect(deaths).toBeLessThanOrEqual(8)
    expect(await live([dir, '100', how, '5', 'mended'])).toMatchObject({ ends: numbers(100), resumed: 1 })
  },
)

test('fifty kills from outside fail nobody; what they parked completes after `resume`', {
  timeout: 180_000,
}, async () => {
  const random = randomOf(seedFor('POISON_SEED'))
  const dir = join(folder, 'outside')
  for (let kill = 0; kill < 50; kill++) {
    // Some die while node starts, some while they open or recover, most in the middle of their work.
    const death =
      random() < 0.3
        ? ({ after: 'spawn', ms: 50 + random() * 500 } as const)
        : ({ after: 'started', ms: random() * 200 } as const)
    // One that finds every task parked ends by itself.
    await live([dir, '4', 'none', '2000'], death)
  }
  // A settled task stays so: whoever was failed on the way would be seen here.
  const { ends, resumed } = (await live([dir, '4', 'none', '20', 'mended'])) ?? { ends: [], resumed: 0 }
  expect(ends).toEqual(numbers(4))
  console.info(`50 kills from outside: ${resumed} of 4 tasks were parked, and all completed after \`resume\``)
  expect(resumed).toBeGreaterThan(0)
})
