/**
 * Every session there is: in memory, and of those that an earlier process left, what is on disk until their client comes
 * back. Limits them, drops what is not used, and takes up at the start what was open.
 *
 * - A session that is idle is let go of, and made again when its client comes back, as after a restart: ten thousand
 *     that nobody uses must not fill the memory.
 * - Of a session that is not in memory only its owner, its size and two times are: what the SDK is given again is read
 *     when it is needed.
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
// Whoever fills up what there is must not fill up the log.
const WARNED_EVERY_MS = 60_000

/** A limit of sessions is reached, and all that it counts are in use. */
export class TooManySessions extends Error {
  constructor(readonly limit: keyof SessionLimits) {
    super(`Too many sessions (limit \`${limit}\`)`)
  }
}

class Entry implements SessionUse {
  /** When `seenAt` was written; `undefined` before its client's second request. */
  notedAt: number | undefined
  session: Promise<Session> | undefined
  /** The same, once it is made. */
  made: Session | undefined
  /** True if events of it may be on disk that nobody will need; of one that is not in memory. */
  hasOldEvents = true

  constructor(
    readonly head: SessionHead,
    public seenAt: number,
    /** True if it is on disk; one that its client has not finished to begin is only here. */
    public isKept: boolean,
  ) {}

  get isUsed(): boolean {
    return this.notedAt !== undefined
  }

  get isInUse(): boolean {
    return this.session !== undefined && this.made?.isIdle !== true
  }

  /** A session that is being made; one that can't be is forgotten. */
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
  /** What an earlier process left is known, and what was open is taken up. */
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
   * The session of this ID, if it is this owner's.
   * @returns `undefined` for an unknown one and for another's alike
   */
  async find(sessionId: string, owner: string): Promise<Session | undefined> {
    await this.ready
    const entry = this.#entries.get(sessionId)
    if (!entry || entry.head.owner !== owner) return undefined
    this.#touch(sessionId, entry)
    return entry.session ?? (entry.isKept ? this.#again(sessionId, entry) : undefined)
  }

  /**
   * Begins a session, and closes others where there are too many.
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
      // Begun behind the others' backs: one session that can't be taken up must not keep the rest waiting.
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

  /** Deletes what belongs to no session: a process may have died while it deleted one. */
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
      // Its client is told, and tries again.
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
    records.records.write([records.seen(sessionId, entry.seenAt)]).catch(() => {}) // The next one notes it.
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

  /** M1. */
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
      // Somebody reads: it is in use, also where nothing is asked.
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
        const events = new SessionEvents(sessionId, records, durable.core.binding.clock, options)
        await events.load()
        entry.hasOldEvents = await events.sweep()
      }
    }
  }
}
