/**
 * What the workloads share. Each is a process of plain Node, so that `holdfast` is the built package, as a user gets
 * it, and not its source through a transformer that adds helpers of its own.
 */
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { measureLimit } from '../raw-limit.mjs'

/** @typedef {{ dir: string, reps: number, scale: number, spawnedAt: number, commit?: 'deferred' }} Parameters */

/** What `run.ts` hands to a workload. @returns {Parameters} */
export function parameters() {
  const measured = import.meta.resolve('holdfast')
  if (!measured.endsWith('/dist/index.js')) throw new Error(`The built package should be measured, not ${measured}`)
  return JSON.parse(process.argv[2] ?? '')
}

/** @param {number} full @param {number} scale */
export function scaled(full, scale) {
  return Math.max(5, Math.round(full * scale))
}

/** A line for `run.ts`. @param {unknown} message */
export function say(message) {
  process.stdout.write(`${JSON.stringify(message)}\n`)
}

/**
 * Measures the raw limit, runs one repetition in a new directory, and measures the limit again.
 * @template {object} Figures
 * @param {Parameters} parameters
 * @param {(dir: string) => Promise<Figures>} repetition
 * @returns {Promise<Figures & { limitPerSecond: number }>}
 */
export async function besideLimit({ dir, scale }, repetition) {
  const own = mkdtempSync(join(dir, 'repetition-'))
  const before = measureLimit(own, scale)
  const figures = await repetition(join(own, 'store'))
  const after = measureLimit(own, scale)
  rmSync(own, { recursive: true })
  return { ...figures, limitPerSecond: (before + after) / 2 }
}

/**
 * Times `act`, on the clock and on the processors.
 * @param {() => Promise<void>} act
 */
export async function timed(act) {
  const cpuBefore = process.cpuUsage()
  const startedAt = performance.now()
  await act()
  const ms = performance.now() - startedAt
  const { user, system } = process.cpuUsage(cpuBefore)
  return { ms, cpuMicros: user + system }
}

// LevelDB compresses blocks of 4 KiB, so texts must not repeat within one; making each anew would be measured too.
const TEXTS = 512
const TEXT_BYTES = 753 // 1,004 characters of base64; 1 KiB with what JSON puts around them

/** Makes the results of steps: 1 KiB of JSON that does not compress. @returns {(step: number) => StepResult} */
export function stepResults() {
  const texts = Array.from({ length: TEXTS }, () => randomBytes(TEXT_BYTES).toString('base64'))
  let made = 0
  return (step) => ({ step, text: texts[made++ % TEXTS] ?? '' })
}

/** @typedef {{ step: number, text: string }} StepResult */
