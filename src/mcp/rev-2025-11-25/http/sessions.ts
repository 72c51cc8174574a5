/**
 * All sessions: those in memory, and those of an earlier process that are on disk until their client returns. Limits
 * the sessions, deletes unused ones, and resumes open requests at the start.
 *
 * - An idle session is unloaded, and created again when its client returns, as after a restart. Without this, thousands
 *   of idle sessions could fill the memory.
 * - Of a session that is not in memory, only its owner, its size and two instants are. Its `initialize` is read when it
 *   is needed.
 */
import type { JSONRPCRequest } from '@modelcontextprotocol/sdk/types.js'
import { faultOf } from '../../../base/fault.js'
import { isStoreAway } from '../../access/refusal.js'
import { OpenRequests } from './open-requests.js'
import { Session, type SessionParts, type SessionStart } from './session.js'
import { SessionEvents } from './session-events.js'
import { makeRoom, type SessionLimits, type SessionUse } from './session-limits.js'
import type { FoundSession, SessionHead, SessionOwner } from './session-records.js'

const IDLE_AFTER_MS = 5 * 60_000

const SWEEP_EVERY_MS = 60_000
const NOTED_EVERY_MS = 5 * 60_000
// Least time between two warnings. A client that fills the sessions must not fill the log.
const WARNED_EVERY_MS = 60_000

/** Error of a new session if a limit is reached and all counted sessions are in use. */
export class TooManySessions extends Error {
  constructor(readonly limit: keyof SessionLimits) {
    super(`Too many sessions (limit \`${limit}\`)`)
  }
}

class Entry implements SessionUse {
  /** Instant of the last write of `seenAt`; `undefined` before the client's second request. */
  notedAt: number | undefined
  session: Promise<Session> | undefined
  /** Session of this entry, once it is created. */
  made: Session | undefined
  /** True if old events of the session may be on disk while it is not in memory. */
  hasOldEvents = true

  constructor(
    readonly head: SessionHead,
    public seenAt: number,
    /** True if the session is on disk. A session whose `initialize` is not complete is only in memory. */
    public isKept: boolean,
  ) {}

  get isUsed(): boolean {
    return this.notedAt !== undefined
  }

  get isInUse(): boolean {
    return this.session !== undefined && this.made?.isIdle !== true
  }

  /** Sets a session that is being created. One that fails is removed. */
  make(session: Promise<Session>): Promise<Session> {
    this.session = session
    session.then(
      (made) => {
        if (this.session === session) this.made = made
      },
      () => {
        if (this.session === session) this.session = undefined
      },
    )
    return session
  }

  letGo(): void {
    this.session = undefined
    this.made = undefined
  }
}

export class Sessions {
  readonly #entries = new Map<string, Entry>()
  readonly #openRequests = new Map<string, number>()
  /** Resolves once the sessions of an earlier process are known and their open requests are resumed. */
  readonly ready: Promise<void>
  #tidying: Promise<void> | undefined
  #closed = false
  #disarm = () => {}
  #closedForRoom = 0
  #warnedAt: number | undefined

  constructor(private readonly parts: SessionParts) {
    this.ready = this.#boot()
    this.ready.catch(() => {})
    this.#arm()
  }

  /**
   * Finds the session with this ID and owner.
   * @returns `undefined` for an unknown session and for one of another owner
   */
  async find(sessionId: string, owner: string): Promise<Session | undefined> {
    await this.ready
    const entry = this.#entries.get(sessionId)
    if (!entry || entry.head.owner !== owner) return undefined
    this.#touch(sessionId, entry)
    return entry.session ?? (entry.isKept ? this.#again(sessionId, entry) : undefined)
  }

  /**
   * Begins a session, and closes others if there are too many.
   * @throws TooManySessions; HoldfastError `CLOSED`
   */
  async begin(owner: SessionOwner, request: JSONRPCRequest): Promise<Session> {
    await this.ready
    this.parts.durable.core.binding.assertOpen()
    const { ids, clock } = this.parts.durable.core.binding
    const sessionId = ids.seed()
    const now = clock.now()
    const { head, initialize, records } = this.parts.records.begun(sessionId, owner, request, now)
    const room = makeRoom(this.#entries, this.parts.options, head)
    if (room.kind === 'full') throw new TooManySessions(room.limit)
    const entry = new Entry(head, now, false)
    this.#entries.set(sessionId, entry)
    const keep = async () => {
      await this.parts.records.records.write(records).catch((error: unknown) => {
        this.#entries.delete(sessionId)
        throw error
      })
      entry.isKept = true
    }
    const make = async () => {
      await this.#closeForRoom(room.closes)
      return Session.begin(this.parts, this.#startOf(sessionId, head, initialize), keep)
    }
    const session = entry.make(make())
    session.catch(() => this.#entries.delete(sessionId))
    return session
  }

  /** Deletes a session with all of its records. */
  async drop(sessionId: string): Promise<void> {
    const entry = this.#entries.get(sessionId)
    if (!this.#entries.delete(sessionId)) return
    const session = await entry?.session?.catch(() => undefined)
    await session?.close()
    await this.parts.records.drop(sessionId)
  }

  /** Closes every connection. The sessions stay in the store for the next process. */
  async close(): Promise<void> {
    this.#closed = true
    this.#disarm()
    await this.ready.catch(() => {})
    for (const { session } of this.#entries.values()) await (await session?.catch(() => undefined))?.close()
    await this.#tidying
  }

  async #boot(): Promise<void> {
    const { records } = this.parts
    const { sessions, old } = await records.readSessions()
    for (const found of sessions) this.#add(found)
    for (const sessionId of old) {
      const found = await records.renew(sessionId)
      if (found) this.#add(found)
    }
    for (const sessionId of await records.readSessionsWithOpen()) {
      const entry = this.#entries.get(sessionId)
      // Begun without waiting: one session that cannot be resumed must not delay the others.
      if (entry) this.#again(sessionId, entry).catch(() => {})
    }
    const room = makeRoom(this.#entries, this.parts.options)
    if (room.kind === 'room') await this.#closeForRoom(room.closes)
    this.#tidying = this.#tidy().catch((error: unknown) => {
      const { logger } = this.parts.durable.core.binding
      if (!this.#closed && !isStoreAway(error))
        logger.debug('What deleted sessions left could not be deleted', { error: faultOf(error) })
    })
  }

  #add({ sessionId, head, seenAt }: FoundSession): void {
    const entry = new Entry(head, seenAt ?? head.createdAt, true)
    entry.notedAt = seenAt
    this.#entries.set(sessionId, entry)
  }

  /** Deletes records that belong to no session: a process may have crashed while it deleted one. */
  async #tidy(): Promise<void> {
    for (const sessionId of await this.parts.records.readSessionsWithRest()) {
      if (this.#closed) return
      if (!this.#entries.has(sessionId)) await this.parts.records.drop(sessionId)
    }
  }

  #again(sessionId: string, entry: Entry): Promise<Session> {
    const { records, durable } = this.parts
    const make = async () => {
      const initialize = await records.readInitialize(sessionId)
      if (!initialize) throw new Error('What it began with is not in the store')
      return Session.again(this.parts, this.#startOf(sessionId, entry.head, initialize))
    }
    const session = entry.make(make())
    session.catch((error: unknown) => {
      // The client receives the error, and tries again.
      if (isStoreAway(error)) return
      const { logger } = durable.core.binding
      logger.error('A session could not be restored', { sessionId, error: faultOf(error) })
    })
    return session
  }

  #startOf(sessionId: string, { owner, address }: SessionHead, initialize: JSONRPCRequest): SessionStart {
    const { options, durable } = this.parts
    const account = durable.core.options.access === 'open' ? address : owner
    return { sessionId, owner, initialize, requests: new OpenRequests(options, account, this.#openRequests) }
  }

  #touch(sessionId: string, entry: Entry): void {
    const { durable, records } = this.parts
    entry.seenAt = durable.core.binding.clock.now()
    if (entry.notedAt !== undefined && entry.seenAt < entry.notedAt + NOTED_EVERY_MS) return
    entry.notedAt = entry.seenAt
    records.records.write([records.seen(sessionId, entry.seenAt)]).catch(() => {}) // The next use of the session writes the instant.
  }

  async #closeForRoom(closes: ReadonlyMap<string, keyof SessionLimits>): Promise<void> {
    if (closes.size === 0) return
    const { clock, logger } = this.parts.durable.core.binding
    this.#closedForRoom += closes.size
    if (this.#warnedAt === undefined || this.#warnedAt + WARNED_EVERY_MS <= clock.now()) {
      this.#warnedAt = clock.now()
      const limits = [...new Set(closes.values())]
      logger.warn(
        'Sessions were closed to make room for new ones. If their clients are well-behaved, raise the limit.',
        {
          sessions: this.#closedForRoom,
          limits,
        },
      )
      this.#closedForRoom = 0
    }
    await Promise.all([...closes.keys()].map((sessionId) => this.drop(sessionId)))
  }

  /** Unloads a session that was idle for long enough. */
  async #letGo(entry: Entry, session: Session): Promise<void> {
    const { clock } = this.parts.durable.core.binding
    const isIdle = session.isIdle && entry.seenAt + IDLE_AFTER_MS < clock.now()
    if (!isIdle || !entry.isKept || this.#closed) return
    entry.letGo()
    await session.close()
  }

  #arm(): void {
    if (this.#closed) return
    const { clock } = this.parts.durable.core.binding
    const sweep = () => {
      this.#sweep()
        .catch((error: unknown) => {
          const { logger } = this.parts.durable.core.binding
          if (!this.#closed && !isStoreAway(error))
            logger.debug('Sessions could not be swept', { error: faultOf(error) })
        })
        .finally(() => this.#arm())
    }
    this.#disarm = clock.setTimer(clock.now() + SWEEP_EVERY_MS, sweep, { background: true, elapsed: true })
  }

  async #sweep(): Promise<void> {
    const before = this.parts.durable.core.binding.clock.now() - this.parts.options.sessionTtlMs
    for (const [sessionId, entry] of [...this.#entries]) {
      const session = await entry.session?.catch(() => undefined)
      // A session with a reader is in use, even if there are no requests.
      if (session?.events.connections.has()) this.#touch(sessionId, entry)
      if (entry.seenAt < before) {
        await this.drop(sessionId)
        continue
      }
      if (session) {
        await session.dropAway()
        entry.hasOldEvents = await session.events.sweep()
        await this.#letGo(entry, session)
      } else if (entry.hasOldEvents) {
        const { records, durable, options } = this.parts
        const events = new SessionEvents(sessionId, records, durable.core, options)
        await events.load()
        entry.hasOldEvents = await events.sweep()
      }
    }
  }
}
