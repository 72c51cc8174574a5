/**
 * Goal: every workload of the bench runs, so that the bench cannot rot; what reads its last line finds what it expects there;
 * the page of the docs is what the newest run in data/bench generates; no ratio is printed across a limit that moved.
 * Method: run it at a tiny size. No time is asserted.
 */
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { intervalOf } from '../../bench/check/intervals.js'
import { ENGINES } from '../../bench/engines.js'
import { comparisonWith } from '../../bench/page/comparison.js'
import { COMPARISON, newestResult, PAGE, PLOTS } from '../../bench/page/files.js'
import { goalsOf } from '../../bench/page/goals.js'
import { pageOf, tablesOf } from '../../bench/page/page.js'
import { markOf, plotsOf } from '../../bench/page/plots.js'
import { beginProgress, resumeProgress } from '../../bench/progress.js'
import { type Measured, type Result, rangeOf, type Sample } from '../../bench/result.js'
import { turnsOf } from '../../bench/turns.js'
import { OURS, runOurs, runSideBySide, SIDE_BY_SIDE } from '../../bench/workloads.js'
import { ROUTES } from '../../src/operator/contract/routes.js'

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
    w1: { stepsPerSecond: figure, cpuMicrosPerStep: figure, limitPerSecond: figure },
    w2: {
      cpuMicrosPerTask: figure,
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

describe('a run that is interrupted', () => {
  const options = ['--engines', 'limit,probe', '--only', 'w1', '--rounds', '2', '--reps', '1', '--scale', '0.01']
  const command = ['--import', 'tsx', 'bench/run.ts', ...options]
  const progress = () => join(dir, 'bench-progress.jsonl')

  test('is continued with --resume: the turns that have ended are not run again', async () => {
    const child = spawn(process.execPath, [...command, '--dir', dir], {
      cwd: project,
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    const ended = once(child, 'exit')
    // Its second turn has begun, so the first one is in the file.
    for await (const line of createInterface(child.stderr)) if (line.startsWith('1 of 4')) child.kill('SIGINT')
    expect((await ended)[0]).toBe(130)
    const finished = readFileSync(progress(), 'utf8').trimEnd().split('\n').length - 1
    expect(finished).toBeGreaterThanOrEqual(1)
    expect(finished).toBeLessThan(4)
    await expect(
      run(process.execPath, [...command, '--dir', dir, '--resume', '--reps', '2'], { cwd: project }),
    ).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringContaining('The interrupted run had another plan'),
    })
    const { stdout, stderr } = await run(process.execPath, [...command, '--dir', dir, '--resume'], { cwd: project })
    expect(stderr.match(/^\d of 4/gm)).toHaveLength(4 - finished)
    expect(stdout).toMatch(/^\| raw limit \|/m)
    expect(stdout).toMatch(/^\| probe: .* \|/m)
    expect(readdirSync(dir)).toEqual([])
  })

  test('keeps its whole lines, and runs a turn again that has failed', () => {
    const settings = { date: '2026-01-01', loadBefore: [1, 2, 3], fixed: { commit: 'c', reps: 1 } }
    const turn = { workload: 'w1', engine: 'probe', seconds: 1, load: 0 }
    const measured = { ...turn, round: 0, samples: [{ rep: 0, figures: { stepsPerSecond: 1 } }] }
    const path = join(dir, 'progress-of-a-test')
    const begun = beginProgress(path, settings)
    begun.add(measured)
    begun.add({ ...turn, round: 1, error: 'It ended with exit code 1' })
    writeFileSync(path, '{"round":2,"work', { flag: 'a' })

    const resumed = resumeProgress(path, settings.fixed)
    expect(resumed.settings).toEqual(settings)
    expect(resumed.finished).toEqual([measured])
    const second = { ...measured, round: 1 }
    resumed.add(second)
    expect(resumeProgress(path, settings.fixed).finished).toEqual([measured, second])
    expect(() => resumeProgress(path, { ...settings.fixed, commit: 'd' })).toThrow('another commit: "c" and not "d"')
    resumed.remove()
    expect(() => resumeProgress(path, settings.fixed)).toThrow('There is no run to continue')
  })

  test('has a turn for each engine in each round, and one for each workload of Holdfast alone', () => {
    const engines = ['holdfast', 'limit', 'probe', 'dbos']
    const turns = turnsOf({ only: ['w1', 'w3', 'w5'], engines, rounds: 3, reps: 5, syncs: true })
    const of = (workload: string) => turns.filter((turn) => turn.workload === workload).map(({ engine }) => engine)
    // Every engine goes first once, and W3 has no limit and no probe.
    expect(of('w1')).toEqual([
      ...engines,
      ...['limit', 'probe', 'dbos', 'holdfast'],
      ...['probe', 'dbos', 'holdfast', 'limit'],
    ])
    expect(of('w3').sort()).toEqual(['dbos', 'dbos', 'dbos', 'holdfast', 'holdfast', 'holdfast'])
    expect(of('w5')).toEqual(['holdfast'])
    expect(of('syncs')).toEqual(['holdfast', 'probe', 'dbos'])
  })
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
  const { stdout: operator } = await check('--operator', '--least', '0.0001')
  expect(operator).toMatch(/^Against the operator API turned off, 2 pairs/)
  const { stdout: telemetry } = await check('--telemetry', '--least', '0.0001')
  expect(telemetry).toMatch(/^Against telemetry turned off, 2 pairs/)
  await expect(check('--least', '1000')).rejects.toMatchObject({
    code: 1,
    stdout: expect.stringContaining('W1 processor time: below 1000'),
  })
}, 120_000)

test('`bench:operator` measures every call that reads, and the dry run of every call on many tasks', async () => {
  const options = ['--tasks', '300', '--calls', '1', '--json', '--dir', dir]
  const { stdout } = await run(process.execPath, ['bench/operator/measure.mjs', ...options], { cwd: project }).catch(
    // On a busy machine a call may be slower than it has to be.
    (error: { stdout: string; code: number }) => {
      expect(error.code).toBe(1)
      return error
    },
  )
  const lines = stdout.trimEnd().split('\n')
  const [{ tasks }, ...measured] = lines.map((line) => JSON.parse(line))
  expect(tasks).toMatchObject({ input_required: 30, completed: 152, failed: 3, cancelled: 3, parked: 15 })
  expect(tasks.pending + tasks.running).toBe(214)
  const { calls } = measured.pop() as { calls: string[] }
  const read = Object.entries(ROUTES).filter(([, { method, path }]) => method === 'GET' || path.startsWith('/v1/bulk/'))
  for (const [name] of read) expect(calls).toContain(name)
  for (const figures of measured)
    expect(figures).toMatchObject({ p99Ms: expect.any(Number), holdMs: expect.any(Number) })
  expect(readdirSync(dir), 'the store of a run is removed').toEqual([])
}, 120_000)

describe('every workload runs at a tiny size', () => {
  const size = { reps: 1, scale: 0.001 }
  const figure = expect.any(Number)
  const figuresOf = (samples: readonly Measured[], call?: string) =>
    samples.find((sample) => sample.call === call)?.figures ?? {}

  test.each(SIDE_BY_SIDE)('%s, of each engine of this repository', async (workload) => {
    const known = ['holdfast', 'holdfast-deferred', 'limit', 'probe', 'probe-array'].map((name) => ENGINES[name])
    for (const engine of known.filter((one) => one?.workloads.includes(workload))) {
      const samples = await runSideBySide(workload, engine as (typeof ENGINES)[string], { ...size, dir })
      expect(samples).toHaveLength(1)
      expect(samples[0]).toMatchObject({ rep: 0, limits: [figure, figure], figures: { wrongAnswers: 0 } })
    }
  })

  test('w4: the copies are tasks to the engine, and a task costs the same in a large store as in an empty one', async () => {
    const samples = await runOurs('w4', { ...size, dir })
    const sizes = [0, 100, 1_000]
    const [empty, ...filled] = sizes.map((settled) => samples.filter((sample) => sample.settled === settled))
    for (const store of [empty, ...filled] as Measured[][]) {
      const counts = Object.assign({}, ...store.filter(({ call }) => call === undefined).map(({ figures }) => figures))
      expect(counts.settledByStats).toBe(counts.kept)
      expect(figuresOf(store, 'list()')).toMatchObject({ p99Ms: figure, readKeys: figure })
      expect(figuresOf(store, 'task')).toEqual(figuresOf(empty as Measured[], 'task'))
    }
    const kept = filled.map((store) => store.find(({ figures }) => 'kept' in figures)?.figures)
    for (const counts of kept) expect(counts?.['swept']).toBe(counts?.['kept'])
  }, 120_000)

  test('w5', async () => {
    const [sample] = await runOurs('w5', { ...size, dir })
    expect(sample?.figures).toMatchObject({ steps: 1_000, firstPartMs: figure, lastPartMs: figure })
    // A kept state or a record that is missing would make them fewer than what was stored.
    expect(sample?.figures['bytes']).toBeGreaterThan(Number(sample?.figures['payloadBytes']))
  }, 60_000)

  test('w6: each revision, with 1, 32 and 200 clients', async () => {
    const samples = await runOurs('w6', { ...size, dir })
    const clients = ['1 client', '32 clients', '200 clients']
    expect(samples.map(({ call }) => call)).toEqual(
      ['2025-11-25', '2026-07-28'].flatMap((revision) => clients.map((count) => `${revision}, ${count}`)),
    )
    for (const { figures } of samples)
      expect(figures).toMatchObject({ p50Ms: figure, functionP50Ms: figure, bareP50Ms: figure })
  }, 60_000)

  test('w7', async () => {
    const [sample] = await runOurs('w7', { ...size, dir })
    expect(sample?.figures).toMatchObject({ tasks: 5, p99Ms: figure, idleP99Ms: figure, loopDelayP99Ms: figure })
  }, 60_000)

  test('w8', async () => {
    const samples = await runOurs('w8', { ...size, dir })
    const tasks = samples.map(({ call, figures }) => [call, figures['tasks']])
    expect(tasks).toEqual([
      ['live', 10],
      ['asleep', 100],
      ['asleep for a minute', 100],
      ['asleep, opened again', 100],
    ])
  }, 60_000)
})

describe('the page', () => {
  const { result, file } = newestResult()

  test('is what the newest run in data/bench generates: `npm run bench:page` writes it', () => {
    expect(readFileSync(PAGE, 'utf8')).toBe(pageOf(result, file))
  })

  test('that compares systems has the table of the newest run', () => {
    const text = readFileSync(COMPARISON, 'utf8')
    expect(text).toBe(comparisonWith(text, result))
    const full = comparisonWith(text, { ...result, scale: 1 })
    expect(full).toMatch(/^\| \| Holdfast \| OpenWorkflow.* \| LangGraph.* \| Restate \| DBOS.* \|$/m)
    expect(comparisonWith(full, { ...result, scale: 1 })).toBe(full)
  })

  test('has the plots of that run, and no others', () => {
    const plots = plotsOf(result)
    expect(readdirSync(PLOTS).sort()).toEqual(plots.map(({ name }) => `${name}.svg`).sort())
    for (const plot of plots) expect(readFileSync(join(PLOTS, `${plot.name}.svg`), 'utf8')).toContain(markOf(plot))
  })

  test('has every workload, without a failure, and only engines that the bench knows', () => {
    const measured = new Set(result.samples.map(({ workload }) => workload))
    expect([...measured].sort()).toEqual([...SIDE_BY_SIDE, ...OURS])
    expect(Object.keys(ENGINES)).toEqual(expect.arrayContaining(Object.keys(result.engines)))
    expect(result.failures).toEqual([])
  })

  test('prints no ratio to a raw limit that moved by more than half', () => {
    const rowOf = (limits: [number, number]) => {
      const figures = { stepsPerSecond: 500, cpuMicrosPerStep: 1, rssMb: 1 }
      const samples: Sample[] = [{ workload: 'w1', engine: 'holdfast', round: 0, rep: 0, limits, figures }]
      const { holdfast } = result.engines
      const run = { ...result, reps: 1, engines: { holdfast }, samples } as Result
      return /^\| Holdfast .*$/m.exec(tablesOf(run))?.[0]
    }
    expect(rowOf([800, 1_200])).toContain('| 0.5 | 0.5 |')
    expect(rowOf([799, 1_201])).toContain('| not printed: the raw limit moved |')
    expect(rowOf([799, 1_201])).not.toContain('0.5')
  })

  test('compares engines in the same round only, and counts the rounds that it leaves out', () => {
    const sample = (engine: string, round: number, tasksPerSecond: number, limits: [number, number]): Sample => ({
      ...{ workload: 'w2', engine, round, rep: 0, limits },
      figures: { tasksPerSecond },
    })
    const samples = [
      ...[sample('holdfast', 0, 600, [1_000, 1_000]), sample('probe', 0, 300, [1_000, 1_000])],
      ...[sample('holdfast', 1, 900, [1_000, 1_000]), sample('probe', 1, 100, [1_000, 2_000])],
    ]
    const { holdfast, probe } = result.engines
    const run = { ...result, reps: 1, rounds: 2, engines: { holdfast, probe }, samples } as Result
    expect(tablesOf(run)).toMatch(/^\| probe.* \| 2, 1 of 2 \| 2, 1 of 2 \|$/m)
  })

  describe('has a table of goals', () => {
    const runOf = (engines: Result['engines'], samples: Sample[]) =>
      ({ ...result, reps: 1, scale: 1, engines, samples }) as Result
    const holdfast = result.engines['holdfast'] as Result['engines'][string]
    const peer = (syncsPerStep: number, title: string) =>
      ({ ...holdfast, title, package: { name: title, version: '1' }, syncs: { perStep: syncsPerStep } }) as const
    const sample = (workload: string, engine: string, figures: Record<string, number>, more = {}): Sample => ({
      ...{ workload, engine, round: 0, rep: 0, limits: [1_000, 1_000], figures },
      ...more,
    })
    const goal = (run: Result, name: string) => goalsOf(run).find((one) => one.name === name)

    test('with the figure of the run, and by how much it is missed', () => {
      const w1 = (stepsPerSecond: number) => runOf({ holdfast }, [sample('w1', 'holdfast', { stepsPerSecond })])
      expect(goal(w1(400), 'w1-limit-warm')).toMatchObject({ found: { value: 0.4 }, missedBy: 0 })
      expect(goal(w1(300), 'w1-limit-warm')).toMatchObject({ found: { value: 0.3 }, missedBy: expect.closeTo(0.25) })
      expect(pageOf(w1(300), 'x.json')).toContain('| W1 ÷ raw limit, warm | ≥ 0.4 | 0.3 | **no**, by 25 % |')
      expect(pageOf(w1(300), 'x.json')).toContain('- **W1 ÷ raw limit, warm**, missed by 25 %. ')
      expect(pageOf(w1(400), 'x.json')).toContain('| W1 ÷ raw limit, warm | ≥ 0.4 | 0.4 | yes |')
    })

    test('with the best peer of those that sync what they acknowledge', () => {
      const engines = { holdfast, quick: peer(0, 'quick'), slow: peer(1, 'slow'), slower: peer(2, 'slower') }
      const rates = { holdfast: 1_000, quick: 900, slow: 250, slower: 100 }
      const w2 = Object.entries(rates).map(([name, tasksPerSecond]) => sample('w2', name, { tasksPerSecond }))
      const found = { value: 4, note: 'slow' }
      expect(goal(runOf(engines, w2), 'w2-peer-warm')).toMatchObject({ found, missedBy: expect.closeTo(1 / 3) })
      const times = { holdfast: 50, quick: 10, slow: 200, slower: 100 }
      const w3 = Object.entries(times).map(([name, allCompleteMs]) => sample('w3', name, { allCompleteMs }))
      expect(goal(runOf(engines, w3), 'w3-complete')).toMatchObject({
        ...{ found: { value: 0.5, note: 'slower' }, missedBy: 0 },
      })
    })

    test('with the slowest list and the counts of the largest store', () => {
      const w4 = (call: string, settled: number, figures: Record<string, number>) =>
        sample('w4', 'holdfast', figures, { call, settled })
      const counts = { operations: 28, batches: 7, readKeys: 0 }
      const run = runOf({ holdfast }, [
        ...[w4('task', 0, counts), w4('task', 10, { ...counts, operations: 29 }), w4('task', 100, counts)],
        ...[w4('list()', 10, { p99Ms: 99, loopDelayMaxMs: 1 }), w4('list()', 100, { p99Ms: 5, loopDelayMaxMs: 6 })],
        ...[w4('list({ owner })', 100, { p99Ms: 7, loopDelayMaxMs: 2 }), w4('audit()', 100, { p99Ms: 80 })],
      ])
      expect(goal(run, 'w4-counts')).toMatchObject({ found: { value: 1 }, missedBy: 0 })
      expect(goal(run, 'w4-page')).toMatchObject({ found: { value: 7, note: '`list({ owner })`' }, missedBy: 0 })
      expect(goal(run, 'w4-loop')).toMatchObject({ found: { value: 6 }, missedBy: expect.closeTo(0.2) })
      const more = runOf({ holdfast }, [w4('task', 0, counts), w4('task', 100, { ...counts, readKeys: 1 })])
      expect(goal(more, 'w4-counts')?.missedBy).toBeGreaterThan(0)
    })

    test('and says of what was not measured that it was not', () => {
      expect(goalsOf(runOf({ holdfast }, [])).every(({ found }) => 'none' in found)).toBe(true)
    })
  })

  test('shows a median with the least and the greatest value', () => {
    expect(rangeOf([3, 1, 2])).toEqual({ median: 2, least: 1, greatest: 3 })
    expect(rangeOf([4, 1])).toEqual({ median: 2.5, least: 1, greatest: 4 })
    expect(rangeOf([])).toBeUndefined()
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
