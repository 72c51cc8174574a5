/**
 * What is kept of HTTP sessions, so that a client that comes back after a restart finds its own:
 *
 *   http-session/<session>                       whose it is and how much is kept of it: all that a start reads; never a token
 *   http-initialize/<session>                    what the SDK is given again once its client comes back
 *   http-seen/<session>                          when it was used last, more or less; nothing before a second request
 *   http-open/<session>/<stream>                 a request that is not answered yet
 *   http-event/<session>/<stream>/<number>       what was sent on a stream, or is to be
 *
 * In the first stores `http-session` held the whole `initialize`, whatever its length. A start makes two records of it.
 */
import { InitializeRequestSchema, type JSONRPCMessage, type JSONRPCRequest } from '@modelcontextprotocol/sdk/types.js'
import type { BindingRecords } from '../../../store/binding-records.js'
import type { BindingRecord } from '../../../task/changes.js'
import { type KeptRequest, keptOf } from './kept-request.js'

/** Whose a session is. */
export interface SessionOwner {
  readonly owner: string
  /** Where nobody is distinguished by name: a hash of the address that its client came from, if there is one. */
  readonly address?: string | undefined
}

/** What a start reads of a session. */
export interface SessionHead extends SessionOwner {
  readonly createdAt: number
  /** Bytes of its two records. */
  readonly bytes: number
}

/** A session as a start finds it. */
export interface FoundSession {
  readonly sessionId: string
  readonly head: SessionHead
  /** When it was used last; `undefined` if its client made no second request. */
  readonly seenAt: number | undefined
}

/** What a session begins with, and what is to be kept of it. */
export interface NewSession {
  readonly initialize: JSONRPCRequest
  readonly head: SessionHead
  readonly records: readonly BindingRecord[]
}

/** The longest `initialize` that is taken, as JSON. */
export const INITIALIZE_BYTES_MAX = 16 * 1024

/** A request that is not answered yet. With a task it is taken up again after a restart; its input lies with the task. */
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

/** What was sent; `message` is absent in the event that only opens a stream. */
export interface EventRecord {
  readonly stream: string
  readonly number: number
  readonly at: number
  readonly message?: JSONRPCMessage | undefined
  /** Of an answer that its client didn't get yet: the note that says so, which goes when it does. */
  rejoinKey?: string | undefined
  readonly bytes: number
}

const DELETES_PER_WRITE = 64

export class SessionRecords {
  constructor(readonly records: BindingRecords) {}

  /** What is kept of a session that this `initialize` begins. Only what the SDK reads is kept of it. */
  begun(sessionId: string, owner: SessionOwner, initialize: JSONRPCRequest, createdAt: number): NewSession {
    const kept = keptInitialize(initialize)
    const text = JSON.stringify(kept)
    const about = { ...owner, createdAt }
    // The figure itself is left out of it.
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

  /** The sessions that there are, and the IDs of those that are in the form of the first stores. */
  async readSessions(): Promise<{ sessions: FoundSession[]; old: string[] }> {
    const seen = new Map(await this.records.collect('http-seen/', ({ key, text }) => [lastPart(key), Number(text)]))
    const found = await this.records.collect('http-session/', ({ key, text }) => {
      const { owner, address, createdAt, bytes, initialize } = JSON.parse(text) as SessionHead & {
        initialize?: unknown
      }
      // Nothing else is held on to: one in the old form may take megabytes.
      const head = initialize === undefined ? { owner, address, createdAt, bytes } : undefined
      return { sessionId: lastPart(key), head }
    })
    const sessions = found.flatMap(({ sessionId, head }) =>
      head ? [{ sessionId, head, seenAt: seen.get(sessionId) }] : [],
    )
    return { sessions, old: found.flatMap(({ sessionId, head }) => (head ? [] : [sessionId])) }
  }

  /**
   * Brings a session into today's form. One whose `initialize` is longer than would be taken today is deleted: its
   * client begins another one.
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
    // In that form a session that was used for less than five minutes has no note of it: it may have been.
    const seenAt = Number((await this.records.get(`http-seen/${sessionId}`)) ?? createdAt)
    await this.records.write([...records, this.seen(sessionId, seenAt)])
    return { sessionId, head, seenAt }
  }

  /** The `initialize` that the SDK is given again. */
  async readInitialize(sessionId: string): Promise<JSONRPCRequest | undefined> {
    const text = await this.records.get(`http-initialize/${sessionId}`)
    return text === undefined ? undefined : (JSON.parse(text) as JSONRPCRequest)
  }

  /** The sessions that have requests which are not answered. */
  readSessionsWithOpen(): Promise<string[]> {
    return this.records.parts('http-open/')
  }

  /** The sessions of which anything is kept besides their own records. */
  async readSessionsWithRest(): Promise<Set<string>> {
    const found = new Set<string>()
    for (const kind of REST) for (const sessionId of await this.records.parts(`${kind}/`)) found.add(sessionId)
    return found
  }

  async readOpen(sessionId: string): Promise<OpenRecord[]> {
    return this.records.collect(`http-open/${sessionId}/`, ({ text }) => {
      const record = JSON.parse(text) as Omit<OpenRecord, 'request'> & { request: KeptRequest | JSONRPCRequest }
      const { request } = record
      // The first stores hold all of it, which may take megabytes.
      return { ...record, request: 'jsonrpc' in request ? keptOf(request) : request }
    })
  }

  /** The events of a session, or of one stream of it; in the order of their numbers within each stream. */
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
   * Deletes all of a session; the session itself first, so that what is left after a crash belongs to nobody, and the next
   * start deletes it.
   */
  async drop(sessionId: string): Promise<void> {
    const kinds = ['http-session', 'http-initialize', 'http-seen']
    await this.records.write(kinds.map((kind) => this.records.own(`${kind}/${sessionId}`, undefined)))
    await this.dropRest(sessionId)
  }

  /** Deletes what is kept of a session besides the session's own records. */
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

/** An `initialize` with what the SDK reads of it, and nothing else. */
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
