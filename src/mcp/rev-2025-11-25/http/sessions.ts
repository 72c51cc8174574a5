/**
 * Every session there is: in memory, and of those that an earlier process left, what is on disk until their client comes
 * back. Limits them, drops what is not used, and takes up at the start what was open.
 */
import type { JSONRPCRequest } from '@modelcontextprotocol/sdk/types.js'
import { Session, type SessionParts } from './session.js'
import type { SessionRecord } from './session-records.js'

interface Entry {
  readonly owner: string
  seenAt: number
  /** When `seenAt` was written. */
  notedAt: number
  /** What is on disk; a session that its client has not finished to begin has nothing there. */
  record: SessionRecord | undefined
  session: Promise<Session> | undefined
}

const SWEEP_EVERY_MS = 60_000
const NOTED_EVERY_MS = 5 * 60_000

/** There are too many sessions. */
export class TooManySessions extends Error {}

export class Sessions {
  readonly #entries = new Map<string, Entry>()
  /** What an earlier process left is known, and what was open is taken up. */
  readonly ready: Promise<void>
  #closed = false
  #disarm = () => {}

  constructor(private readonly parts: SessionParts) {
    this.ready = this.#boot()
    this.ready.catch(() => {})
    this.#arm()
  }

  /**
   * The session of this ID, if it is this owner's.
   * @returns `undefined` for an unknown one and for another's alike
   */
  async find(sessionId: string, owner: string): Promise<Session | undefined> {
    await this.ready
    const entry = this.#entries.get(sessionId)
    if (!entry || entry.owner !== owner) return undefined
    this.#touch(sessionId, entry)
    const { record } = entry
    if (!entry.session && record) entry.session = this.#again(entry, record)
    return entry.session
  }

  /** Begins a session. @throws TooManySessions */
  async begin(owner: string, request: JSONRPCRequest): Promise<Session> {
    await this.ready
    const { options, durable } = this.parts
    let own = 0
    for (const entry of this.#entries.values()) if (entry.owner === owner) own++
    if (this.#entries.size >= options.sessionsMax || own >= options.sessionsPerOwnerMax) throw new TooManySessions()
    const { ids, clock } = durable.core.binding
    const sessionId = ids.seed()
    const now = clock.now()
    const session = Session.begin(this.parts, sessionId, owner, request)
    this.#entries.set(sessionId, { owner, seenAt: now, notedAt: now, record: undefined, session })
    session.catch(() => this.#entries.delete(sessionId))
    return session
  }

  /** Drops a session and everything of it. */
  async drop(sessionId: string): Promise<void> {
    const entry = this.#entries.get(sessionId)
    if (!this.#entries.delete(sessionId)) return
    const session = await entry?.session?.catch(() => undefined)
    await session?.close()
    await this.parts.records.drop(sessionId)
  }

  /** Closes every connection; the sessions stay for the next process. */
  async close(): Promise<void> {
    this.#closed = true
    this.#disarm()
    await this.ready.catch(() => {})
    for (const { session } of this.#entries.values()) await (await session?.catch(() => undefined))?.close()
  }

  async #boot(): Promise<void> {
    const { records } = this.parts
    for (const { record, seenAt } of await records.readSessions()) {
      const { owner, sessionId } = record
      this.#entries.set(sessionId, { owner, seenAt, notedAt: seenAt, record, session: undefined })
    }
    for (const sessionId of await records.readSessionsWithOpen()) {
      const entry = this.#entries.get(sessionId)
      // Begun behind the others' backs: one session that can't be taken up must not keep the rest waiting.
      if (entry?.record) entry.session = this.#again(entry, entry.record)
      else await records.dropRest(sessionId)
    }
  }

  #again(entry: Entry, record: SessionRecord): Promise<Session> {
    const { logger } = this.parts.durable.core.binding
    const session = Session.again(this.parts, record)
    session.catch((error: unknown) => {
      logger.error('A session could not be taken up again', { sessionId: record.sessionId, error: String(error) })
      entry.session = undefined
    })
    return session
  }

  #touch(sessionId: string, entry: Entry): void {
    const { durable, records } = this.parts
    entry.seenAt = durable.core.binding.clock.now()
    if (entry.seenAt < entry.notedAt + NOTED_EVERY_MS) return
    entry.notedAt = entry.seenAt
    records.records.write([records.seen(sessionId, entry.seenAt)]).catch(() => {}) // The next one notes it.
  }

  #arm(): void {
    if (this.#closed) return
    const { clock } = this.parts.durable.core.binding
    const sweep = () => {
      this.#sweep()
        .catch((error: unknown) => {
          const { logger } = this.parts.durable.core.binding
          if (!this.#closed) logger.warn('Sessions could not be swept', { error: String(error) })
        })
        .finally(() => this.#arm())
    }
    this.#disarm = clock.setTimer(clock.now() + SWEEP_EVERY_MS, sweep, { background: true, elapsed: true })
  }

  async #sweep(): Promise<void> {
    const before = this.parts.durable.core.binding.clock.now() - this.parts.options.sessionTtlMs
    for (const [sessionId, entry] of [...this.#entries]) {
      const session = await entry.session?.catch(() => undefined)
      // Somebody reads: it is in use, also where nothing is asked.
      if (session?.events.connections.has()) this.#touch(sessionId, entry)
      if (entry.seenAt < before) await this.drop(sessionId)
      else await session?.events.sweep()
    }
  }
}
