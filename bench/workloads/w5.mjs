/**
 * W5: one task of 10,000 steps that saves a state every 100 steps, with `keepCheckpoints: 3`. Ten states of a thousand steps
 * grow from 0.1 to 1 MiB, so each thousand steps writes as many bytes as any other. Payload: the results of the steps that
 * are kept, and three states. The bytes are those of the database after a compaction of all of it.
 */
import { randomBytes } from 'node:crypto'
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { ClassicLevel } from 'classic-level'
import { defineTask, Holdfast } from 'holdfast'
import { besideLimit, parameters, say, scaled, stepResults } from './common.mjs'

const PER_STATE = 100
const PER_PART = 1_000
const KEPT = 3
// 1 MiB is the most that a state may have by default, with what JSON puts around it.
const STATE_BYTES_MAX = 1024 * 1024 - 100

const given = parameters()
const perPart = scaled(PER_PART / PER_STATE, Math.min(1, given.scale * 10), 1) * PER_STATE
const parts = 10
const stateBytesMax = Math.round(STATE_BYTES_MAX * Math.min(1, given.scale * 10))
const result = stepResults()
const noise = randomBytes(1024 * 1024).toString('base64')
/** @type {number[]} */
const partMs = []
let resultBytes = 0
/** @type {number[]} */
const stateBytes = []

const long = defineTask({ name: 'w5', keepCheckpoints: KEPT }, async (task) => {
  for (let part = 0; part < parts; part++) {
    const startedAt = performance.now()
    for (let step = 0; step < perPart; step++) {
      const answer = await task.step('step', () => result(step))
      resultBytes += JSON.stringify(answer).length
      if ((step + 1) % PER_STATE !== 0) continue
      const size = Math.round((stateBytesMax * ((step + 1) / PER_STATE)) / (perPart / PER_STATE))
      const state = { step, text: noise.slice(step % 1_000, (step % 1_000) + size - 50) }
      stateBytes.push(JSON.stringify(state).length)
      await task.saveCheckpoint(state)
    }
    partMs.push(performance.now() - startedAt)
  }
})

const figures = await besideLimit(given, async (dir) => {
  const holdfast = await Holdfast.open({ dir, tasks: [long] })
  const { taskId } = await holdfast.start(long, {})
  await holdfast.result(taskId)
  await holdfast.close()
  const bytesBefore = bytesOf(join(dir, 'db'))
  const level = new ClassicLevel(join(dir, 'db'))
  await level.open({ createIfMissing: false })
  await level.compactRange('', '~')
  await level.close()
  return { bytesBefore, bytes: bytesOf(join(dir, 'db')) }
})
const payloadBytes = resultBytes + stateBytes.slice(-KEPT).reduce((sum, bytes) => sum + bytes, 0)
const [first = 0, second = 0] = partMs
const last = partMs.at(-1) ?? 0
say({
  ...figures,
  steps: parts * perPart,
  firstPartMs: first,
  // The first part runs code that is not compiled yet, so the second one says more about growth.
  secondPartMs: second,
  lastPartMs: last,
  payloadBytes,
  rssMb: process.memoryUsage.rss() / 1e6,
})
process.exit()

/** @param {string} folder */
function bytesOf(folder) {
  return readdirSync(folder).reduce((sum, name) => sum + statSync(join(folder, name)).size, 0)
}
