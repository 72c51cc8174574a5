/**
 * The servers of the pages of docs/operations/incidents: `node server.mjs <program> <directory>`. Each is a program of an
 * author, as it was at some time, and logs to standard error as every server does. The first line of standard output comes
 * when the store is open.
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { defineTask, Holdfast } from 'holdfast'

const [name = '', dir = ''] = process.argv.slice(2)

/** A service that answers once the file `service-is-up` is in the folder of the store. */
const isUp = () => existsSync(join(dir, '../service-is-up'))

/** @param {AbortSignal} signal @returns {Promise<never>} */
const hang = (signal) =>
  new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }))

const refund = defineTask({ name: 'refund' }, async (task) => {
  await task.step('look up the payment', () => 'payment-7')
  await task.step('call the bank', ({ signal }) => (isUp() ? 'refunded' : hang(signal)))
})
const invoice = defineTask({ name: 'invoice' }, (task) => task.step('write', () => 'written'))
const approval = defineTask({ name: 'approval' }, (task) =>
  task.input('approve', { message: 'Pay 300 EUR to Ben?', requestedSchema: { type: 'object', properties: {} } }),
)
const retry = /** @type {const} */ ({ maximumAttempts: 10, initialInterval: '1h' })
const upload = defineTask({ name: 'upload' }, (task) =>
  task.step(
    'send the file',
    () => {
      if (isUp()) return 'sent'
      throw Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' })
    },
    { retry },
  ),
)

const booking = (/** @type {string[]} */ names) =>
  defineTask({ name: 'booking' }, async (task) => {
    for (const name of names) await task.step(name, () => name)
    await task.step('print the ticket', ({ signal }) => (isUp() ? 'printed' : hang(signal)))
  })
const report = defineTask({ name: 'report' }, async (task) => {
  await task.step('collect', () => 12)
  await task.sleep('until the month is over', '30d')
})

// Its steps are small, and there are many, so that some step meets the full disk.
const importing = defineTask({ name: 'import' }, async (task) => {
  for (let row = 0; !isUp(); row++) {
    await task.step('write a row', async () => {
      await new Promise((resolve) => setTimeout(resolve, 10))
      return { row, text: 'x'.repeat(4_000) }
    })
  }
})

/** @type {Record<string, Omit<import('holdfast').OpenOptions, 'dir'>>} */
const PROGRAMS = {
  stuck: { tasks: [refund, invoice, approval, upload], concurrency: 2 },
  importing: { tasks: [importing] },
  'version 1': { tasks: [booking(['reserve the seat', 'charge the card']), report] },
  // The order of two steps was changed, and a definition was forgotten.
  'version 2': { tasks: [booking(['charge the card', 'reserve the seat'])] },
}

const options = PROGRAMS[name]
if (!options) throw new Error(`There is no program '${name}'`)
try {
  const holdfast = await Holdfast.open({ dir, ...options })
  process.once('SIGTERM', () => void holdfast.close({ grace: 0 }).then(() => process.exit()))
  setInterval(() => {}, 60_000)
  console.log('open')
} catch (error) {
  console.error(String(error))
  process.exitCode = 1
}
