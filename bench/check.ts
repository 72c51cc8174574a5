/**
 * `npm run bench:check`: measures this tree and an earlier commit in turns, and compares them pair by pair. Exit code 1 if
 * the lower end of an interval is below `--least`: the change made something slower. With `--operator`, it measures this tree
 * with the operator API on and off. With `--telemetry`, it measures this tree with telemetry on and off, and with
 * `--telemetry bare` with the least telemetry that makes the same spans.
 */
import { execFile } from 'node:child_process'
import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { Command, Option } from 'commander'
import { buildTree } from './check/baseline-tree.js'
import { intervalOf } from './check/intervals.js'

const project = fileURLToPath(new URL('..', import.meta.url))
const { commit: baseline } = JSON.parse(readFileSync(new URL('baseline.json', import.meta.url), 'utf8')) as {
  readonly commit: string
}

const options = new Command('bench:check')
  .description('Compares this tree with an earlier commit, in pairs of runs.')
  .option('--pairs <number>', 'pairs of runs', Number, 15)
  .option('--reps <number>', 'repetitions of each workload in a run', Number, 5)
  .option('--only <workloads>', 'such as w1,w2', 'w1,w2,w3')
  .option('--operator', 'compare this tree with itself: the operator API on, and off', false)
  .addOption(
    new Option('--telemetry [kind]', 'compare this tree with itself: telemetry with a batch processor on, and off')
      .choices(['full', 'bare'])
      .preset('full'),
  )
  .option('--scale <share>', 'share of the full size; for tests', '1')
  .option('--against <commit>', 'the commit to compare with', baseline)
  .option('--tree <folder>', 'a built tree to compare with, in place of a commit')
  .option(
    '--least <ratio>',
    'the least that the lower end of an interval of processor time may be: 0.9, 0.95 with --operator, 0.85 with --telemetry',
    Number,
  )
  .option('--dir <folder>', 'where the stores go: on the disk to be measured', join(project, '.holdfast'))
  .parse()
  .opts<{
    pairs: number
    reps: number
    only: string
    scale: string
    against: string
    tree?: string
    operator: boolean
    telemetry?: 'full' | 'bare'
    least?: number
    dir: string
  }>()

type Result = Record<string, Record<string, number>>

/** Ratios above 1 say that this tree is better. */
interface Compared {
  readonly label: string
  readonly workload: string
  readonly figure: string
  /** True if less is better. */
  readonly isCost: boolean
  /** True if it decides: processor time does, since a disk that is shared moves the rest. */
  readonly decides: boolean
}

const COMPARED: readonly Compared[] = [
  { label: 'W1 steps/s', workload: 'w1', figure: 'stepsPerSecond', isCost: false, decides: false },
  { label: 'W1 processor time', workload: 'w1', figure: 'cpuMicrosPerStep', isCost: true, decides: true },
  { label: 'W2 tasks/s', workload: 'w2', figure: 'tasksPerSecond', isCost: false, decides: false },
  { label: 'W2 processor time', workload: 'w2', figure: 'cpuMicrosPerTask', isCost: true, decides: true },
  { label: 'W3 time to all next steps', workload: 'w3', figure: 'allNextStepsMs', isCost: true, decides: false },
  { label: 'W3 time to all complete', workload: 'w3', figure: 'allCompleteMs', isCost: true, decides: false },
]

/** What a run measures. */
interface Side {
  readonly folder: string
  readonly env: Readonly<Record<string, string>>
}

const least = options.least ?? (options.telemetry ? 0.85 : options.operator ? 0.95 : 0.9)
const ours: Side = { folder: project, env: options.telemetry ? { HOLDFAST_BENCH_TELEMETRY: options.telemetry } : {} }
mkdirSync(options.dir, { recursive: true })
const theirs = await otherSide()

const ratios = new Map<Compared, number[]>()
for (let pair = 0; pair < options.pairs; pair++) {
  // Each goes first in every other pair: what one leaves of the disk's queue is not always the same one's.
  const order = pair % 2 === 0 ? [ours, theirs] : [theirs, ours]
  const results = new Map<Side, Result>()
  for (const side of order) results.set(side, await measure(side))
  for (const compared of COMPARED) {
    const { workload, figure, isCost } = compared
    const here = results.get(ours)?.[workload]?.[figure]
    const there = results.get(theirs)?.[workload]?.[figure]
    if (here === undefined || there === undefined) continue
    const found = ratios.get(compared) ?? []
    ratios.set(compared, found)
    found.push(isCost ? there / here : here / there)
  }
  console.error(`pair ${pair + 1} of ${options.pairs}`)
}

const other = options.operator
  ? 'the operator API turned off'
  : options.telemetry
    ? 'telemetry turned off'
    : (options.tree ?? options.against)
console.log(`Against ${other}, ${options.pairs} pairs; above 1 this tree is better`)
let fallsShort = false
for (const [{ label, decides }, found] of ratios) {
  const { median, low, high } = intervalOf(found, Math.random)
  const isShort = decides && low < least
  fallsShort ||= isShort
  const interval = `${low.toFixed(3)}–${high.toFixed(3)}`
  console.log(`  ${median.toFixed(3)} (${interval})  ${label}${isShort ? `: below ${least}` : ''}`)
}
if (fallsShort) process.exitCode = 1

async function otherSide(): Promise<Side> {
  if (options.operator) return { folder: project, env: { HOLDFAST_BENCH_OPERATOR: 'off' } }
  if (options.telemetry) return { folder: project, env: {} }
  const folder = options.tree ?? join(project, '.holdfast', `tree-${options.against}`)
  if (options.tree === undefined) {
    console.error(`Building ${options.against} …`)
    await buildTree(project, options.against, folder)
  }
  return { folder, env: {} }
}

async function measure({ folder, env }: Side): Promise<Result> {
  const { only, reps, scale, dir } = options
  const bench = ['--import', 'tsx', 'bench/run.ts', '--json', '--reps', `${reps}`, '--only', only, '--scale', scale]
  const run = { cwd: folder, env: { ...process.env, ...env } }
  const { stdout } = await promisify(execFile)(process.execPath, [...bench, '--dir', dir], run)
  return JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '') as Result
}
