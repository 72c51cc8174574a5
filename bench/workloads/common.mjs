/**
 * Functions that the workloads share. Each workload is a process of plain Node, so that `holdfast` is the built package, as
 * users install it, and not its source through a transformer that adds helpers of its own.
 */
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { measureLimit } from '../raw-limit.mjs'

/**
 * The parameters of a workload.
 * @typedef {object} Parameters
 * @property {string} dir folder for the stores
 * @property {number} reps number of repetitions in one process
 * @property {number} scale share of the full size
 * @property {number} spawnedAt instant at which the process was started
 * @property {string} [engine] address of the engine's module; for W1, W2 and W3
 * @property {Readonly<Record<string, any>>} [service] addresses of the engine's service, if it has one
 * @property {number} [steps] number of steps; for the count of syncs
 * @property {'live' | 'asleep'} [part] the part that runs; for W8
 * @property {number} [settled] number of settled tasks in the store; for W4
 */

/** Returns what the bench passes to a workload. @returns {Parameters} */
export function parameters() {
  return JSON.parse(process.argv[2] ?? '')
}

/**
 * Opens the engine that is measured.
 * @param {Parameters} given
 * @param {Omit<import('../engines/peer.mjs').PeerOptions, 'service'>} options
 */
export async function openEngine({ engine = '', service = {} }, options) {
  /** @type {{ open: import('../engines/peer.mjs').OpenPeer }} */
  const { open } = await import(engine)
  return open({ ...options, service })
}

/** @param {number} full @param {number} scale @param {number} [least] */
export function scaled(full, scale, least = 5) {
  return Math.max(least, Math.round(full * scale))
}

/** Writes a line for the bench. @param {unknown} message */
export function say(message) {
  process.stdout.write(`${JSON.stringify(message)}\n`)
}

/**
 * Measures the raw limit, runs one repetition in a new folder, and measures the limit again.
 * @template {object} Figures
 * @param {Pick<Parameters, 'dir' | 'scale'>} parameters
 * @param {(dir: string) => Promise<Figures>} repetition
 * @returns {Promise<Figures & { limitBefore: number, limitAfter: number }>}
 */
export async function besideLimit({ dir, scale }, repetition) {
  const own = mkdtempSync(join(dir, 'repetition-'))
  const limitBefore = measureLimit(own, scale)
  const figures = await repetition(join(own, 'store'))
  const limitAfter = measureLimit(own, scale)
  rmSync(own, { recursive: true })
  return { ...figures, limitBefore, limitAfter }
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

/** The value below which `share` of `values` are; they are sorted in place. @param {number[]} values @param {number} share */
export function percentile(values, share) {
  values.sort((one, other) => one - other)
  return values[Math.max(0, Math.ceil(share * values.length) - 1)] ?? Number.NaN
}

/** Puts a word before the names of figures. @param {string} prefix @param {Record<string, number>} [figures] */
export function prefixed(prefix, figures = {}) {
  return Object.fromEntries(
    Object.entries(figures).map(([name, figure]) => [`${prefix}${name[0]?.toUpperCase()}${name.slice(1)}`, figure]),
  )
}

// LevelDB compresses blocks of 4 KiB, so texts must not repeat within one. Making each text anew would be measured too.
const TEXTS = 512
const TEXT_BYTES = 753 // 1,004 characters of base64; 1 KiB with what JSON puts around them

/** Makes the results of steps: 1 KiB of JSON that does not compress. @returns {(step: number) => import('../engines/peer.mjs').Result} */
export function stepResults() {
  const texts = Array.from({ length: TEXTS }, () => randomBytes(TEXT_BYTES).toString('base64'))
  let made = 0
  return (step) => ({ step, text: texts[made++ % TEXTS] ?? '' })
}
