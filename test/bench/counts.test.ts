/**
 * Goal: no change makes a step, a task or an MCP call cost more operations, bytes, batches, reads, promises or turns than
 * bench/counts/expected.json says, unless that file is changed too. Method: the counts of bench/counts/measure.mjs.
 */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

const project = fileURLToPath(new URL('../..', import.meta.url))
const [node = ''] = process.versions.node.split('.')

type Counts = Record<string, Record<string, number>>
type Expected = Record<string, Record<string, number> & { promises: Record<string, number> }>

test('the counts are the expected ones; `npm run bench:counts -- --write` changes those', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, ['bench/counts/measure.mjs'], { cwd: project })
  const measured = JSON.parse(stdout) as Counts
  const expected = JSON.parse(readFileSync(`${project}/bench/counts/expected.json`, 'utf8')) as unknown as Expected
  const forThisNode = Object.entries(expected).map(([name, { promises, ...counts }]) => [
    name,
    { ...counts, promises: promises[node] ?? measured[name]?.['promises'] },
  ])
  expect(measured).toEqual(Object.fromEntries(forThisNode))
})

test('a task of W1 and one of W2 cost the same with the operator API on and nothing connected, and off', async () => {
  const measure = async (operator: string) => {
    const { stdout } = await promisify(execFile)(process.execPath, ['bench/counts/operator.mjs', operator], {
      cwd: project,
    })
    return JSON.parse(stdout) as { operator: boolean; w1: Counts[string]; w2: Counts[string] }
  }
  const on = await measure('on')
  expect(on).toMatchObject({ operator: true, w1: { batches: 22 }, w2: { batches: 7 } })
  expect(on).toEqual({ ...(await measure('off')), operator: true })
}, 60_000)
