/**
 * What a client that knows no tasks carries from one round of its call to the next: which task it is about, signed. The
 * key is kept in the store, so a round that was open at a crash can be finished after it.
 *
 * - A key is on disk before anything is signed with it.
 * - A signature says that the words are ours, not that the caller may: whose task it is, is asked again every time.
 * - No two rounds carry the same state: clients may tell rounds apart by it.
 */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto'
import { KeyedMutex } from '../../../base/mutex.js'
import { invalidParams } from '../../access/refusal.js'
import type { McpCore } from '../../tools/mcp-core.js'

const PREFIX = 'hf1.'
const RECORD = 'request-state-keys'

interface Key {
  readonly id: string
  readonly secret: string
}

/** What is signed. */
export interface OpenRound {
  readonly taskId: string
  readonly tool: string
}

export class RequestStates {
  readonly #serial = new KeyedMutex()
  #keys: readonly Key[] | undefined

  constructor(private readonly core: McpCore) {}

  /** True if the state is one of ours, and not the author's. */
  static isOurs(state: unknown): state is string {
    return typeof state === 'string' && state.startsWith(PREFIX)
  }

  async sign({ taskId, tool }: OpenRound): Promise<string> {
    const [key] = await this.#read()
    const round = this.core.binding.ids.seed().slice(0, 12)
    const body = `${PREFIX}${(key as Key).id}.${Buffer.from(JSON.stringify({ taskId, tool, round })).toString('base64url')}`
    return `${body}.${macOf(key as Key, body)}`
  }

  /** @throws ProtocolError -32602 for anything but a state that was signed with a key that is still kept */
  async verify(state: string): Promise<OpenRound> {
    const end = state.lastIndexOf('.')
    const body = state.slice(0, end)
    const [, id, payload] = body.split('.')
    const key = (await this.#read()).find((key) => key.id === id)
    if (!key || payload === undefined || !equal(macOf(key, body), state.slice(end + 1))) throw invalidState()
    return JSON.parse(Buffer.from(payload, 'base64url').toString('utf8')) as OpenRound
  }

  #read(): Promise<readonly Key[]> {
    if (this.#keys) return Promise.resolve(this.#keys)
    return this.#serial.run(RECORD, async () => {
      if (this.#keys) return this.#keys
      const text = await this.core.records.records.get(RECORD)
      if (text === undefined) return this.#write([this.#newKey()])
      this.#keys = JSON.parse(text) as Key[]
      return this.#keys
    })
  }

  async #write(keys: readonly Key[]): Promise<readonly Key[]> {
    const { records } = this.core.records
    await records.write([records.own(RECORD, JSON.stringify(keys))])
    this.#keys = keys
    return keys
  }

  #newKey(): Key {
    const { ids } = this.core.binding
    const secret = createHash('sha256').update(`${ids.seed()} ${ids.seed()} ${ids.seed()}`).digest('base64url')
    return { id: ids.seed().slice(0, 8), secret }
  }
}

/** The same words, whatever is wrong with it: as the SDK says it. */
export function invalidState(): Error {
  return invalidParams('Invalid or expired requestState', { reason: 'invalid_request_state' })
}

function macOf({ secret }: Key, body: string): string {
  return createHmac('sha256', Buffer.from(secret, 'base64url')).update(body).digest('base64url')
}

function equal(one: string, other: string): boolean {
  // By bytes: what a client made up may have as many characters, and more bytes.
  const [given, wanted] = [Buffer.from(one), Buffer.from(other)]
  return given.length === wanted.length && timingSafeEqual(given, wanted)
}
