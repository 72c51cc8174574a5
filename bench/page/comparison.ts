/** The table of measurements in docs/comparison.md, between its two marks. Pure. */
import { figureOf, type Ratios, type Result, ratiosBetween, ratiosToLimit, rounded, samplesOf } from '../result.js'

const BEGIN = '<!-- measured:begin -->'
const END = '<!-- measured:end -->'
const ENGINES = ['holdfast', 'openworkflow', 'langgraph-full', 'restate', 'dbos']

/** The text of the page, with the table of `result`. @throws Error if the page does not have the marks */
export function comparisonWith(page: string, result: Result): string {
  const [begin, end] = [page.indexOf(BEGIN), page.indexOf(END)]
  if (begin < 0 || end < begin) throw new Error(`docs/comparison.md has no ${BEGIN} … ${END}`)
  return `${page.slice(0, begin + BEGIN.length)}\n${blockOf(result)}\n${page.slice(end)}`
}

function blockOf(result: Result): string {
  const { date, machine, node, engines, scale } = result
  if (scale < 1)
    return 'The newest run in the repository is a trial at a small size, so its figures are not shown here.'
  const names = ENGINES.filter((name) => engines[name] && engines[name].skipped === undefined)
  const titles = names.map((name) => engines[name]?.title ?? name)
  const row = (label: string, cell: (engine: string) => string) => `| ${[label, ...names.map(cell)].join(' | ')} |`
  const warm = (workload: string, name: string) => samplesOf(result, workload, name, 'warm')
  const after = (figure: string) => (name: string) => {
    const range = figureOf(samplesOf(result, 'w3', name), figure)
    return range ? `${rounded(range.median / 1_000)} s` : '–'
  }
  const rerun = names.filter((name) =>
    samplesOf(result, 'w3', name).some(({ figures }) => (figures['rerunSteps'] ?? 0) > 0),
  )
  return [
    `${machine.processors} processors (${machine.model}), ${machine.platform}, Node ${node}, ${date}; medians of interleaved runs in warm`,
    'processes, every commit synced to the disk. The steps do nothing and return 1 KiB. The limit is one synced append of 1 KiB.',
    '',
    `| | ${titles.join(' | ')} |`,
    `|--|${names.map(() => '--|').join('')}`,
    row('one task, 1,000 steps: steps ÷ limit', (name) => ratio(ratiosToLimit(warm('w1', name), 'stepsPerSecond'))),
    row('1,000 tasks of 5 steps, 100 at once: relative to Holdfast', (name) =>
      ratio(ratiosBetween(warm('w2', name), warm('w2', 'holdfast'), 'tasksPerSecond')),
    ),
    row('`kill -9` of 1,000 tasks: time to the first step', after('firstNextStepMs')),
    row('the same: time until all tasks are complete', after('allCompleteMs')),
    '',
    rerun.length === 0
      ? 'No system in this table ran a recorded step again after the kill.'
      : `Recorded steps ran again after the kill in: ${rerun.map((name) => engines[name]?.title).join(', ')}.`,
  ].join('\n')
}

function ratio({ range }: Ratios): string {
  return range ? String(rounded(range.median)) : 'the limit moved'
}
