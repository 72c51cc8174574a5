/** The parent's hold on the server: starts it, listens to it, and kills it when its time has come. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { z } from 'zod'
import { summarySchema } from './flights.js'
import { entrySchema, type JournalEntry } from './journal.js'
import { isDue, type Kill } from './kill-plan.js'

/** What the server says to its parent. */
export type FromServer = z.infer<typeof messageSchema>
const messageSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('entry'), entry: entrySchema, sinceOpenMs: z.number(), sinceProcessMs: z.number() }),
  z.object({
    kind: z.literal('result'),
    output: z.object({ flights: z.number(), summary: summarySchema }),
    settled: z.int(),
  }),
])

/** What the task put out, and how often it settled by its audit. */
export type ServerResult = Omit<Extract<FromServer, { kind: 'result' }>, 'kind'>

/** What a server is to work on. */
export interface ServerJob {
  readonly store: string
  readonly journal: string
  readonly idempotencyKey: string
  readonly input: { readonly file: string; readonly flightsPerStep: number; readonly stepsPerCheckpoint: number }
}

/** How long since the server called `Holdfast.open`, and since its process started. */
export interface Since {
  readonly sinceOpenMs: number
  readonly sinceProcessMs: number
}

// A server that hangs is a finding, not a reason to wait for ever.
const RUN_MS_MAX = 50_000

/**
 * Runs the server once, until it ends or is killed.
 * @returns the task's result, or 'killed'
 * @throws Error when it ends in any other way, or doesn't end
 */
export async function runServer(
  job: ServerJob,
  kill: Kill | undefined,
  interrupted: AbortSignal,
  onEntry: (entry: JournalEntry, since: Since) => void,
): Promise<ServerResult | 'killed'> {
  const script = fileURLToPath(new URL('./child.ts', import.meta.url))
  const args = [job.store, job.journal, job.idempotencyKey, JSON.stringify(job.input)]
  const signal = AbortSignal.any([interrupted, AbortSignal.timeout(RUN_MS_MAX)])
  const server = spawn(process.execPath, ['--import', import.meta.resolve('tsx'), script, ...args], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    signal,
    killSignal: 'SIGKILL',
  })
  let killing = false
  let result: ServerResult | undefined
  server.on('message', (raw) => {
    const message = messageSchema.parse(raw)
    if (message.kind === 'result') {
      result = message
      return
    }
    onEntry(message.entry, message)
    if (!kill || killing || !isDue(kill, message.entry)) return
    killing = true
    if (kill.delayMs === 0) server.kill('SIGKILL')
    else void delay(kill.delayMs).then(() => server.kill('SIGKILL'))
  })
  server.on('error', () => {}) // Aborted: 'close' follows, and `signal` says so.
  const [code, by] = (await once(server, 'close')) as [number | null, NodeJS.Signals | null]
  interrupted.throwIfAborted()
  if (signal.aborted) throw new Error(`The server did not end within ${RUN_MS_MAX / 1000} s`)
  if (killing && by === 'SIGKILL') return 'killed'
  if (code === 0 && result) return result
  throw new Error(`The server ended with ${by ?? `exit code ${code}`}, and without a result`)
}
