/** A client in a process of its own, behind the orders of installed/adapter.mjs. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Speaks } from './server-job.js'

/** What a client connects to. */
export type Target =
  | { readonly url: string; readonly token: string }
  | { readonly command: string; readonly args: string[] }

const installed = (path: string) => fileURLToPath(new URL(`./installed/${path}`, import.meta.url))
const NODE_22 = installed('node_modules/node/bin/node')

/** How a call ended. */
export type Ended = { readonly text: string } | { readonly error: string }

interface Message {
  readonly id?: number
  readonly value?: unknown
  readonly error?: string
  readonly progress?: number
  readonly reference?: object
  readonly asked?: true
}

export class AdapterProcess {
  readonly progress: number[] = []
  asked = 0
  /** The task of the latest call, for a client that can resume it. */
  reference: object | undefined
  #child: ChildProcess
  #waiting = new Map<number, (message: Message) => void>()
  #count = 0

  constructor(name: string, target: Target, speaks: Speaks) {
    const node = existsSync(NODE_22) ? NODE_22 : process.execPath
    this.#child = spawn(node, [installed(`${name}.mjs`), JSON.stringify({ ...target, speaks })], {
      stdio: ['ignore', 'ignore', process.env['CLIENTS_STDERR'] ? 'inherit' : 'ignore', 'ipc'],
    })
    this.#child.on('message', (message: Message) => {
      if (message.progress !== undefined) this.progress.push(message.progress)
      if (message.asked) this.asked++
      if (message.reference) this.reference = message.reference
      if (message.id !== undefined) this.#waiting.get(message.id)?.(message)
    })
    this.#child.once('exit', () => {
      for (const settle of this.#waiting.values()) settle({ error: 'The client ended' })
    })
  }

  connect(): Promise<void> {
    return this.#must('connect') as Promise<void>
  }

  list(): Promise<string[]> {
    return this.#must('list') as Promise<string[]>
  }

  call(name: string, args: object): Promise<Ended> {
    return this.#ended('call', { name, args })
  }

  /** Continues to wait for a task of an earlier call, of this client or of one before it. */
  resume(reference: object): Promise<Ended> {
    return this.#ended('resume', { reference })
  }

  /** Resolves once it has ended. It ends with the connection to this process, and its child processes with it. */
  async end(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const exited = once(this.#child, 'exit')
    if (this.#child.connected) this.#child.disconnect()
    await exited
  }

  async #ended(order: string, rest: object): Promise<Ended> {
    const { value, error } = await this.#order(order, rest)
    return error === undefined ? { text: String(value) } : { error }
  }

  async #must(order: string): Promise<unknown> {
    const { value, error } = await this.#order(order)
    if (error !== undefined) throw new Error(`${order}: ${error}`)
    return value
  }

  #order(order: string, rest: object = {}): Promise<Message> {
    if (this.#child.exitCode !== null) return Promise.resolve({ error: 'The client ended' })
    const id = ++this.#count
    return new Promise((resolve) => {
      this.#waiting.set(id, resolve)
      this.#child.send({ id, order, ...rest })
    })
  }
}
