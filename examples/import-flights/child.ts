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
const say = (message: FromServer) => process.send?.(message)

// Without the parent nobody reads the journal: a demo that was interrupted takes its server along.
process.once('disconnect', () => process.exit(1))

let openedAt = 0
const journal = new Journal(journalFile, (entry) => {
  const now = performance.now()
  say({ kind: 'entry', entry, sinceOpenMs: now - openedAt, sinceProcessMs: now })
})
const definition = importFlights(journal)

openedAt = performance.now()
const holdfast = await Holdfast.open({ dir, tasks: [definition] })
holdfast.on('step:recorded', ({ step }) => {
  if (step === 'load') journal.recorded()
})

const { taskId } = await holdfast.start(definition, JSON.parse(input), { idempotencyKey })
const output = await holdfast.result(taskId)
journal.finished()
await holdfast.close()

say({ kind: 'output', output })
process.disconnect?.()
