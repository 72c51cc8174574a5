/**
 * The trial of backups: `npm run trial:backup` (20 backups of 10,000 live tasks: about 15 minutes; builds the package).
 *
 *   npm run trial:backup -- --backups 3 --tasks 2000 --seconds 5 --dir /mnt/disk/trial
 *
 * One process has 10,000 live tasks under load: clients send messages, each of which runs a step, and start short tasks.
 * Again and again, it makes a backup. Another process restores and verifies it, checks that nothing runs before
 * `recover()`, and runs every task to its end, while the original runs on. Checked:
 *
 * - The copy has each step and each result that was acknowledged before the backup, and calls none of these steps again.
 * - Each task continues with the next message, and ends right, in each copy and at last in the original.
 * - No process calls a step twice, and both use the same key for the same step.
 *
 * Measured: the 99th percentile of a step during the backups, by that of the time before and after them (of all steps, and the
 * median of the ratios of each backup, which other work of the machine changes less); and the longest hold of the
 * event loop during a backup, under load and without. Without load, the process also rests for as long as a backup takes: with a
 * heap of 600 MB, V8 holds a process that does nothing for more than 10 ms. The exit code is 1 if a check fails, and 2 if only a
 * measure is above its limit: a ratio of 1.5, or a hold without load above 10 ms and above the longest one at rest.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { loadavg } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { percentile } from '../workloads/common.mjs'

const RATIO_MAX = 1.5
const HOLD_MS_MAX = 10

const { values } = parseArgs({
  options: {
    backups: { type: 'string', default: '20' },
    tasks: { type: 'string', default: '10000' },
    seconds: { type: 'string', default: '5' },
    dir: { type: 'string', default: fileURLToPath(new URL('../../.holdfast', import.meta.url)) },
    json: { type: 'boolean', default: false },
  },
})
const watched = { act: 'watch', ms: Number(values.seconds) * 1_000 }
mkdirSync(values.dir, { recursive: true })
const base = mkdtempSync(join(values.dir, 'backup-'))
const original = start('original', join(base, 'original'), values.tasks)
try {
  await once(original, 'message')
  await run()
} finally {
  // It may have ended by itself, which is the error to show then.
  const ended = original.exitCode ?? original.signalCode ?? once(original, 'exit')
  if (original.connected) original.disconnect()
  await ended
  rmSync(base, { recursive: true, force: true })
}

async function run() {
  const call = callerOf(original)
  /** @type {string[]} */
  const faults = []
  /** @type {number[]} */
  const during = []
  /** @type {number[]} */
  const without = []
  /** @type {number[]} */
  const ratios = []
  const holds = { atRest: 0, quiet: 0, loaded: 0, withoutBackup: 0 }
  let restMs = watched.ms
  let same = 0
  for (let round = 1; round <= Number(values.backups); round++) {
    const rest = await call({ ...watched, ms: restMs })
    const quiet = await backup(call, join(base, 'quiet'))
    restMs = quiet.ms
    await call({ act: 'load', on: true })
    const before = await call(watched)
    const file = join(base, 'file')
    const made = await backup(call, file)
    const after = await call(watched)
    await call({ act: 'load', on: true, isSmall: true })
    const copy = await runCopy(file, made.acknowledged)
    same += (await call({ act: 'compare', called: copy.called })).same
    await call({ act: 'load', on: false })
    if (!made.isSound || !quiet.isSound) faults.push('a backup has damage')
    faults.push(...copy.faults.map((/** @type {string} */ sentence) => `backup ${round}: ${sentence}`))
    const p99 = percentile(made.times, 0.99)
    const p99Without = percentile([...before.times, ...after.times], 0.99)
    ratios.push(p99 / p99Without)
    during.push(...made.times)
    without.push(...before.times, ...after.times)
    holds.atRest = Math.max(holds.atRest, rest.holdMs)
    holds.quiet = Math.max(holds.quiet, quiet.holdMs)
    holds.loaded = Math.max(holds.loaded, made.holdMs)
    holds.withoutBackup = Math.max(holds.withoutBackup, before.holdMs, after.holdMs)
    print({
      backup: round,
      ms: Math.round(made.ms),
      records: made.records,
      steps: made.times.length,
      p99: rounded(p99),
      p99Without: rounded(p99Without),
      holdMs: rounded(made.holdMs),
      holdMsQuiet: rounded(quiet.holdMs),
      holdMsAtRest: rounded(rest.holdMs),
      holdMsWithout: rounded(Math.max(before.holdMs, after.holdMs)),
      rssMb: made.rssMb,
      settled: copy.settled,
      faults: faults.length,
      load: rounded(loadavg()[0]),
    })
  }
  faults.push(...(await call({ act: 'finish' })).faults)
  const ratio = percentile(during, 0.99) / percentile(without, 0.99)
  print({
    backups: Number(values.backups),
    tasks: Number(values.tasks),
    p99During: rounded(percentile(during, 0.99)),
    p99Without: rounded(percentile(without, 0.99)),
    ratio: rounded(ratio),
    ratioMedian: rounded(percentile(ratios, 0.5)),
    holdMsQuiet: rounded(holds.quiet),
    holdMsAtRest: rounded(holds.atRest),
    holdMsLoaded: rounded(holds.loaded),
    holdMsWithoutBackup: rounded(holds.withoutBackup),
    callsOfBoth: same,
    faults: values.json ? faults.slice(0, 20) : faults.slice(0, 20).join('; ') || 'none',
  })
  const isSlow = ratio > RATIO_MAX || holds.quiet > Math.max(HOLD_MS_MAX, holds.atRest)
  if (isSlow)
    console.error(
      `Above a limit: a ratio of ${RATIO_MAX}, or a hold without load of ${HOLD_MS_MAX} ms that is longer than any at rest.`,
    )
  process.exitCode = faults.length > 0 ? 1 : isSlow ? 2 : 0
}

/** Makes a backup, in the place of the one before. @param {ReturnType<typeof callerOf>} call @param {string} file */
async function backup(call, file) {
  rmSync(file, { force: true })
  return call({ act: 'backup', file })
}

/** Restores a backup and runs it. @param {string} file @param {object} acknowledged */
async function runCopy(file, acknowledged) {
  const dir = join(base, 'copy')
  rmSync(dir, { recursive: true, force: true })
  const child = start('copy', file, dir)
  /** @type {any} */
  let report
  child.once('message', (message) => {
    report = message
  })
  const ended = once(child, 'exit')
  child.send(acknowledged)
  const [code] = await ended
  report ??= { called: [], faults: [`the process of the copy ended with ${code}`] }
  return report
}

/** @param {string} name @param {string[]} parameters */
function start(name, ...parameters) {
  const execArgv = [...process.execArgv, '--expose-gc']
  return fork(fileURLToPath(new URL(`${name}.mjs`, import.meta.url)), parameters, {
    serialization: 'advanced',
    execArgv,
  })
}

/** Has a process do something. @param {import('node:child_process').ChildProcess} child */
function callerOf(child) {
  /** @type {(error: Error) => void} */
  let fail = () => {}
  child.once('exit', (code, signal) => fail(new Error(`The original ended with ${code ?? signal}`)))
  return (/** @type {{ act: string, [name: string]: unknown }} */ request) =>
    /** @type {Promise<any>} */ (
      new Promise((resolve, reject) => {
        fail = reject
        child.once('message', resolve)
        child.send(request)
      })
    )
}

/** @param {number} [figure] */
function rounded(figure = Number.NaN) {
  return Math.round(figure * 100) / 100
}

/** @param {Record<string, unknown>} figures */
function print(figures) {
  if (values.json) console.log(JSON.stringify(figures))
  else
    console.log(
      Object.entries(figures)
        .map(([name, figure]) => `${name} ${String(figure)}`)
        .join('  '),
    )
}
