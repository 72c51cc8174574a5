/**
 * A strict parser of Prometheus's text format 0.0.4: `# HELP`, `# TYPE` and then the samples of one family, in one group. Anything
 * else throws, such as a second family of the same name, a sample that occurs twice, or an escape that the format does not have.
 */
import { expect } from 'vitest'

export interface ParsedFamily {
  readonly name: string
  readonly help: string
  readonly type: string
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
    const [, typed, type] = match(lines[at++], new RegExp(`^# TYPE (${NAME}) (counter|gauge)$`)) as [
      string,
      string,
      string,
    ]
    if (typed !== name || families.has(name)) throw new Error(`The family ${name} is not in one group`)
    const samples: ParsedFamily['samples'] = []
    for (; at < lines.length && !lines[at]?.startsWith('#'); at++) samples.push(sampleOf(lines[at] as string, name))
    const series = samples.map(({ labels }) => JSON.stringify(Object.entries(labels).sort()))
    if (new Set(series).size !== series.length || samples.length === 0)
      throw new Error(`Samples of ${name} do not differ`)
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
  return families.get(name)?.samples.find((sample) => same(sample.labels))?.value
}

function sampleOf(line: string, name: string) {
  const [, given, inBraces, value] = match(line, new RegExp(`^(${NAME})(?:\\{(.*)\\})? (\\S+)$`))
  if (given !== name) throw new Error(`A sample of ${given} stands under ${name}`)
  if (!/^([+-]?\d+(\.\d+)?(e[+-]?\d+)?|NaN|[+-]Inf)$/.test(value as string)) throw new Error(`No number: ${value}`)
  const labels: Record<string, string> = {}
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
