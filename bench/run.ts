/**
 * `npm run bench` and `npm run bench:peers`: runs workloads for one engine after the other, in rounds, and prints tables.
 * With `--json` the last line of standard output is the result of Holdfast as JSON. README.md has the options.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { availableParallelism, cpus, loadavg } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Command, InvalidArgumentError } from 'commander'
import { ENGINES, type Engine } from './engines.js'
import { writePage, writeResult } from './page/files.js'
import { tablesOf } from './page/page.js'
import { type MeasuredEngine, type Result, type Sample, samplesOf, summarise } from './result.js'
import { countSyncs } from './syncs.js'
import { type Measured, OURS, runOurs, runSideBySide, SIDE_BY_SIDE, type WorkloadName } from './workloads.js'

const project = fileURLToPath(new URL('..', import.meta.url))
const WORKLOADS: readonly WorkloadName[] = [...SIDE_BY_SIDE, ...OURS]

const options = new Command('bench')
  .description('Measures the built package next to other engines and the limit of the disk.')
  .option('--json', 'Holdfast alone; end with one line of JSON', false)
  .option('--engines <names>', `some of ${Object.keys(ENGINES).join(', ')}; or all`, namesIn(Object.keys(ENGINES)))
  .option('--only <workloads>', `some of ${WORKLOADS.join(', ')}; or all`, namesIn(WORKLOADS), SIDE_BY_SIDE as never)
  .option('--rounds <number>', 'rounds, in each of which every engine has its turn', positive(Number.isInteger), 1)
  .option('--reps <number>', 'repetitions in one process', positive(Number.isInteger), 5)
  .option('--scale <share>', 'share of the full size; for tests, since small runs measure little', positive(), 1)
  .option('--syncs', 'count the syncs of the disk as well, with strace', false)
  .option('--write', 'write the JSON to data/bench, and the page of the docs', false)
  // Not the system's folder for temporary files: where that is in memory, nothing would be measured.
  .option('--dir <folder>', 'folder for the stores, on the disk to be measured', join(project, '.holdfast'))
  .parse()
  .opts<{
    json: boolean
    engines?: string[]
    only: WorkloadName[]
    rounds: number
    reps: number
    scale: number
    syncs: boolean
    write: boolean
    dir: string
  }>()

const { json, only, rounds, reps, scale, write } = options
const names = json ? ['holdfast'] : (options.engines ?? ['holdfast', 'holdfast-deferred', 'limit', 'probe'])

if (!existsSync(join(project, 'dist/index.js'))) {
  console.error('There is no dist/ to measure. Run `npm run build` first; `npm run bench` does.')
  process.exit(1)
}

mkdirSync(options.dir, { recursive: true })
const dir = mkdtempSync(join(options.dir, 'bench-'))
// Others may pass through, such as the user that PostgreSQL runs as, but not read.
execFileSync('chmod', ['711', dir])
// Also when a workload is in the middle of writing there, and is killed just before.
process.on('exit', () => rmSync(dir, { recursive: true, force: true, maxRetries: 5 }))
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130))

const loadBefore = loadavg()
const engines: Record<string, MeasuredEngine> = {}
for (const name of names) {
  const engine = ENGINES[name] as Engine
  const { title, note, isDistributed, node, unavailable } = engine
  const skipped = unavailable()
  if (skipped !== undefined) console.error(`${title} is not measured: ${skipped}`)
  engines[name] = {
    ...{ title, note, isDistributed },
    ...(engine.package && { package: engine.package }),
    node: node && !skipped ? versionOf(node) : process.versions.node,
    ...(skipped === undefined ? {} : { skipped }),
  }
}
const measured = names.filter((name) => engines[name]?.skipped === undefined)

const samples: Sample[] = []
const failures: { workload: string; engine: string; error: string }[] = []
for (let round = 0; round < rounds; round++) {
  for (const workload of SIDE_BY_SIDE.filter((name) => only.includes(name))) {
    // Each goes first in some round: what one leaves of the disk's queue is not always the same one's.
    const turn = round % measured.length
    for (const name of [...measured.slice(turn), ...measured.slice(0, turn)]) {
      const engine = ENGINES[name] as Engine
      if (!engine.workloads.includes(workload)) continue
      // W3 makes its tasks anew for each repetition, which takes longest; each of its processes is a new one anyway.
      const size = { dir, scale, reps: workload === 'w3' && rounds > 1 ? 1 : reps }
      await collect(round, workload, name, () => runSideBySide(workload, engine, size))
    }
  }
}
for (const workload of OURS.filter((name) => only.includes(name) && names.includes('holdfast'))) {
  for (let round = 0; round < (workload === 'w4' ? 1 : rounds); round++) {
    const size = { dir, reps: workload === 'w4' ? reps : 1, scale }
    await collect(round, workload, 'holdfast', () => runOurs(workload, size))
  }
}
if (options.syncs) {
  for (const name of measured.filter((name) => name !== 'limit')) {
    report(0, 'syncs', name)
    const known = engines[name] as MeasuredEngine
    const syncs = await countSyncs(ENGINES[name] as Engine, dir).catch((cause: unknown) => ({
      notCounted: cause instanceof Error ? cause.message : String(cause),
    }))
    engines[name] = { ...known, syncs }
  }
}

const result: Result = {
  schema: 2,
  date: new Date().toISOString().slice(0, 10),
  version: (JSON.parse(readFileSync(join(project, 'package.json'), 'utf8')) as { version: string }).version,
  commit: commitOf(project),
  node: process.versions.node,
  machine: {
    platform: process.platform,
    processors: availableParallelism(),
    model: cpus()[0]?.model.trim() ?? 'unknown',
    loadBefore,
    loadAfter: loadavg(),
  },
  ...{ rounds, reps, scale, engines, failures, samples },
}
const file = write ? writeResult(result) : undefined
console.log(tablesOf(result))
if (file !== undefined) {
  await writePage()
  console.log(`Written: data/bench/${file} and docs/internals/benchmarks.md`)
}
if (failures.length > 0) process.exitCode = 1

const wrong = samples.filter(({ figures }) =>
  ['wrongAnswers', 'rerunSteps', 'repeatedSteps'].some((name) => (figures[name] ?? 0) !== 0),
)
for (const { workload, engine } of wrong) {
  console.error(`${workload}, ${engine}: a step had a wrong answer, or ran again after it had completed`)
  if (engine === 'holdfast') process.exitCode = 1
}
if (json) {
  const figures = only.map((name) => [name, summarise(samplesOf(result, name, 'holdfast'))])
  console.log(JSON.stringify({ ...Object.fromEntries(figures), node: process.versions.node, reps, scale }))
}

/** Adds the samples of a workload. An error of one workload does not take those of the others along. */
async function collect(round: number, workload: string, engine: string, run: () => Promise<Measured[]>): Promise<void> {
  report(round, workload, engine)
  try {
    for (const sample of await run()) samples.push({ workload, engine, round, ...sample })
  } catch (cause) {
    const error = cause instanceof Error ? cause.message : String(cause)
    console.error(`${workload}, ${engine}: ${error}`)
    failures.push({ workload, engine, error })
  }
}

function report(round: number, workload: string, engine: string): void {
  if (!json) console.error(`round ${round + 1} of ${rounds}: ${workload}, ${engine}`)
}

function versionOf(node: string): string {
  return execFileSync(node, ['--version'], { encoding: 'utf8' }).trim().slice(1)
}

function commitOf(folder: string): string {
  try {
    const git = (...words: string[]) =>
      execFileSync('git', words, { cwd: folder, encoding: 'utf8', stdio: 'pipe' }).trim()
    const isChanged = git('status', '--porcelain', '--', 'src') !== ''
    return git('rev-parse', '--short', 'HEAD') + (isChanged ? ' with changes' : '')
  } catch {
    return 'unknown'
  }
}

function positive(check: (value: number) => boolean = Number.isFinite) {
  return (text: string): number => {
    const value = Number(text)
    if (value > 0 && check(value)) return value
    throw new InvalidArgumentError(`Expected a number above 0, got '${text}'.`)
  }
}

function namesIn<Name extends string>(known: readonly Name[]) {
  return (text: string): Name[] => {
    if (text === 'all') return [...known]
    return text.split(',').map((name) => {
      if (known.includes(name as Name)) return name as Name
      throw new InvalidArgumentError(`Expected some of ${known.join(', ')}, got '${name}'.`)
    })
  }
}
