/**
 * The server: the process that the demo kills. Started again it opens the same store and starts the task under the same
 * idempotency key, which is the same task; Holdfast has taken it up by itself meanwhile.
 *
 * Arguments: the store's directory, the journal's file, the idempotency key, the task's input as JSON.
 */
import { Holdfast } from 'holdfast'
import { importFlights } from './import-flights.js'
import { Journal } from './journal.js'
import type { FromServer } from './server.js'

const [dir = '', journalFile = '', idempotencyKey = '', input = ''] = process.argv.slice(2)

// Without the parent nobody reads the journal: a demo that is gone takes its server along.
const orphaned = () => process.exit(1)
process.once('disconnect', orphaned)
const say = (message: FromServer) =>
  process.send?.(message, undefined, undefined, (error) => {
    if (error) orphaned()
  })

let openedAt = 0
const journal = new Journal(journalFile, (entry) => {
  const now = performance.now()
  say({ kind: 'entry', entry, sinceOpenMs: now - openedAt, sinceProcessMs: now })
})
const definition = importFlights(journal)

openedAt = performance.now()
const holdfast = await Holdfast.open({ dir, tasks: [definition], logLevel: 'warn' })
holdfast.on('step:recorded', ({ step }) => {
  if (step === 'load') journal.recorded()
})

const { taskId } = await holdfast.start(definition, JSON.parse(input), { idempotencyKey })
const output = await holdfast.result(taskId)
const audit = await holdfast.audit({ taskId, limit: 10_000 })
const settled = audit.filter(({ to }) => to === 'completed' || to === 'failed' || to === 'cancelled').length
journal.finished()
await holdfast.close()

say({ kind: 'result', output, settled })
process.off('disconnect', orphaned)
process.disconnect?.()
