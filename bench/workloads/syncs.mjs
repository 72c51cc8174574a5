/** One task, to be run under strace: the steps that it takes are acknowledged, so how often was the disk synced? */
import { join } from 'node:path'
import { openEngine, parameters, stepResults } from './common.mjs'

const given = parameters()
const steps = given.steps ?? 0
const engine = await openEngine(given, { dir: join(given.dir, 'store'), steps, work: stepResults(), concurrency: 1 })
await engine.run(`syncs-${steps}`)
await engine.close()
process.exit()
