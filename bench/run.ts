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
import { beginProgress, type Progress, resumeProgress } from './progress.js'
import {
  type MeasuredEngine,
  type PlannedTurn,
  type Result,
  type Sample,
  samplesOf,
  summarise,
  type Turn,
} from './result.js'
import { type Plan, runTurn, turnsOf } from './turns.js'
import { OURS, SIDE_BY_SIDE, type WorkloadName } from './workloads.js'

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
  .option('--resume', 'continue the run that was interrupted, with the same options', false)
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
    resume: boolean
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
const plan: Plan = {
  ...{ only, rounds, reps, syncs: options.syncs },
  engines: names.filter((name) => engines[name]?.skipped === undefined),
}
const commit = commitOf(project)
const progress = progressOf()
const { date, loadBefore } = progress?.settings ?? { date: today(), loadBefore: loadavg() }

const turns: Turn[] = []
const planned = turnsOf(plan)
for (const [index, turn] of planned.entries()) {
  const known = progress?.finished.find((other) => isSameTurn(turn, other))
  if (known) {
    turns.push(known)
    continue
  }
  const { round, workload, engine } = turn
  if (!json) process.stderr.write(`${index + 1} of ${planned.length}: round ${round + 1}, ${workload}, ${engine} … `)
  const ended = await runTurn(turn, plan, { dir, scale })
  if (!json) console.error(`${ended.seconds} s`)
  if ('error' in ended) console.error(`${workload}, ${engine}: ${ended.error}`)
  progress?.add(ended)
  turns.push(ended)
}

const samples: Sample[] = turns.flatMap(({ round, workload, engine, ...turn }) =>
  'error' in turn ? [] : turn.samples.map((sample) => ({ workload, engine, round, ...sample })),
)
const failures = turns.flatMap(({ workload, engine, ...turn }) =>
  'error' in turn ? [{ workload, engine, error: turn.error }] : [],
)
for (const turn of turns) {
  if (turn.workload !== 'syncs') continue
  const syncs = 'error' in turn ? { notCounted: turn.error } : turn.syncs
  engines[turn.engine] = { ...(engines[turn.engine] as MeasuredEngine), ...(syncs && { syncs }) }
}

const result: Result = {
  schema: 3,
  date,
  version: (JSON.parse(readFileSync(join(project, 'package.json'), 'utf8')) as { version: string }).version,
  commit,
  node: process.versions.node,
  machine: {
    platform: process.platform,
    processors: availableParallelism(),
    model: cpus()[0]?.model.trim() ?? 'unknown',
    loadBefore,
    loadAfter: loadavg(),
  },
  ...{ rounds, reps, scale, engines, failures },
  turns: turns.map(({ round, workload, engine, seconds, load }) => ({ round, workload, engine, seconds, load })),
  samples,
}
const file = write ? writeResult(result) : undefined
console.log(tablesOf(result))
if (file !== undefined) {
  await writePage()
  console.log(`Written: data/bench/${file} and docs/internals/benchmarks.md`)
}
if (failures.length > 0) process.exitCode = 1
if (progress && failures.length > 0)
  console.error('The turns that failed are run again by the same command with --resume')
else progress?.remove()

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

/** The progress of this run: a new one, or with `--resume` that of the interrupted run. The runs of `bench:check` have none. */
function progressOf(): Progress | undefined {
  if (json) return undefined
  const path = join(options.dir, 'bench-progress.jsonl')
  const fixed = { commit, node: process.versions.node, plan, scale, engines }
  if (!options.resume) return beginProgress(path, { date: today(), loadBefore: loadavg(), fixed })
  try {
    return resumeProgress(path, fixed)
  } catch (cause) {
    console.error(cause instanceof Error ? cause.message : cause)
    process.exit(1)
  }
}

function today(): string {
  return new Date().toISOString().slice(0, 10)
}

function isSameTurn(one: PlannedTurn, other: PlannedTurn): boolean {
  return one.round === other.round && one.workload === other.workload && one.engine === other.engine
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
