// Goal: each metric and each label in a query of the dashboard is one that a server exports, and each metric is in a query.
// Method: the metrics of a running server, with the names that Prometheus gives them. No Grafana and no Prometheus runs here.
import { readFileSync } from 'node:fs'
import { defineTask } from 'holdfast'
import { MemoryDisk, openInMemory, untilIdle } from 'holdfast/testing'
import { expect, test } from 'vitest'
import { TestSdk } from '../../helpers/telemetry.js'

interface Panel {
  readonly title: string
  readonly targets: readonly { readonly expr: string; readonly legendFormat: string }[]
}

const DOCS = new URL('../../../docs/operations/', import.meta.url)
const board = JSON.parse(readFileSync(new URL('grafana-holdfast.json', DOCS), 'utf8')) as { panels: readonly Panel[] }
const queries = board.panels.flatMap(({ targets }) => targets)

const SUFFIX: Readonly<Record<string, string>> = { s: '_seconds', By: '_bytes' }
// https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics, section "OTLP Metric points to Prometheus".
const nameOf = (name: string) => name.replace(/[^a-zA-Z0-9_:]/g, '_')
function metricOf(name: string, unit: string): string {
  const suffix = SUFFIX[unit] ?? ''
  return nameOf(name).endsWith(suffix) ? nameOf(name) : `${nameOf(name)}${suffix}`
}

const outcomes = defineTask({ name: 'outcomes' }, (task, fails: boolean) =>
  task.step('a', () => {
    if (fails) throw new Error('no')
  }),
)
const waits = defineTask({ name: 'waits' }, (task) => task.input('go'))

/** Runs a server with every kind of metric. */
async function measured(): Promise<TestSdk> {
  const sdk = new TestSdk()
  const disk = new MemoryDisk()
  const before = await openInMemory({ disk, tasks: [waits] })
  await before.start(waits, undefined)
  await before.close()
  const holdfast = await openInMemory({ disk, tasks: [outcomes, waits], telemetry: sdk.telemetry })
  for (const fails of [true, false]) {
    const { taskId } = await holdfast.start(outcomes, fails)
    await holdfast.result(taskId).catch(() => {})
  }
  await untilIdle(holdfast)
  const request = {
    method: 'tools/call',
    tool: 'a',
    isOwnTool: true,
    prompt: undefined,
    requestId: '1',
    transport: 'pipe',
  }
  const about = { ...request, protocolVersion: '2025-11-25', sessionId: undefined, parent: undefined } as const
  sdk.telemetry.begin({ kind: 'request', ...about } as never).end({ outcome: 'failed', code: 'tool_error' })
  return sdk
}

test('the queries of the dashboard name metrics and labels that a server exports, and leave out none', async () => {
  const points = await (await measured()).points()
  const labels = new Set(['le', ...points.flatMap(({ attributes }) => Object.keys(attributes).map(nameOf))])
  const series = new Map(
    points.flatMap(({ name, unit, value }) => {
      const metric = metricOf(name, unit)
      if (typeof value === 'object') return ['_bucket', '_sum', '_count'].map((part) => [`${metric}${part}`, name])
      return [[name === 'holdfast.recovery.tasks' ? `${metric}_total` : metric, name]]
    }) as [string, string][],
  )
  const used = queries.flatMap(({ expr }) => expr.match(/\b(?:holdfast|mcp|gen_ai|error)_[a-z_]+/g) ?? [])
  expect(used.length).toBeGreaterThan(30)
  expect(used.filter((name) => !series.has(name) && !labels.has(name))).toEqual([])
  const grouped = queries.flatMap(({ expr }) =>
    [...expr.matchAll(/by \(([^)]*)\)/g)].flatMap(([, names = '']) => names.split(', ')),
  )
  expect(grouped.filter((label) => !labels.has(label))).toEqual([])
  const legends = queries.flatMap(({ legendFormat }) =>
    [...legendFormat.matchAll(/\{\{(\w+)\}\}/g)].map(([, name]) => name),
  )
  expect(legends.filter((name) => !grouped.includes(name as string))).toEqual([])
  const shown = new Set(used.flatMap((name) => series.get(name) ?? []))
  expect([...new Set(series.values())].filter((name) => !shown.has(name))).toEqual([])
})

test('the page names each metric that a server exports, and each attribute', async () => {
  const sdk = await measured()
  const page = readFileSync(new URL('telemetry.md', DOCS), 'utf8')
  const points = await sdk.points()
  const names = points.flatMap(({ name, attributes }) => [name, ...Object.keys(attributes)])
  const spans = sdk.spans.flatMap(({ attributes }) => Object.keys(attributes))
  const all = [...new Set([...names, ...spans])].map((name) =>
    name.replace(/^(holdfast\.recovery\.tasks)\.\w+/, '$1.<result>'),
  )
  expect(all.filter((name) => !page.includes(`\`${name}\``))).toEqual([])
})
