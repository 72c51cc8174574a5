/** A store on disk with its operator API, for tests of the API: directories, raw requests, and holders of a fake target. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { type IncomingHttpHeaders, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach } from 'vitest'
import { silentLogger } from '../../src/base/logger.js'
import { defineTask, Holdfast, type OpenOptions } from '../../src/index.js'
import { type OperatorClient, type OperatorClientOptions, operatorClient } from '../../src/operator/index.js'

const undo: (() => unknown)[] = []
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step()
})

/** Runs `step` after the test. */
export function afterTest(step: () => unknown): void {
  undo.push(step)
}

/** A new directory, removed after the test. */
export function scratchDir(): string {
  const dir = mkdtempSync(join(tmpdir(), 'holdfast-op-test-'))
  afterTest(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

/** Opens a store that is closed after the test. */
export async function openStore(options: Partial<OpenOptions> = {}): Promise<{ holdfast: Holdfast; dir: string }> {
  const dir = options.dir ?? join(scratchDir(), 'store')
  const holdfast = await Holdfast.open({ logger: silentLogger, ...options, dir })
  afterTest(() => holdfast.close())
  return { holdfast, dir }
}

/** A client that is closed after the test. */
export function clientOf(dir: string, options: Partial<OperatorClientOptions> = {}): OperatorClient {
  const client = operatorClient({ actor: 'cli: ann', ...options, dir })
  afterTest(() => client.close())
  return client
}

/** Content of `holder.json`. */
export interface HolderFile {
  readonly path: string
  readonly secret: string
  readonly pid: number
  readonly lockToken: string
  readonly protocol: number
}

export function holderOf(dir: string): HolderFile {
  return JSON.parse(readFileSync(join(dir, 'operator/holder.json'), 'utf8')) as HolderFile
}

export interface Answered {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: { readonly error?: { readonly code: string; readonly message: string } } & Record<string, unknown>
}

/** Sends a request over a socket, as a client of any kind may. A header of `undefined` is left out. */
export function ask(
  { path: socketPath, secret }: HolderFile,
  path: string,
  options: { method?: string; headers?: Record<string, string | undefined>; body?: string | Buffer } = {},
): Promise<Answered> {
  const all = { authorization: `Bearer ${secret}`, 'holdfast-protocol': '1', ...options.headers }
  const headers = Object.fromEntries(
    Object.entries(all).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  )
  return new Promise((resolve, reject) => {
    const req = request({ socketPath, path, method: options.method ?? 'GET', headers, agent: false }, (res) => {
      let text = ''
      res.setEncoding('utf8')
      res.on('data', (chunk: string) => {
        text += chunk
      })
      res.on('end', () =>
        resolve({ status: res.statusCode ?? 0, headers: res.headers, body: JSON.parse(text) as never }),
      )
    })
    req.on('error', reject)
    req.end(options.body)
  })
}

/** A task with steps, two checkpoints, a question and a message, that ends when both have come. */
export const talk = defineTask({ name: 'talk' }, async (task) => {
  await task.step('load', () => ({ secret: 'result-value' }))
  await task.saveCheckpoint({ row: 1, note: 'state-value' })
  await task.saveCheckpoint({ row: 2, note: 'state-value', more: true })
  const answer = await task.input('proceed', { message: 'question-value' } as never)
  const message = await task.receive('go')
  return { answer, message, kept: 'outcome-value' }
})
