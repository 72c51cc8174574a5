/** Goal: the bench runs, and what reads its last line finds what it expects there. Method: run it tiny; no time is asserted. */
import { execFile } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'

const run = promisify(execFile)
const project = fileURLToPath(new URL('..', import.meta.url))
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
