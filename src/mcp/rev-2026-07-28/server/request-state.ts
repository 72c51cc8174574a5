/**
 * The signed text that a client without tasks returns from one round of its call to the next. It names the task. The
 * key is kept in the store, so a round that was open at a crash can be finished after it.
 *
 * - A key is on disk before it signs anything.
 * - A signature proves that the text is ours. It gives no rights: the owner of the task is checked in every round.
 * - No two rounds have the same text, so clients can distinguish rounds by it.
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

/** Content of the signed text. */
export interface OpenRound {
  readonly taskId: string
  readonly tool: string
}

export class RequestStates {
  readonly #serial = new KeyedMutex()
  #keys: readonly Key[] | undefined

  constructor(private readonly core: McpCore) {}

  /** True if the state has the prefix of a state that `sign` makes. `verify` checks the signature. */
  static isOurs(state: unknown): state is string {
    return typeof state === 'string' && state.startsWith(PREFIX)
  }

  async sign({ taskId, tool }: OpenRound): Promise<string> {
    const [key] = await this.#read()
    const round = this.core.binding.ids.seed().slice(0, 12)
    const body = `${PREFIX}${(key as Key).id}.${Buffer.from(JSON.stringify({ taskId, tool, round })).toString('base64url')}`
    return `${body}.${macOf(key as Key, body)}`
  }

  /**
   * Checks the signature, and returns the content.
   * @throws ProtocolError -32602 for anything but a state that was signed with a key that is still kept
   */
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

/** Creates the error of an invalid state. The message is that of the SDK, regardless of the cause. */
export function invalidState(): Error {
  return invalidParams('Invalid or expired requestState', { reason: 'invalid_request_state' })
}

function macOf({ secret }: Key, body: string): string {
  return createHmac('sha256', Buffer.from(secret, 'base64url')).update(body).digest('base64url')
}

function equal(one: string, other: string): boolean {
  // Compared as bytes: a forged text may have as many characters and more bytes.
  const [given, wanted] = [Buffer.from(one), Buffer.from(other)]
  return given.length === wanted.length && timingSafeEqual(given, wanted)
}
