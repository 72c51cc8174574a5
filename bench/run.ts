/**
 * `npm run bench`: runs the workloads one after the other and says what came out. With `--json` the last line of
 * standard output is the result as JSON; everything before it is for people. README.md says what the figures mean.
 */
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Command, InvalidArgumentError } from 'commander'
import { describe, type Summary, summarise } from './summary.js'
import { BY_DEFAULT, WORKLOADS, type WorkloadName } from './workloads.js'

interface Options {
  readonly json: boolean
  readonly reps: number
  readonly scale: number
  readonly only: readonly WorkloadName[]
  readonly dir: string
}

const project = fileURLToPath(new URL('..', import.meta.url))

const { json, reps, scale, only, dir } = new Command('bench')
  .description('Measures the built package beside the limit of the disk.')
  .option('--json', 'end with one line of JSON', false)
  .option('--reps <number>', 'repetitions of each workload', positive(Number.isInteger), 5)
  .option('--only <workloads>', 'such as w1,w2', workloads, BY_DEFAULT)
  .option('--scale <share>', 'share of the full size; for tests, since small runs measure little', positive(), 1)
  // Not the system's folder for temporary files: where that lies in memory, nothing would be measured.
  .option('--dir <folder>', 'where the stores go: on the disk to be measured', join(project, '.holdfast'))
  .parse()
  .opts<Options>()

if (!existsSync(join(project, 'dist/index.js'))) {
  console.error('There is no dist/ to measure. Run `npm run build` first; `npm run bench` does.')
  process.exit(1)
}

mkdirSync(dir, { recursive: true })
const stores = mkdtempSync(join(dir, 'bench-'))
// Also when a workload is in the middle of writing there, and is killed just before.
process.on('exit', () => rmSync(stores, { recursive: true, force: true, maxRetries: 5 }))
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130))

console.log(`Holdfast, durability 'synced', 1 KiB results; medians of ${reps} (least–greatest)`)
console.log(`Node ${process.versions.node}, ${process.platform}, ${availableParallelism()} processors\n`)

const summaries: Partial<Record<WorkloadName, Summary>> = {}
for (const name of only) {
  const summary = summarise(await WORKLOADS[name]({ dir: stores, reps, scale }))
  summaries[name] = summary
  console.log(describe(name, summary))
}

const { w3 } = summaries
if (w3 && (w3['rerunSteps'] !== 0 || w3['repeatedSteps'] !== 0)) {
  console.error('W3: a step that was recorded, or had completed, ran a second time.')
  process.exitCode = 1
}
if (json) console.log(JSON.stringify({ ...summaries, node: process.versions.node, reps, scale }))

function positive(check: (value: number) => boolean = Number.isFinite) {
  return (text: string): number => {
    const value = Number(text)
    if (value > 0 && check(value)) return value
    throw new InvalidArgumentError(`Expected a number above 0, got '${text}'.`)
  }
}

function workloads(text: string): WorkloadName[] {
  return text.split(',').map((name) => {
    if (Object.hasOwn(WORKLOADS, name)) return name as WorkloadName
    throw new InvalidArgumentError(`Expected some of ${Object.keys(WORKLOADS).join(', ')}, got '${name}'.`)
  })
}
