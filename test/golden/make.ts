/**
 * Writes the golden store of the current format: `npx tsx test/golden/make.ts`. Run once per format version; the store
 * is committed under data/golden and never written again, so that later versions prove they still read it.
 */
import { rm } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { Holdfast, silentLogger } from '../../src/index.js'
import { FORMAT_VERSION } from '../../src/store/disk/layout.js'
import { ManualClock } from '../../src/testing/index.js'
import { goldenTasks, START } from './tasks.js'

const dir = fileURLToPath(new URL(`../../data/golden/format-${FORMAT_VERSION}`, import.meta.url))
let hangs = () => {}
const hung = new Promise<void>((resolve) => {
  hangs = resolve
})
const { sum, fail, forever, load } = goldenTasks(() => {
  hangs()
  return new Promise(() => {})
})
await rm(dir, { recursive: true, force: true })
const clock = new ManualClock(START)
const holdfast = await Holdfast.open({ dir, tasks: [sum, fail, forever, load], clock, logger: silentLogger })
const alice = holdfast.forOwner('alice')

const done = await alice.start(sum, { numbers: [1, 2, 3] }, { idempotencyKey: 'once' })
await holdfast.result(done.taskId)
const failed = await holdfast.start(fail, null)
await holdfast.result(failed.taskId).catch(() => {})
const cancelled = await holdfast.start(forever, null)
await holdfast.cancel(cancelled.taskId, { reason: 'golden' })
const session = await alice.createSessionTask({ type: 'support', ttl: '365d' })
await alice.saveCheckpoint(session.taskId, { topic: 'refund' }, { label: 'asked' })
// Left in the middle: a prefix, a pruned segment, a checkpoint, and a record after it.
await alice.start(load, { rows: 5 })
await hung
await holdfast.close({ grace: 0 })
process.stdout.write(`${dir}\n`)
