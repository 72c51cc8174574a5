/** A stdio server of server.ts, and the messages that somebody else's client is known to send to one. */
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import type { Speaks } from './server-job.js'

const SERVER = fileURLToPath(new URL('./server.ts', import.meta.url))

/** What a server writes. */
export interface Message {
  readonly id?: number | string
  readonly method?: string
  // biome-ignore lint/suspicious/noExplicitAny: a test looks at what it expects to be there
  readonly params?: any
  // biome-ignore lint/suspicious/noExplicitAny: as above
  readonly result?: any
  readonly error?: { readonly code: number; readonly message: string }
}

export class RawStdio {
  readonly dir = mkdtempSync(join(tmpdir(), 'holdfast-openings-'))
  readonly notifications: Message[] = []
  /** What a question of the server's is answered with. */
  answers: Readonly<Record<string, object>> = {}
  #child: ChildProcessByStdio<Writable, Readable, null>
  #waiting = new Map<unknown, (message: Message) => void>()
  #count = 0

  constructor(speaks: Speaks) {
    // No step of its tasks waits.
    writeFileSync(join(this.dir, 'gate'), '')
    const job = JSON.stringify({ dir: this.dir, speaks })
    this.#child = spawn(process.execPath, ['--import', import.meta.resolve('tsx'), SERVER, job], {
      stdio: ['pipe', 'pipe', 'ignore'],
    })
    createInterface({ input: this.#child.stdout }).on('line', (line) => this.#receive(JSON.parse(line)))
  }

  request(method: string, params: object): Promise<Message> {
    const id = ++this.#count
    const answered = new Promise<Message>((resolve) => this.#waiting.set(id, resolve))
    this.#write({ id, method, params })
    return answered
  }

  notify(method: string): void {
    this.#write({ method })
  }

  async end(): Promise<void> {
    const exited = once(this.#child, 'exit')
    this.#child.kill('SIGKILL')
    await exited
    rmSync(this.dir, { recursive: true, force: true })
  }

  #receive(message: Message): void {
    if (message.method === undefined) {
      this.#waiting.get(message.id)?.(message)
      this.#waiting.delete(message.id)
    } else if (message.id === undefined) this.notifications.push(message)
    else this.#write({ id: message.id, result: this.answers[message.method] })
  }

  #write(message: object): void {
    this.#child.stdin.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`)
  }
}
