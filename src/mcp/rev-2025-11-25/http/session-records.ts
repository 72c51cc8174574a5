/**
 * What is kept of HTTP sessions, so that a client that comes back after a restart finds its own:
 *
 *   http-session/<session>                       its owner and its `initialize`; never a token
 *   http-seen/<session>                          when it was used last, more or less
 *   http-open/<session>/<stream>                 a request that is not answered yet
 *   http-event/<session>/<stream>/<number>       what was sent on a stream, or is to be
 */
import type { JSONRPCMessage, JSONRPCRequest } from '@modelcontextprotocol/sdk/types.js'
import type { BindingRecords } from '../../../store/binding-records.js'
import type { BindingRecord } from '../../../task/changes.js'

/** A session as it is kept. */
export interface SessionRecord {
  readonly sessionId: string
  readonly owner: string
  readonly initialize: JSONRPCRequest
  readonly createdAt: number
}

/** A request that is not answered yet. With a task it is taken up again after a restart; its input lies with the task. */
export interface OpenRecord {
  readonly stream: string
  readonly request: JSONRPCRequest
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

  session(record: SessionRecord): BindingRecord {
    return this.records.own(`http-session/${record.sessionId}`, JSON.stringify(record))
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

  async readSessions(): Promise<{ record: SessionRecord; seenAt: number }[]> {
    const seen = new Map(
      (await this.records.list('http-seen/')).map(({ key, text }) => [key.split('/')[1], Number(text)] as const),
    )
    return (await this.records.list('http-session/')).map(({ text }) => {
      const record = JSON.parse(text) as SessionRecord
      return { record, seenAt: seen.get(record.sessionId) ?? record.createdAt }
    })
  }

  /** The sessions that have requests which are not answered. */
  async readSessionsWithOpen(): Promise<Set<string>> {
    return new Set((await this.records.list('http-open/')).map(({ key }) => key.split('/')[1] as string))
  }

  async readOpen(sessionId: string): Promise<OpenRecord[]> {
    return (await this.records.list(`http-open/${sessionId}/`)).map(({ text }) => JSON.parse(text) as OpenRecord)
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

  /** Deletes all of a session; the session itself first, so that what is left after a crash belongs to nobody. */
  async drop(sessionId: string): Promise<void> {
    const own = (key: string) => this.records.own(key, undefined)
    await this.records.write([own(`http-session/${sessionId}`), own(`http-seen/${sessionId}`)])
    await this.dropRest(sessionId)
  }

  /** Deletes what belongs to a session, apart from the session. */
  async dropRest(sessionId: string): Promise<void> {
    for (const prefix of [`http-open/${sessionId}/`, `http-event/${sessionId}/`]) {
      const keys = await this.records.list(prefix)
      for (let at = 0; at < keys.length; at += DELETES_PER_WRITE) {
        const page = keys.slice(at, at + DELETES_PER_WRITE)
        await this.records.write(page.map(({ key }) => this.records.own(key, undefined)))
      }
    }
  }
}

function eventKey(sessionId: string, stream: string, number: number): string {
  return `http-event/${sessionId}/${stream}/${number.toString(16).padStart(8, '0')}`
}
