/** The workloads: how each is run, and the samples that it gives. */
import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Engine } from './engines.js'
import { type ProcessOptions, runWorkload } from './processes.js'
import { measureLimit } from './raw-limit.mjs'
import type { Measured } from './result.js'
import type { Parameters } from './workloads/common.mjs'

/** The size and the place of a run. */
export interface Size {
  readonly dir: string
  readonly reps: number
  readonly scale: number
}

/** The workloads that compare engines; each is run for every engine that can run it. */
export const SIDE_BY_SIDE = ['w1', 'w2', 'w3'] as const
/** The workloads of Holdfast alone. */
export const OURS = ['w4', 'w5', 'w6', 'w7', 'w8'] as const

export type WorkloadName = (typeof SIDE_BY_SIDE)[number] | (typeof OURS)[number]

// Settled tasks in the stores of W4.
const SETTLED = [0, 100_000, 1_000_000]

/** Runs W1, W2 or W3 for an engine. */
export async function runSideBySide(
  name: (typeof SIDE_BY_SIDE)[number],
  engine: Engine,
  { dir: parent, reps, scale }: Size,
): Promise<Measured[]> {
  const dir = mkdtempSync(join(parent, `${name}-`))
  const service = await engine.startService?.(parent, [])
  try {
    const base = { dir, reps, scale, engine: engine.module }
    const parameters = service ? { ...base, service: service.addresses } : base
    return name === 'w3' ? await killAndResume(parameters, engine) : await linesOf(name, parameters, engine)
  } finally {
    await service?.stop()
    rmSync(dir, { recursive: true, force: true, maxRetries: 5 })
  }
}

/** Runs one of W4 to W8. */
export async function runOurs(name: (typeof OURS)[number], size: Size): Promise<Measured[]> {
  if (name === 'w4') return growth(size)
  const dir = mkdtempSync(join(size.dir, `${name}-`))
  const parameters = { ...size, dir }
  try {
    if (name === 'w5') return await oneProcessEach(name, parameters)
    if (name !== 'w8') return await linesOf(name, parameters, {})
    const options = { nodeOptions: ['--expose-gc'] }
    return [
      ...(await linesOf(name, { ...parameters, part: 'live' }, options)),
      ...(await linesOf(name, { ...parameters, part: 'asleep' }, options)),
    ]
  } finally {
    rmSync(dir, { recursive: true, force: true, maxRetries: 5 })
  }
}

/** Runs a workload that measures a process from its start, `reps` times. */
async function oneProcessEach(name: string, parameters: Size): Promise<Measured[]> {
  const samples: Measured[] = []
  for (let rep = 0; rep < parameters.reps; rep++) {
    const lines = await linesOf(name, parameters, {})
    samples.push(...lines.map((line) => ({ ...line, rep })))
  }
  return samples
}

async function growth({ dir: parent, reps, scale }: Size): Promise<Measured[]> {
  const samples: Measured[] = []
  for (const full of SETTLED) {
    const dir = mkdtempSync(join(parent, 'w4-'))
    try {
      const parameters = { dir, reps, scale, settled: Math.round(full * scale) }
      const lines = [...(await linesOf('w4-fill', parameters, {})), ...(await linesOf('w4', parameters, {}))]
      samples.push(...lines.map((line) => ({ ...line, settled: parameters.settled })))
    } finally {
      rmSync(dir, { recursive: true, force: true, maxRetries: 5 })
    }
  }
  return samples
}

async function killAndResume(parameters: Omit<Parameters, 'spawnedAt'>, options: ProcessOptions): Promise<Measured[]> {
  const samples: Measured[] = []
  for (let rep = 0; rep < parameters.reps; rep++) {
    const own = { ...parameters, dir: mkdtempSync(join(parameters.dir, 'repetition-')) }
    const before = measureLimit(own.dir, own.scale)
    let ready = false
    await runWorkload(
      'w3-prepare',
      own,
      (_, child) => {
        ready = child.kill('SIGKILL')
      },
      options,
    )
    if (!ready) throw new Error('The process that was to be killed ended by itself')
    const [sample] = await linesOf('w3-resume', own, options)
    if (!sample) throw new Error('The process after the kill reported nothing')
    const after = measureLimit(own.dir, own.scale)
    rmSync(own.dir, { recursive: true, force: true, maxRetries: 5 })
    samples.push({ ...sample, rep, limits: [before, after] })
  }
  return samples
}

/** Runs a workload and makes a sample of each of its lines; lines of the same call are its repetitions. */
async function linesOf(
  name: string,
  parameters: Omit<Parameters, 'spawnedAt'>,
  options: ProcessOptions,
): Promise<Measured[]> {
  const samples: Measured[] = []
  await runWorkload(
    name,
    parameters,
    (line) => {
      const { call, limitBefore, limitAfter, ...figures } = line as Record<string, number> & { call?: string }
      const rep = samples.filter((sample) => sample.call === call).length
      const limits = limitBefore === undefined ? undefined : ([limitBefore, limitAfter as number] as const)
      samples.push({ rep, ...(call === undefined ? {} : { call }), ...(limits && { limits }), figures })
    },
    options,
  )
  return samples
}
