/** Runs workloads as processes of plain Node, whose options do not include the transformer that runs this file. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { Parameters } from './workloads/common.mjs'

/** Settings of the process of a workload. */
export interface ProcessOptions {
  /**
   * Path of Node.
   * @default the Node that runs the bench
   */
  readonly node?: string | undefined
  /** Options of Node. */
  readonly nodeOptions?: readonly string[]
  /** Words that go before the command: those of a tracer. */
  readonly trace?: readonly string[]
}

// The longest workload, the fill of W4's largest store, takes about a minute on a machine that does nothing else.
const MS_MAX = 10 * 60_000

/**
 * Runs a workload to its end. `onLine` receives each of its lines, and may kill it.
 * @throws Error if it ends with an exit code, or takes longer than 10 minutes
 */
export async function runWorkload(
  name: string,
  parameters: Omit<Parameters, 'spawnedAt'>,
  onLine: (line: unknown, child: ChildProcess) => void,
  { node = process.execPath, nodeOptions = [], trace = [] }: ProcessOptions = {},
): Promise<void> {
  const script = fileURLToPath(new URL(`workloads/${name}.mjs`, import.meta.url))
  const given = JSON.stringify({ ...parameters, spawnedAt: Date.now() })
  const [command = '', ...words] = [...trace, node, ...nodeOptions, script, given]
  const child = spawn(command, words, {
    stdio: ['ignore', 'pipe', 'inherit'],
    // Lines about each open and close, and what Node says of the code of peers, would hide the figures.
    env: { ...process.env, HOLDFAST_LOG: 'warn', NODE_NO_WARNINGS: '1' },
  })
  const stop = () => child.kill('SIGKILL')
  process.once('exit', stop)
  let isLate = false
  const limit = setTimeout(() => {
    isLate = stop()
  }, MS_MAX)
  createInterface(child.stdout).on('line', (line) => onLine(JSON.parse(line), child))
  const [code] = (await once(child, 'close')) as [number | null]
  clearTimeout(limit)
  process.off('exit', stop)
  if (isLate) throw new Error(`The workload ${name} took longer than ${MS_MAX / 60_000} minutes`)
  if (code !== 0 && !child.killed) throw new Error(`The workload ${name} ended with exit code ${code}`)
}
