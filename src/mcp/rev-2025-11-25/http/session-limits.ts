/**
 * Decides which sessions are closed so that another one may begin. Pure.
 *
 * session-limits-1. A session is never closed while it is in use: a client reads from it, or a request of it is
 *   unanswered.
 * - Sessions whose client made no second request are closed first, then the one that was idle for longest. So a client
 *   that begins sessions and does not use them closes its own, and the idle sessions of other clients stay.
 */
import type { CheckedHttpOptions } from './options.js'
import type { SessionHead } from './session-records.js'

/** The properties of a session that the limits depend on. */
export interface SessionUse {
  readonly head: SessionHead
  readonly seenAt: number
  /** True if the client made a request after `initialize`. */
  readonly isUsed: boolean
  readonly isInUse: boolean
}

/** Limits of sessions. */
export type SessionLimits = Pick<
  CheckedHttpOptions,
  'sessionsMax' | 'sessionsPerOwnerMax' | 'sessionsPerAddressMax' | 'sessionBytesMax'
>

/**
 * Result of `makeRoom`: the sessions to close, or the limit that refuses the new one because all counted sessions are
 * in use.
 */
export type Room =
  | { readonly kind: 'room'; readonly closes: ReadonlyMap<string, keyof SessionLimits> }
  | { readonly kind: 'full'; readonly limit: keyof SessionLimits }

/**
 * Decides which sessions to close.
 * @param newcomer the session that is to begin; without one, the existing sessions are reduced to the limits
 */
export function makeRoom(
  sessions: ReadonlyMap<string, SessionUse>,
  limits: SessionLimits,
  newcomer?: SessionHead,
): Room {
  const closes = new Map<string, keyof SessionLimits>()
  for (const { limit, counts, amountOf } of countsFor(newcomer)) {
    let amount = newcomer ? amountOf(newcomer) : 0
    for (const [sessionId, { head }] of sessions) {
      if (counts(head) && !closes.has(sessionId)) amount += amountOf(head)
    }
    while (amount > limits[limit]) {
      const sessionId = firstToGo(sessions, (id, { head }) => counts(head) && !closes.has(id))
      if (sessionId === undefined) return { kind: 'full', limit }
      closes.set(sessionId, limit)
      amount -= amountOf((sessions.get(sessionId) as SessionUse).head)
    }
  }
  return { kind: 'room', closes }
}

interface Count {
  readonly limit: keyof SessionLimits
  readonly counts: (head: SessionHead) => boolean
  readonly amountOf: (head: SessionHead) => number
}

// The narrowest limit comes first: a session that is closed for it makes room under the wider limits too.
function countsFor(newcomer: SessionHead | undefined): Count[] {
  const one = () => 1
  const all: Count[] = [
    { limit: 'sessionsMax', counts: () => true, amountOf: one },
    { limit: 'sessionBytesMax', counts: () => true, amountOf: ({ bytes }) => bytes },
  ]
  if (!newcomer) return all
  const { owner, address } = newcomer
  const ofAddress: Count[] =
    address === undefined
      ? []
      : [{ limit: 'sessionsPerAddressMax', counts: (head) => head.address === address, amountOf: one }]
  return [...ofAddress, { limit: 'sessionsPerOwnerMax', counts: (head) => head.owner === owner, amountOf: one }, ...all]
}

/** Finds the session to close by session-limits-1: never one in use. */
function firstToGo(
  sessions: ReadonlyMap<string, SessionUse>,
  counts: (sessionId: string, session: SessionUse) => boolean,
): string | undefined {
  let first: { readonly sessionId: string; readonly session: SessionUse } | undefined
  for (const [sessionId, session] of sessions) {
    if (!counts(sessionId, session) || (first && !goesBefore(session, first.session)) || session.isInUse) continue
    first = { sessionId, session }
  }
  return first?.sessionId
}

function goesBefore(one: SessionUse, other: SessionUse): boolean {
  return one.isUsed === other.isUsed ? one.seenAt < other.seenAt : !one.isUsed
}
