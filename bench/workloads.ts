/** The three workloads: how each is run, and what its repetitions report. */
import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { type Parameters, runWorkload } from './processes.js'
import { measureLimit } from './raw-limit.mjs'

/** The figures of one repetition, by name. */
export type Figures = Readonly<Record<string, number>>

/** Runs every repetition of a workload. */
export const WORKLOADS = {
  w1: (parameters: Parameters) => inOneProcess('w1', parameters),
  w2: (parameters: Parameters) => inOneProcess('w2', parameters),
  w3: killAndResume,
  /** W1 with deferred steps. */
  w1d: (parameters: Parameters) => inOneProcess('w1', { ...parameters, commit: 'deferred' }),
} satisfies Record<string, (parameters: Parameters) => Promise<Figures[]>>

export type WorkloadName = keyof typeof WORKLOADS

/** What is measured if nothing is named. */
export const BY_DEFAULT: readonly WorkloadName[] = ['w1', 'w2', 'w3']

// A server runs for long, so its code is compiled; the first repetition is the cold one, and stays among the others.
async function inOneProcess(name: string, parameters: Parameters): Promise<Figures[]> {
  const repetitions: Figures[] = []
  await runWorkload(name, parameters, (line) => repetitions.push(line as Figures))
  return repetitions
}

async function killAndResume({ dir, reps, scale }: Parameters): Promise<Figures[]> {
  const repetitions: Figures[] = []
  for (let rep = 0; rep < reps; rep++) {
    const own = mkdtempSync(join(dir, 'repetition-'))
    const parameters = { dir: join(own, 'store'), reps: 1, scale }
    const before = measureLimit(own, scale)
    let ready = false
    await runWorkload('w3-prepare', parameters, (_, child) => {
      ready = child.kill('SIGKILL')
    })
    if (!ready) throw new Error('The process that was to be killed ended by itself')
    let figures: Figures | undefined
    await runWorkload('w3-resume', parameters, (line) => {
      figures = line as Figures
    })
    if (!figures) throw new Error('The process after the kill said nothing')
    const after = measureLimit(own, scale)
    rmSync(own, { recursive: true })
    repetitions.push({ ...figures, limitPerSecond: (before + after) / 2 })
  }
  return repetitions
}
