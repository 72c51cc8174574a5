/**
 * `npm run demo:trade`: two trades, each with 30 minutes to be filled, and a server that is killed on the way. One is never
 * filled: it is over in time, and undone. One is killed while it places its order, which must not be placed twice.
 *
 * The 30 minutes pass on a simulated clock; `--timeout 5s` lets a shorter time pass on the machine's. Exit code 0 if all
 * claims hold, 1 if one doesn't, 2 for a wrong command line.
 */

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Command, InvalidArgumentError } from 'commander'
import type { Duration } from 'holdfast'
import { checkClaims, runProcess } from '../shared/demo.js'
import { type Deed, deedsOf, freeCents } from './broker.js'
import type { FromServer, Job } from './server.js'

const MINUTE_MS = 60_000
const CENTS = 250_000
const BALANCE = 1_000_000
const DONE: readonly Deed[] = ['reserve', 'place order']
const UNDONE: readonly Deed[] = ['withdraw order', 'release', 'tell customer']

const { timeout } = new Command('npm run demo:trade --')
  .option('--timeout <seconds>', 'let so much real time pass instead of 30 simulated minutes, as in 5s', parseTimeout)
  .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : 2))
  .parse()
  .opts<{ timeout?: `${number}s` }>()

function parseTimeout(text: string): string {
  if (/^[1-9]\d?s$/.test(text)) return text
  throw new InvalidArgumentError('Expected 1s to 99s.')
}

type Settled = Extract<FromServer, { kind: 'settled' }>
const dir = await mkdtemp(join(tmpdir(), 'holdfast-trade-'))
const broker = join(dir, 'broker.jsonl')
let settled: Settled | undefined
let asked = 0
let kills = 0
const calls: { name: string; deed: Deed }[] = []

/** Runs a server, at some minute of the demo's clock and for so many minutes, and kills it where `killAt` says. */
async function server(
  { name, at, minutes = 0, fills = false }: { name: string; at: number; minutes?: number; fills?: boolean },
  killAt?: { kind: FromServer['kind']; what: Deed; shown: string },
): Promise<void> {
  const simulated = timeout ? undefined : { now: Date.UTC(2026, 0, 5, 9) + at * MINUTE_MS, passMs: minutes * MINUTE_MS }
  // The second trade is not about time: a slow machine shall not make it too late.
  const patience: Duration = name === 'A' && timeout ? timeout : '30m'
  const about = { name, cents: CENTS, timeout: patience, simulated, fills, hangsAt: killAt }
  const job: Job = { store: join(dir, 'store'), broker, ...about }
  const ended = await runProcess<FromServer>(new URL('./server.ts', import.meta.url), job, (message) => {
    if (message.kind === 'called') calls.push({ name, deed: message.deed })
    if (message.kind === 'did') console.log(`  broker: ${message.deed}`)
    if (message.kind === 'asked') {
      asked += 1
      console.log(`  task asks: ${message.message}\n  answer: it ${message.tookPlace ? 'took place' : 'did not'}`)
    }
    if (message.kind === 'settled') {
      settled = message
      console.log(`  ${message.status}${message.code ? ` (${message.code})` : ''}, clean-up: ${message.cleanUp}`)
    }
    const what = 'deed' in message ? message.deed : 'step' in message ? message.step : undefined
    return message.kind === killAt?.kind && what === killAt.what
  })
  if (ended !== 'killed') return
  kills += 1
  console.log(`  kill -9: ${killAt?.shown}`)
}

try {
  console.log(`A trade that is never filled; it has ${timeout ?? '30 minutes, on a simulated clock'}.`)
  await server({ name: 'A', at: 0 }, { kind: 'recorded', what: 'place order', shown: 'while it waits for the fill' })
  await server(
    { name: 'A', at: 12, minutes: 18 },
    { kind: 'called', what: 'release', shown: 'while it undoes, before the money is released' },
  )
  await server({ name: 'A', at: 31 })
  const unfilled = settled

  console.log('\nA trade that is killed between placing its order and knowing of it.')
  await server(
    { name: 'B', at: 40 },
    { kind: 'did', what: 'place order', shown: 'the order is placed, the step is not recorded' },
  )
  await server({ name: 'B', at: 45, fills: true })
  const filled = settled

  const deeds = deedsOf(broker)
  const deedsFor = (name: string) => deeds.filter(({ trade }) => trade === name).map(({ deed }) => deed)
  const called = (name: string) => calls.filter((call) => call.name === name).map(({ deed }) => deed)
  const [a, b] = [deedsFor('A'), deedsFor('B')]
  const ofA = deeds.filter(({ trade }) => trade === 'A')
  const undone = ['place order: undone', 'reserve: undone']
  const took = unfilled?.tookMs ?? 0
  const limit = timeout ? Number.parseInt(timeout, 10) * 1_000 : 30 * MINUTE_MS
  checkClaims([
    ['Every kill hit', kills, 3],
    ['A: it timed out, and not before its time', [unfilled?.code, took >= limit], ['TIMEOUT', true]],
    ['A: it was undone once, the newest step first; then the customer was notified', a, [...DONE, ...UNDONE]],
    [
      'A: of its undos only the one that was killed was begun again',
      called('A'),
      [...DONE, 'withdraw order', ...['release', 'release'], 'tell customer'],
    ],
    ['A: the task says so itself', [unfilled?.cleanUp, unfilled?.undone], ['done', undone]],
    ['A: the money is back', freeCents(ofA, BALANCE), BALANCE],
    ['B: whether the order was placed was asked once', asked, 1],
    ['B: the order was placed once, and paid once', called('B'), [...DONE, 'pay']],
    [
      'B: it completed, and nothing was undone',
      [filled?.status, b, filled?.undone],
      ['completed', [...DONE, 'pay'], []],
    ],
    ['Both settled once', [unfilled?.times, filled?.times], [1, 1]],
  ])
} finally {
  await rm(dir, { recursive: true, force: true })
}
