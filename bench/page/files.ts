/** The files of a run: its JSON in data/bench, the page with its plots in docs/internals, and the table in docs/comparison.md. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Result } from '../result.js'
import { comparisonWith } from './comparison.js'
import { pageOf } from './page.js'
import { markOf, type Plot, plotsOf } from './plots.js'

const project = fileURLToPath(new URL('../..', import.meta.url))
const data = join(project, 'data/bench')

/** Path of the page. */
export const PAGE = join(project, 'docs/internals/benchmarks.md')
/** Path of the page that compares systems, which has a table of the same run. */
export const COMPARISON = join(project, 'docs/comparison.md')
/** Folder of the plots. */
export const PLOTS = join(project, 'docs/internals/benchmarks')

/** The newest run in data/bench, with the name of its file. */
export function newestResult(): { result: Result; file: string } {
  const names = existsSync(data) ? readdirSync(data) : []
  const file = names
    .filter((name) => name.endsWith('.json'))
    .sort()
    .at(-1)
  if (file === undefined) throw new Error('There is no run in data/bench: npm run bench:peers')
  return { result: JSON.parse(readFileSync(join(data, file), 'utf8')) as Result, file }
}

/** Writes the JSON of a run. Returns the name of its file. */
export function writeResult(result: Result): string {
  const file = `${result.date}.json`
  mkdirSync(data, { recursive: true })
  // A sample a line: a run is compared and reviewed by its samples.
  const { samples, ...rest } = result
  const lines = samples.map((sample) => `    ${JSON.stringify(sample)}`).join(',\n')
  const head = JSON.stringify(rest, null, 2).slice(0, -2)
  writeFileSync(join(data, file), `${head},\n  "samples": [\n${lines}\n  ]\n}\n`)
  return file
}

/** Writes the page and its plots from the newest run. @throws Error if bench/peers, which draws, is not installed */
export async function writePage(): Promise<void> {
  if (!existsSync(join(project, 'bench/peers/node_modules/echarts'))) {
    throw new Error('The library that draws the plots is not installed: npm --prefix bench/peers ci')
  }
  const { draw } = (await import(new URL('../peers/draw.mjs', import.meta.url).href)) as {
    draw: (plot: Plot, mark: string) => string
  }
  const { result, file } = newestResult()
  rmSync(PLOTS, { recursive: true, force: true })
  mkdirSync(PLOTS)
  for (const plot of plotsOf(result)) writeFileSync(join(PLOTS, `${plot.name}.svg`), draw(plot, markOf(plot)))
  writeFileSync(PAGE, pageOf(result, file))
  writeFileSync(COMPARISON, comparisonWith(readFileSync(COMPARISON, 'utf8'), result))
}
