/**
 * The server: the process that the demo kills. It opens the store, starts the trade under its name as the idempotency key
 * (or finds that it is there), does what its job says, and waits for the trade's end.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { type Duration, Holdfast } from 'holdfast'
import { ManualClock } from 'holdfast/testing'
import { leave, readJob, tell } from '../shared/demo.js'
import { Broker, type Deed, deedsOf } from './broker.js'
import { trade } from './trade.js'

/** What the server is to do. */
export interface Job {
  readonly store: string
  readonly broker: string
  readonly name: string
  readonly cents: number
  readonly timeout: Duration
  /** What time it is on a clock of the demo's own, and how far it is moved on; without it, the machine's. */
  readonly simulated?: { readonly now: number; readonly passMs: number } | undefined
  /** Where the line to the broker goes dead, so that the kill comes while nobody hears of it. */
  readonly hangsAt?: { readonly kind: string; readonly what: string } | undefined
  /** Whether the broker sends the fill. */
  readonly fills: boolean
}

/** What the server tells the demo. */
export type FromServer =
  | { readonly kind: 'called' | 'did'; readonly deed: Deed }
  | { readonly kind: 'recorded'; readonly step: string }
  | { readonly kind: 'asked'; readonly message: string; readonly tookPlace: boolean }
  | {
      readonly kind: 'settled'
      readonly status: string
      readonly code: string | undefined
      readonly tookMs: number
      readonly cleanUp: string
      readonly undone: readonly string[]
      readonly times: number
    }

const HANGING_MS = 60_000

const say = (message: FromServer) => void tell(message)
const { store, broker: file, name, cents, timeout, simulated, hangsAt, fills } = readJob<Job>()
const onWay = async (kind: 'called' | 'did', deed: Deed) => {
  say({ kind, deed })
  if (hangsAt?.kind === kind && hangsAt.what === deed) await delay(HANGING_MS)
}
const definition = trade(new Broker(file, onWay), timeout)
const clock = simulated && new ManualClock(simulated.now)

const holdfast = await Holdfast.open({ dir: store, tasks: [definition], ...(clock ? { clock } : {}) })
holdfast.on('step:recorded', ({ step }) => say({ kind: 'recorded', step }))
holdfast.on('task:input-required', async ({ taskId, key }) => {
  const request = (await holdfast.get(taskId)).inputRequests?.[key]?.request as { message: string }
  // Stands for the person who is asked, and looks it up in the broker's order book.
  const tookPlace = deedsOf(file).some(({ deed, trade }) => deed === 'place order' && trade === name)
  say({ kind: 'asked', message: request.message, tookPlace })
  await holdfast.respond(taskId, { [key]: tookPlace ? { tookPlace, result: 'found in the book' } : { tookPlace } })
})

const { taskId } = await holdfast.start(definition, { name, cents }, { idempotencyKey: name })
if (fills) await holdfast.send(taskId, 'fill', { cents }, { idempotencyKey: 'fill' })
await clock?.advance(simulated?.passMs ?? 0)
await holdfast.result(taskId).catch(() => {}) // Waits for the clean-up too; `get` says how it ended.

const { status, error, startedAt = 0, settledAt = 0, cleanUp, undone = [] } = await holdfast.get(taskId)
const ends = ['completed', 'failed', 'cancelled']
const times = (await holdfast.audit({ taskId })).filter(({ action }) => ends.includes(action)).length
await holdfast.close()
await tell({
  kind: 'settled',
  status,
  code: error?.code,
  tookMs: settledAt - startedAt,
  cleanUp,
  undone: undone.map(({ step, state }) => `${step}: ${state}`),
  times,
} satisfies FromServer)
leave()
