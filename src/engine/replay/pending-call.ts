/** Pending calls of a body, their answers, and the ways a run can end. */

import { fromJson } from '../../base/json.js'
import type { LazyAbort } from '../../base/lazy-abort.js'
import type { Parked } from '../../task/head.js'
import type { Ask } from '../../task/log/history.js'
import { stepFailure, waitFailure } from '../../task/log/outcome.js'
import type { PendingRecord } from '../../task/log/pending-record.js'
import type { LogRecord } from '../../task/log/records.js'
import type { Branch } from './branch-scopes.js'

/** How a run came to its end, as far as the engine has to do something about it. */
export type RunEnd =
  | { readonly kind: 'returned'; readonly value: unknown }
  /** `isFinal`: the engine refused the body, and no other attempt could end differently. */
  | { readonly kind: 'threw'; readonly error: unknown; readonly isFinal?: boolean }
  | { readonly kind: 'park'; readonly code: Parked['code']; readonly reason: string }
  /** It only waits, for long: it is replayed when the wait ends. */
  | { readonly kind: 'unload'; readonly wakeAt: number; readonly listens: boolean }
  /** Interrupted, or left for the next open. */
  | { readonly kind: 'over' }

/** Something the body waits for. */
export interface PendingCall {
  readonly ask: Ask
  /** The number of the turn that the call was made in. */
  readonly turn: number
  /** The branch that asks; none for the body itself. */
  readonly branch: Branch | undefined
  /** True if its record takes others out of the log. */
  readonly prunes: boolean | undefined
  /** Does what was asked for, once the log is used up, and records it. */
  readonly begin: () => Promise<void>
  readonly resolve: (value: unknown) => void
  readonly reject: (error: unknown) => void
  /** When it began. */
  startedAt?: number
  /** Aborts its function. Its own, and each attempt's, so that what is over hears nothing of what comes later. */
  aborter?: LazyAbort
  /** Its function, while that continues. */
  working?: Promise<unknown> | undefined
  /** True if it was aborted while its function ran. */
  aborted?: boolean
}

/** Its name and place, as a record has them. */
export function placeOf({ ask: asked }: PendingCall) {
  const { segment, scope, ask, after, name: which } = asked
  const { name, number } = which.kind === 'checkpoint' ? { name: '', number: 0 } : which
  return { segment, scope, ask, after, name, number }
}

/** What is noted of it before anything happened to it. */
export function newPendingRecord({ ask: asked }: PendingCall): PendingRecord {
  const { id, segment, scope, ask, after } = asked
  return { id, segment, scope, ask, after, failedAttempts: 0 }
}

/** Hands a recorded answer to the body that waits for it: the same value, or the same error, in every run. */
export function handAnswer(record: LogRecord, { resolve, reject }: PendingCall): void {
  const failure = failureOf(record)
  if (failure) reject(failure)
  else resolve(valueIn(record))
}

function failureOf(record: LogRecord): Error | undefined {
  if (!('failed' in record) || record.failed === undefined) return undefined
  const { kind, name, seq, failed } = record
  return kind === 'step' || kind === 'child' ? stepFailure(name, seq, failed, kind) : waitFailure(seq, failed)
}

function valueIn(record: LogRecord): unknown {
  if (record.kind === 'checkpoint') return { checkpointId: record.checkpointId }
  if (record.kind === 'decision') return record.branch
  return 'value' in record ? fromJson(record.value) : undefined
}
