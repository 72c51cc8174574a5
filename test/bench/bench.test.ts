/** Goal: the bench runs, and what reads its last line finds what it expects there. Method: run it tiny; no time is asserted. */
import { execFile } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { intervalOf } from '../../bench/check/intervals.js'

const run = promisify(execFile)
const project = fileURLToPath(new URL('../..', import.meta.url))
let dir: string

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'holdfast-bench-'))
})

afterAll(() => rmSync(dir, { recursive: true, force: true }))

async function bench(...options: string[]): Promise<string[]> {
  const arguments_ = ['--import', 'tsx', 'bench/run.ts', '--dir', dir, ...options]
  const { stdout } = await run(process.execPath, arguments_, { cwd: project })
  return stdout.trimEnd().split('\n')
}

test('the built package is there to be measured', () => {
  expect(existsSync(join(project, 'dist/index.js')), 'run `npm run build` first; `npm test` does').toBe(true)
})

test('the last line of the bench is its result as JSON, and no completed step ran again', async () => {
  const lines = await bench('--json', '--scale', '0.02', '--reps', '1')
  const result = JSON.parse(lines.at(-1) ?? '')
  const figure = expect.any(Number)
  expect(result).toMatchObject({
    w1: { ratioToLimit: figure, stepsPerSecond: figure, limitPerSecond: figure },
    w2: {
      ratioToLimit: figure,
      tasksPerSecond: figure,
      stepsPerSecond: figure,
      limitPerSecond: figure,
      p50Ms: figure,
      p99Ms: figure,
    },
    w3: { firstNextStepMs: figure, allNextStepsMs: figure, allCompleteMs: figure, rerunSteps: 0, repeatedSteps: 0 },
  })
  expect(result.w3.firstNextStepMs).toBeLessThanOrEqual(result.w3.allNextStepsMs)
  expect(result.w3.allNextStepsMs).toBeLessThanOrEqual(result.w3.allCompleteMs)
  expect(readdirSync(dir), 'the stores of a run are removed').toEqual([])
})

test('`--only` runs what it names, and no more', async () => {
  const lines = await bench('--json', '--scale', '0.01', '--reps', '1', '--only', 'w1')
  expect(Object.keys(JSON.parse(lines.at(-1) ?? ''))).toEqual(['w1', 'node', 'reps', 'scale'])
})

test('an unknown workload is refused by name', async () => {
  await expect(bench('--only', 'w9')).rejects.toMatchObject({ code: 1, stderr: expect.stringContaining("got 'w9'") })
})

test('`bench:check` compares two trees in pairs, and ends with 1 if this one is slower than it may be', async () => {
  const check = (...options: string[]) => {
    const size = ['--pairs', '2', '--reps', '1', '--scale', '0.02', '--only', 'w1', '--tree', project, '--dir', dir]
    return run(process.execPath, ['--import', 'tsx', 'bench/check.ts', ...size, ...options], { cwd: project })
  }
  const { stdout } = await check('--least', '0.0001')
  expect(stdout).toMatch(/^ {2}\d\.\d{3} \(\d+\.\d{3}–\d+\.\d{3}\) {2}W1 processor time$/m)
  await expect(check('--least', '1000')).rejects.toMatchObject({
    code: 1,
    stdout: expect.stringContaining('W1 processor time: below 1000'),
  })
})

test('an interval holds the median, and is as wide as the ratios differ', () => {
  const random = randomFrom(7)
  const { median, low, high } = intervalOf([0.9, 1.1, 1, 0.95, 1.05], random)
  expect(median).toBe(1)
  expect([low, high]).toEqual([0.9, 1.1])
  expect(intervalOf([1.2, 1.2], random)).toEqual({ median: 1.2, low: 1.2, high: 1.2 })
  // Of many ratios that differ alike the median is known better.
  const many = Array.from({ length: 201 }, (_, index) => 0.9 + index / 1_000)
  const wide = intervalOf(many, random)
  expect(wide.high - wide.low).toBeLessThan(0.05)
})

/** Numbers that are the same for the same seed (a linear congruential generator). */
function randomFrom(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}
