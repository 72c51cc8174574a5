/**
 * A strict parser of Prometheus's text format 0.0.4: `# HELP`, `# TYPE` and then the samples of one family, in one group. Anything
 * else throws, such as a second family of the same name, a sample that occurs twice, or an escape that the format does not have.
 */
import { expect } from 'vitest'

export interface ParsedFamily {
  readonly name: string
  readonly help: string
  readonly type: string
  /** A sample of a histogram has the label `__name__`, with the end of its name: `_bucket`, `_sum` or `_count`. */
  readonly samples: { readonly labels: Record<string, string>; readonly value: number }[]
}

const NAME = '[a-zA-Z_:][a-zA-Z0-9_:]*'

/** Parses a text. @throws Error with the line that breaks the format */
export function parsePrometheus(text: string): Map<string, ParsedFamily> {
  if (!text.endsWith('\n')) throw new Error('The last line has no end')
  const families = new Map<string, ParsedFamily>()
  const lines = text.slice(0, -1).split('\n')
  for (let at = 0; at < lines.length; ) {
    const help = match(lines[at++], new RegExp(`^# HELP (${NAME}) (.*)$`))
    const [, name, words] = help as [string, string, string]
    const [, typed, type] = match(lines[at++], new RegExp(`^# TYPE (${NAME}) (counter|gauge|histogram)$`)) as [
      string,
      string,
      string,
    ]
    if (typed !== name || families.has(name)) throw new Error(`The family ${name} is not in one group`)
    const samples: ParsedFamily['samples'] = []
    for (; at < lines.length && !lines[at]?.startsWith('#'); at++)
      samples.push(sampleOf(lines[at] as string, name, type))
    const series = samples.map(({ labels }) => JSON.stringify(Object.entries(labels).sort()))
    if (new Set(series).size !== series.length || samples.length === 0)
      throw new Error(`Samples of ${name} do not differ`)
    if (type === 'histogram') checkHistogram(name, samples)
    families.set(name, { name, help: unescaped(words, /\\(\\|n)/g), type, samples })
  }
  return families
}

/** The value of the sample with these labels. */
export function sampleValue(
  families: Map<string, ParsedFamily>,
  name: string,
  labels: Record<string, string> = {},
): number | undefined {
  const same = (given: Record<string, string>) => {
    expect(Object.keys(given).sort()).toEqual(Object.keys(labels).sort())
    return Object.entries(labels).every(([key, value]) => given[key] === value)
  }
  const ofPart = ({ labels: given }: { labels: Record<string, string> }) => given['__name__'] === labels['__name__']
  return families
    .get(name)
    ?.samples.filter(ofPart)
    .find((sample) => same(sample.labels))?.value
}

/** Buckets ascend, and so do their counts. The last one is `+Inf`, with the count of all. */
function checkHistogram(name: string, samples: ParsedFamily['samples']): void {
  const buckets = samples.filter(({ labels }) => labels['__name__'] === '_bucket')
  const bounds = buckets.map(({ labels }) => Number((labels['le'] as string).replace('Inf', 'Infinity')))
  const count = samples.find(({ labels }) => labels['__name__'] === '_count')?.value
  const isAscending = (numbers: readonly number[], isStrict: boolean) =>
    numbers.every(
      (number, at) =>
        at === 0 || (isStrict ? number > (numbers[at - 1] as number) : number >= (numbers[at - 1] as number)),
    )
  const isRight =
    bounds.at(-1) === Number.POSITIVE_INFINITY &&
    buckets.at(-1)?.value === count &&
    isAscending(bounds, true) &&
    isAscending(
      buckets.map(({ value }) => value),
      false,
    )
  if (!isRight || samples.length !== buckets.length + 2) throw new Error(`${name} is no histogram`)
}

function sampleOf(line: string, name: string, type: string | undefined) {
  const [, given = '', inBraces, value] = match(line, new RegExp(`^(${NAME})(?:\\{(.*)\\})? (\\S+)$`))
  const end = type === 'histogram' ? /_(bucket|sum|count)$/.exec(given)?.[0] : ''
  if (end === undefined || given !== name + end) throw new Error(`A sample of ${given} stands under ${name}`)
  if (!/^([+-]?\d+(\.\d+)?(e[+-]?\d+)?|NaN|[+-]Inf)$/.test(value as string)) throw new Error(`No number: ${value}`)
  const labels: Record<string, string> = end === '' ? {} : { __name__: end }
  let rest = inBraces ?? ''
  while (rest !== '') {
    const [all, label, text] = match(rest, /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\["\\n])*)"(?:,(?=[a-z])|$)/)
    labels[label as string] = unescaped(text as string, /\\(["\\n])/g)
    rest = rest.slice((all as string).length)
  }
  return { labels, value: Number((value as string).replace('Inf', 'Infinity')) }
}

function unescaped(text: string, escapes: RegExp): string {
  const left = text.replace(escapes, '')
  if (left.includes('\\')) throw new Error(`An escape of another format: ${text}`)
  return text.replace(escapes, (_, char: string) => (char === 'n' ? '\n' : char))
}

function match(line: string | undefined, form: RegExp): (string | undefined)[] {
  const found = form.exec(line ?? '')
  if (!found) throw new Error(`The line does not fit ${form}: ${line}`)
  return [...found]
}
