/** Runs workloads as processes of plain Node, whose options do not include the transformer that runs this file. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

/** What a workload is told. */
export interface Parameters {
  /** Where its stores go. */
  readonly dir: string
  readonly reps: number
  readonly scale: number
  /** Option of each step, where a workload takes it. */
  readonly commit?: 'deferred'
}

/** Runs a workload to its end; `onLine` sees each of its lines, and may kill it. */
export async function runWorkload(
  name: string,
  parameters: Parameters,
  onLine: (line: unknown, child: ChildProcess) => void,
): Promise<void> {
  const script = fileURLToPath(new URL(`workloads/${name}.mjs`, import.meta.url))
  const told = JSON.stringify({ ...parameters, spawnedAt: Date.now() })
  const child = spawn(process.execPath, [script, told], { stdio: ['ignore', 'pipe', 'inherit'] })
  const stop = () => child.kill('SIGKILL')
  process.once('exit', stop)
  createInterface(child.stdout).on('line', (line) => onLine(JSON.parse(line), child))
  const [code] = (await once(child, 'close')) as [number | null]
  process.off('exit', stop)
  if (code !== 0 && !child.killed) throw new Error(`The workload ${name} ended with exit code ${code}`)
}
