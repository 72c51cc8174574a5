/** Holdfast, as its users install it: the built package. */
import { defineTask, Holdfast } from 'holdfast'
import { takeSteps } from './peer.mjs'

const measured = import.meta.resolve('holdfast')
if (!measured.endsWith('/dist/index.js')) throw new Error(`The built package should be measured, not ${measured}`)

/** @type {import('./peer.mjs').OpenPeer} */
export const open = (options) => openWith(options, undefined)

/** @param {import('./peer.mjs').PeerOptions} options @param {import('holdfast').StepOptions | undefined} stepOptions @returns {Promise<import('./peer.mjs').Peer>} */
export async function openWith({ dir, steps, work, concurrency, resumes }, stepOptions) {
  const definition = defineTask({ name: 'bench' }, (task) =>
    takeSteps(steps, (step) => task.step('step', () => work(step), stepOptions)),
  )
  const holdfast = await Holdfast.open({
    dir,
    tasks: [definition],
    durability: 'synced',
    concurrency,
    recover: resumes ? 'manual' : 'auto',
    // `bench:check --operator` measures both.
    operator: process.env['HOLDFAST_BENCH_OPERATOR'] !== 'off',
    // `bench:check --telemetry` measures both.
    telemetry: await telemetryOf(process.env['HOLDFAST_BENCH_TELEMETRY']),
  })
  return {
    async run() {
      const { taskId } = await holdfast.start(definition, {})
      return /** @type {number} */ (await holdfast.result(taskId))
    },
    async start() {
      const { taskId } = await holdfast.start(definition, {})
      return taskId
    },
    async resume(taskIds) {
      const allSettled = new Promise((resolve) => {
        let settled = 0
        holdfast.on('task:settled', () => {
          settled++
          if (settled === taskIds.length) resolve(undefined)
        })
      })
      void holdfast.recover()
      await allSettled
      return async () => {
        const wrongAnswers = await Promise.all(taskIds.map((taskId) => holdfast.result(taskId)))
        return wrongAnswers.reduce((/** @type {number} */ sum, wrong) => sum + Number(wrong), 0)
      }
    },
    close: () => holdfast.close(),
  }
}

/** @param {string | undefined} given */
async function telemetryOf(given) {
  if (given === undefined) return undefined
  const { bareTelemetry, batchedTelemetry } = await import('./telemetry.mjs')
  return given === 'bare' ? bareTelemetry() : batchedTelemetry()
}
