/**
 * Records of HTTP sessions, so that a client that returns after a restart finds its session:
 *
 *   http-session/<session>                       owner and size of the session: the only record that a start reads; never a token
 *   http-initialize/<session>                    the `initialize` that the SDK receives again once the client returns
 *   http-seen/<session>                          approximate instant of the last use; missing before a second request
 *   http-open/<session>/<stream>                 an unanswered request
 *   http-event/<session>/<stream>/<number>       a message of a stream, sent or to be sent
 *
 * In the first stores, `http-session` held the whole `initialize`, of any length. A start splits it into two records.
 */
import { InitializeRequestSchema, type JSONRPCMessage, type JSONRPCRequest } from '@modelcontextprotocol/sdk/types.js'
import type { BindingRecords } from '../../../store/binding-records.js'
import type { BindingRecord } from '../../../task/changes.js'
import { type KeptRequest, keptOf } from './kept-request.js'

/** Owner of a session. */
export interface SessionOwner {
  readonly owner: string
  /** Hash of the client's address, if clients are not distinguished by name and there is an address. */
  readonly address?: string | undefined
}

/** The part of a session that a start reads. */
export interface SessionHead extends SessionOwner {
  readonly createdAt: number
  /** Bytes of the session's two records. */
  readonly bytes: number
}

/** A session that a start has read. */
export interface FoundSession {
  readonly sessionId: string
  readonly head: SessionHead
  /** Instant of the last use; `undefined` if the client made no second request. */
  readonly seenAt: number | undefined
}

/** Content and records of a new session. */
export interface NewSession {
  readonly initialize: JSONRPCRequest
  readonly head: SessionHead
  readonly records: readonly BindingRecord[]
}

/** Longest accepted `initialize` as JSON, in bytes. */
export const INITIALIZE_BYTES_MAX = 16 * 1024

/** An unanswered request. One with a task is resumed after a restart. The task's input is stored with the task. */
export interface OpenRecord {
  readonly stream: string
  readonly request: KeptRequest
  readonly call?: {
    readonly taskId: string
    readonly tool: string
    readonly kind: 'inline' | 'task' | 'start'
    readonly created: boolean
    readonly rejoinKey?: string | undefined
  }
}

/** An event of a stream. `message` is missing in the event that only opens a stream. */
export interface EventRecord {
  readonly stream: string
  readonly number: number
  readonly at: number
  readonly message?: JSONRPCMessage | undefined
  /** Key of the record that the answer is not delivered. The record is deleted once it is. */
  rejoinKey?: string | undefined
  readonly bytes: number
}

const DELETES_PER_WRITE = 64

export class SessionRecords {
  constructor(readonly records: BindingRecords) {}

  /** Makes the records of a session that this `initialize` begins. Only the fields that the SDK reads are kept. */
  begun(sessionId: string, owner: SessionOwner, initialize: JSONRPCRequest, createdAt: number): NewSession {
    const kept = keptInitialize(initialize)
    const text = JSON.stringify(kept)
    const about = { ...owner, createdAt }
    // The number of bytes does not count itself.
    const head: SessionHead = { ...about, bytes: Buffer.byteLength(text) + Buffer.byteLength(JSON.stringify(about)) }
    const records = [
      this.records.own(`http-session/${sessionId}`, JSON.stringify(head)),
      this.records.own(`http-initialize/${sessionId}`, text),
    ]
    return { initialize: kept, head, records }
  }

  seen(sessionId: string, at: number): BindingRecord {
    return this.records.own(`http-seen/${sessionId}`, String(at))
  }

  open(sessionId: string, record: OpenRecord): BindingRecord {
    return this.records.own(`http-open/${sessionId}/${record.stream}`, JSON.stringify(record))
  }

  answered(sessionId: string, stream: string): BindingRecord {
    return this.records.own(`http-open/${sessionId}/${stream}`, undefined)
  }

  event(sessionId: string, { stream, number, at, message, rejoinKey }: Omit<EventRecord, 'bytes'>): BindingRecord {
    return this.records.own(eventKey(sessionId, stream, number), JSON.stringify({ at, message, rejoinKey }))
  }

  dropEvent(sessionId: string, { stream, number }: Pick<EventRecord, 'stream' | 'number'>): BindingRecord {
    return this.records.own(eventKey(sessionId, stream, number), undefined)
  }

  /** Reads the sessions, and the IDs of those in the form of the first stores. */
  async readSessions(): Promise<{ sessions: FoundSession[]; old: string[] }> {
    const seen = new Map(await this.records.collect('http-seen/', ({ key, text }) => [lastPart(key), Number(text)]))
    const found = await this.records.collect('http-session/', ({ key, text }) => {
      const { owner, address, createdAt, bytes, initialize } = JSON.parse(text) as SessionHead & {
        initialize?: unknown
      }
      // Only the fields of the head stay in memory, because a session in the old form may take megabytes.
      const head = initialize === undefined ? { owner, address, createdAt, bytes } : undefined
      return { sessionId: lastPart(key), head }
    })
    const sessions = found.flatMap(({ sessionId, head }) =>
      head ? [{ sessionId, head, seenAt: seen.get(sessionId) }] : [],
    )
    return { sessions, old: found.flatMap(({ sessionId, head }) => (head ? [] : [sessionId])) }
  }

  /**
   * Converts a session to the current form. Deletes one whose `initialize` is longer than accepted now. Its client then
   * begins another one.
   */
  async renew(sessionId: string): Promise<FoundSession | undefined> {
    const text = await this.records.get(`http-session/${sessionId}`)
    if (text === undefined) return undefined
    const { owner, initialize, createdAt } = JSON.parse(text) as OldSession
    const isKept = Buffer.byteLength(JSON.stringify(initialize)) <= INITIALIZE_BYTES_MAX
    if (!isKept || !InitializeRequestSchema.safeParse(initialize).success) {
      await this.drop(sessionId)
      return undefined
    }
    const { head, records } = this.begun(sessionId, { owner }, initialize, createdAt)
    // In the old form, a session that was used for less than five minutes has no record of its use. It counts as used.
    const seenAt = Number((await this.records.get(`http-seen/${sessionId}`)) ?? createdAt)
    await this.records.write([...records, this.seen(sessionId, seenAt)])
    return { sessionId, head, seenAt }
  }

  /** Reads the `initialize` that the SDK receives again. */
  async readInitialize(sessionId: string): Promise<JSONRPCRequest | undefined> {
    const text = await this.records.get(`http-initialize/${sessionId}`)
    return text === undefined ? undefined : (JSON.parse(text) as JSONRPCRequest)
  }

  /** Lists the sessions with unanswered requests. */
  readSessionsWithOpen(): Promise<string[]> {
    return this.records.parts('http-open/')
  }

  /** Lists the sessions that have records besides their own ones. */
  async readSessionsWithRest(): Promise<Set<string>> {
    const found = new Set<string>()
    for (const kind of REST) for (const sessionId of await this.records.parts(`${kind}/`)) found.add(sessionId)
    return found
  }

  async readOpen(sessionId: string): Promise<OpenRecord[]> {
    return this.records.collect(`http-open/${sessionId}/`, ({ text }) => {
      const record = JSON.parse(text) as Omit<OpenRecord, 'request'> & { request: KeptRequest | JSONRPCRequest }
      const { request } = record
      // Early versions of the library stored the whole request, which may take megabytes. Only a short form is kept in memory.
      return { ...record, request: 'jsonrpc' in request ? keptOf(request) : request }
    })
  }

  /** Reads the events of a session, or of one of its streams, in the order of their numbers within each stream. */
  async readEvents(sessionId: string, stream?: string, after = -1): Promise<EventRecord[]> {
    const prefix = stream === undefined ? `http-event/${sessionId}/` : `http-event/${sessionId}/${stream}/`
    const from = stream === undefined || after < 0 ? {} : { after: eventKey(sessionId, stream, after) }
    return (await this.records.list(prefix, from)).map(({ key, text }) => {
      const [, , name, number] = key.split('/') as [string, string, string, string]
      const { at, message, rejoinKey } = JSON.parse(text) as Pick<EventRecord, 'at' | 'message' | 'rejoinKey'>
      return { stream: name, number: Number.parseInt(number, 16), at, message, rejoinKey, bytes: text.length }
    })
  }

  /**
   * Deletes all records of a session, its own ones first. After a crash, the others then belong to no session, and the
   * next start deletes them.
   */
  async drop(sessionId: string): Promise<void> {
    const kinds = ['http-session', 'http-initialize', 'http-seen']
    await this.records.write(kinds.map((kind) => this.records.own(`${kind}/${sessionId}`, undefined)))
    await this.dropRest(sessionId)
  }

  /** Deletes the records of a session besides its own ones. */
  async dropRest(sessionId: string): Promise<void> {
    for (const kind of REST) {
      const keys = await this.records.keys(`${kind}/${sessionId}/`)
      for (let at = 0; at < keys.length; at += DELETES_PER_WRITE) {
        const page = keys.slice(at, at + DELETES_PER_WRITE)
        await this.records.write(page.map((key) => this.records.own(key, undefined)))
      }
    }
  }
}

const REST = ['http-open', 'http-event']

/** A session in the form of the first stores. */
type OldSession = { readonly owner: string; readonly initialize: JSONRPCRequest; readonly createdAt: number }

/** Reduces an `initialize` to the fields that the SDK reads. */
function keptInitialize(initialize: JSONRPCRequest): JSONRPCRequest {
  const { protocolVersion, capabilities, clientInfo } = InitializeRequestSchema.parse(initialize).params
  return {
    jsonrpc: '2.0',
    id: 'initialize',
    method: 'initialize',
    params: { protocolVersion, capabilities, clientInfo },
  }
}

function lastPart(key: string): string {
  return key.slice(key.lastIndexOf('/') + 1)
}

function eventKey(sessionId: string, stream: string, number: number): string {
  return `http-event/${sessionId}/${stream}/${number.toString(16).padStart(8, '0')}`
}
