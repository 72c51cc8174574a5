// Goal: after `kill -9`, the run of a task links to the span that created the task, in another trace of another process.
// Method: real processes over a real directory. Each writes the spans that it ended to a file.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { afterAll, expect, test } from 'vitest'

const CHILD = fileURLToPath(new URL('kill-child.mjs', import.meta.url))
const DIST = pathToFileURL(fileURLToPath(new URL('../../../dist', import.meta.url))).href
const folder = mkdtempSync(join(tmpdir(), 'holdfast-telemetry-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

interface Span {
  readonly name: string
  readonly traceId: string
  readonly spanId: string
  readonly parent?: string
  readonly links: readonly { readonly traceId: string; readonly spanId: string }[]
  readonly attributes: Readonly<Record<string, unknown>>
}

/** Runs a process over the store. Returns the spans that it ended, and the signal that ended it. */
function live(mode: 'kill' | 'finish'): { spans: readonly Span[]; signal: string | null } {
  const file = join(folder, `${mode}.jsonl`)
  const { signal, stderr } = spawnSync(process.execPath, [CHILD, DIST, join(folder, 'store'), file, mode], {
    encoding: 'utf8',
  })
  expect(stderr).toBe('')
  const lines = readFileSync(file, 'utf8').trim().split('\n')
  return { spans: lines.map((line) => JSON.parse(line) as Span), signal }
}

test('the run after kill -9 links to the creation, has its own trace, and no span for what is replayed', () => {
  const killed = live('kill')
  expect(killed.signal).toBe('SIGKILL')
  const [create] = killed.spans.filter(({ name }) => name === 'task.create') as [Span]
  expect(killed.spans.map(({ name }) => name)).toEqual([
    'holdfast.recover',
    'task.create',
    'holdfast.step',
    'holdfast.step',
  ])

  const { spans, signal } = live('finish')
  expect(signal).toBeNull()
  const named = (name: string) => spans.filter((span) => span.name === name)
  const [run] = named('holdfast.task.run') as [Span]
  expect(run.links).toEqual([{ traceId: create.traceId, spanId: create.spanId }])
  expect(run.traceId).not.toBe(create.traceId)
  expect(run.attributes).toMatchObject({
    'holdfast.task.id': create.attributes['holdfast.task.id'],
    'holdfast.run.number': 2,
    'holdfast.run.recovered': true,
    'holdfast.run.replayed_steps': 2,
    'holdfast.outcome': 'completed',
  })
  const steps = named('holdfast.step')
  expect(steps.map(({ attributes, parent }) => [attributes['holdfast.step.name'], parent])).toEqual([
    ['three', run.spanId],
  ])
  expect(named('task.complete').map(({ parent }) => parent)).toEqual([run.spanId])
  expect(named('task.create')).toEqual([])
  expect(named('holdfast.recover')[0]?.attributes).toMatchObject({ 'holdfast.recovery.tasks.resumed': 1 })
})
