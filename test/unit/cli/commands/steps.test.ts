// Goal: `tasks steps` shows the summary of a step and its last attempts, each in a row of its own, and as they are with `--json`.
// Method: the program in this process, on a store at rest.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { run } from '../../../../src/cli/program.js'
import type { Terminal } from '../../../../src/cli/terminal/context.js'
import { defineTask, Holdfast, type StepInfo, silentLogger } from '../../../../src/index.js'

const dir = mkdtempSync(join(tmpdir(), 'holdfast-steps-'))
let taskId: string
let steps: readonly StepInfo[]
beforeAll(async () => {
  const flaky = defineTask({ name: 'flaky' }, async (task) => {
    await task.step('read', () => 1, { summary: (rows) => `${rows} row` })
    await task.step(
      'pay',
      ({ attempt }) => {
        if (attempt < 3) throw Object.assign(new Error('secret'), { code: `E\u001b[2J${attempt}` })
      },
      { retry: { maximumAttempts: 3, initialInterval: 0 } },
    )
  })
  const holdfast = await Holdfast.open({ dir, tasks: [flaky], logger: silentLogger })
  taskId = (await holdfast.start(flaky, undefined)).taskId
  await holdfast.result(taskId)
  steps = (await holdfast.steps(taskId)).flatMap((segment) => segment.steps)
  await holdfast.close()
})
afterAll(() => rmSync(dir, { recursive: true, force: true }))

async function output(...more: string[]): Promise<string[]> {
  const written: string[] = []
  const write = (text: string) => void written.push(text)
  const terminal = { env: {}, isTerminal: false, now: Date.now, write, writeError: write } as unknown as Terminal
  expect(await run(terminal, '0.0.0-test', ['tasks', 'steps', taskId, '--dir', dir, ...more])).toBe(0)
  return written.join('').trimEnd().split('\n')
}

test('a step of several attempts has a row for each of them, with its error code and without its message', async () => {
  const at = (ms: number | undefined) => new Date(ms as number).toISOString()
  const [read, pay] = steps
  const rows = (pay?.lastAttempts ?? []).map(({ attempt, startedAt, endedAt }) => {
    const [state, note] = attempt < 3 ? ['failed', `E [2J${attempt}`] : ['completed', '-']
    return ['prefix', 'attempt', 'pay', 1, state, attempt, at(startedAt), at(endedAt), note].join('\t')
  })
  expect(rows).toHaveLength(3)
  expect(await output()).toEqual([
    ['prefix', 'step', 'read', 1, 'completed', 1, at(read?.startedAt), at(read?.recordedAt), '1 row'].join('\t'),
    ['prefix', 'step', 'pay', 1, 'completed', 3, at(pay?.startedAt), at(pay?.recordedAt), '-'].join('\t'),
    ...rows,
  ])
})

test('with --json, a step is one object with its attempts', async () => {
  const shown = (await output('--json')).map((line) => JSON.parse(line))
  expect(shown).toEqual(JSON.parse(JSON.stringify(steps.map((step) => ({ schema: 1, segment: 'prefix', ...step })))))
  expect(shown[1].lastAttempts).toHaveLength(3)
})
