/** Counts the syncs of the disk that a step takes, with strace over an engine and its service. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Engine } from './engines.js'
import { runWorkload } from './processes.js'
import type { Syncs } from './result.js'

// What is synced once, such as a new database, is in both counts.
const STEPS_FEW = 50
const STEPS_MANY = 250

/** Counts them. `dir`: a folder on the disk that is measured. */
export async function countSyncs(engine: Engine, dir: string): Promise<Syncs> {
  if (!canTrace()) return { notCounted: 'strace is not installed, or may not trace a process' }
  const few = await syncsOf(engine, dir, STEPS_FEW)
  const many = await syncsOf(engine, dir, STEPS_MANY)
  return { perStep: (many - few) / (STEPS_MANY - STEPS_FEW) }
}

async function syncsOf({ module, node, startService }: Engine, parent: string, steps: number): Promise<number> {
  const dir = mkdtempSync(join(parent, 'syncs-'))
  // A service may run as another user, who has to be able to write its trace.
  const traces = mkdtempSync('/tmp/holdfast-syncs-')
  execFileSync('chmod', ['777', traces])
  const files = ['engine', 'service'].map((name) => join(traces, name))
  const traceTo = (file = '') => ['strace', '-f', '-qq', '--seccomp-bpf', '-e', 'trace=fsync,fdatasync', '-o', file]
  try {
    const service = await startService?.(parent, traceTo(files[1]))
    try {
      const parameters = { dir, reps: 1, scale: 1, engine: module, steps }
      const given = service ? { ...parameters, service: service.addresses } : parameters
      await runWorkload('syncs', given, () => {}, { node, trace: traceTo(files[0]) })
    } finally {
      await service?.stop()
    }
    return files.slice(0, startService ? 2 : 1).reduce((sum, file) => sum + countIn(file), 0)
  } finally {
    rmSync(dir, { recursive: true, force: true, maxRetries: 5 })
    rmSync(traces, { recursive: true, force: true })
  }
}

// A call that another thread interrupts has a second line: `<... fdatasync resumed>`.
function countIn(file: string): number {
  return (readFileSync(file, 'utf8').match(/\b(fsync|fdatasync)\(/g) ?? []).length
}

function canTrace(): boolean {
  try {
    execFileSync('strace', ['-f', '--seccomp-bpf', '-o', '/dev/null', 'true'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}
