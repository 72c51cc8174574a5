/**
 * Every session there is: in memory, and of those that an earlier process left, what is on disk until their client comes
 * back. Limits them, drops what is not used, and takes up at the start what was open.
 *
 * M1. A session that is idle is let go of, and made again when its client comes back, as after a restart: ten thousand
 *     that nobody uses must not fill the memory.
 */
import type { JSONRPCRequest } from '@modelcontextprotocol/sdk/types.js'
import { isStoreAway } from '../../refusal.js'
import { Session, type SessionParts } from './session.js'
import { SessionEvents } from './session-events.js'
import type { SessionRecord } from './session-records.js'

interface Entry {
  readonly owner: string
  seenAt: number
  /** When `seenAt` was written. */
  notedAt: number
  /** What is on disk; a session that its client has not finished to begin has nothing there. */
  record: SessionRecord | undefined
  session: Promise<Session> | undefined
  /** Whether events of it may be on disk that nobody will need; of one that is not in memory. */
  hasOldEvents: boolean
}

const IDLE_AFTER_MS = 5 * 60_000

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

  /** Begins a session. @throws TooManySessions; HoldfastError `CLOSED` */
  async begin(owner: string, request: JSONRPCRequest): Promise<Session> {
    await this.ready
    const { options, durable } = this.parts
    durable.core.binding.assertOpen()
    let own = 0
    for (const entry of this.#entries.values()) if (entry.owner === owner) own++
    if (this.#entries.size >= options.sessionsMax || own >= options.sessionsPerOwnerMax) throw new TooManySessions()
    const { ids, clock } = durable.core.binding
    const sessionId = ids.seed()
    const now = clock.now()
    const session = Session.begin(this.parts, sessionId, owner, request)
    this.#entries.set(sessionId, {
      owner,
      seenAt: now,
      notedAt: now,
      record: undefined,
      session,
      hasOldEvents: true,
    })
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
      this.#entries.set(sessionId, {
        owner,
        seenAt,
        notedAt: seenAt,
        record,
        session: undefined,
        hasOldEvents: true,
      })
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
      // Its client is told, and tries again.
      if (!isStoreAway(error))
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

  /** M1. */
  async #letGo(sessionId: string, entry: Entry, session: Session): Promise<void> {
    const isIdle = () => {
      const { clock } = this.parts.durable.core.binding
      return session.isIdle && entry.seenAt + IDLE_AFTER_MS < clock.now()
    }
    if (!isIdle()) return
    const record = entry.record ?? (await this.parts.records.readSession(sessionId))
    // One that its client has not finished to begin is only here.
    if (!record || !isIdle() || this.#closed) return
    entry.record = record
    entry.session = undefined
    await session.close()
  }

  #arm(): void {
    if (this.#closed) return
    const { clock } = this.parts.durable.core.binding
    const sweep = () => {
      this.#sweep()
        .catch((error: unknown) => {
          const { logger } = this.parts.durable.core.binding
          if (!this.#closed && !isStoreAway(error)) logger.warn('Sessions could not be swept', { error: String(error) })
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
      if (entry.seenAt < before) {
        await this.drop(sessionId)
        continue
      }
      if (session) {
        entry.hasOldEvents = await session.events.sweep()
        await this.#letGo(sessionId, entry, session)
      } else if (entry.hasOldEvents) {
        const { records, durable, options } = this.parts
        const events = new SessionEvents(sessionId, records, durable.core.binding.clock, options)
        await events.load()
        entry.hasOldEvents = await events.sweep()
      }
    }
  }
}
