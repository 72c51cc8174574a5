/** Pending calls of a body, their answers, and the ways a run can end. */

import { fromJson } from '../../base/json.js'
import type { LazyAbort } from '../../base/lazy-abort.js'
import type { Parked } from '../../task/head.js'
import type { Ask } from '../../task/log/history.js'
import { stepFailure, waitFailure } from '../../task/log/outcome.js'
import type { PendingRecord } from '../../task/log/pending-record.js'
import type { LogRecord } from '../../task/log/records.js'
import type { TelemetrySpan } from '../../task/telemetry.js'
import type { Branch } from './branch-scopes.js'

/** The end of a run, by the action that the engine takes. */
export type RunEnd =
  | { readonly kind: 'returned'; readonly value: unknown }
  /** `isFinal`: the engine refused the body, and no other attempt could end differently. */
  | { readonly kind: 'threw'; readonly error: unknown; readonly isFinal?: boolean }
  | { readonly kind: 'park'; readonly code: Parked['code']; readonly reason: string }
  /** The body only waits. The run is unloaded, and replayed when the wait ends. */
  | {
      readonly kind: 'unload'
      readonly wakeAt: number
      readonly listens: boolean
      /** The pending record of the wait, if it is not on disk yet: the commit of the unload writes it. */
      readonly begun?: PendingRecord
    }
  /** The run was interrupted, or left for the next open. */
  | { readonly kind: 'over' }

/** Effects of the record of a call. */
export interface RecordEffects {
  /** True for a checkpoint with `prune`, whose record removes others from the log. */
  readonly prunes?: boolean | undefined
  /** True if it waits for the next commit. */
  readonly isDeferred?: boolean | undefined
}

/** A call of the body without a recorded result. */
export class PendingCall implements RecordEffects {
  readonly prunes: boolean | undefined
  readonly isDeferred: boolean | undefined
  /** The promise of the body. It never raises an unhandled rejection. */
  readonly answer: Promise<unknown>
  /** Instant at which the call began. */
  startedAt: number | undefined = undefined
  /**
   * Aborts the signal of the running attempt. Each attempt has its own, so that an earlier attempt is not aborted
   * later.
   */
  aborter: LazyAbort | undefined = undefined
  /** The promise of the function, while it runs. */
  working: Promise<unknown> | undefined = undefined
  /** The span of the attempt, if telemetry is on. */
  span: TelemetrySpan | undefined = undefined
  /** True if the signal was aborted while the function ran. */
  aborted = false
  #resolve!: (value: unknown) => void
  #reject!: (error: unknown) => void

  constructor(
    readonly ask: Ask,
    /** The number of the turn that the call was made in. */
    readonly turn: number,
    /** The branch that made the call. `undefined` for the body itself. */
    readonly branch: Branch | undefined,
    effects: RecordEffects | undefined,
    private readonly run: (asked: PendingCall) => void,
  ) {
    this.prunes = effects?.prunes
    this.isDeferred = effects?.isDeferred
    this.answer = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
  }

  /** Runs the call and records its result. Called after the replay. Never throws. */
  begin(): void {
    this.run(this)
  }

  resolve(value: unknown): void {
    this.#resolve(value)
  }

  reject(error: unknown): void {
    // Only now, because the handler takes a promise, and few calls are rejected.
    this.answer.catch(ignore)
    this.#reject(error)
  }
}

function ignore(): void {}

/** The name and place of a call, as fields of a record. */
export function placeOf({ ask: asked }: PendingCall) {
  const { segment, scope, ask, after, name: which } = asked
  const { name, number } = which.kind === 'checkpoint' ? { name: '', number: 0 } : which
  return { segment, scope, ask, after, name, number }
}

/** The first pending record of a call. */
export function newPendingRecord({ ask: asked }: PendingCall): PendingRecord {
  const { id, segment, scope, ask, after } = asked
  return { id, segment, scope, ask, after, failedAttempts: 0 }
}

/** Resolves or rejects a pending call with its record: the same value, or the same error, in every run. */
export function handAnswer(record: LogRecord, asked: PendingCall): void {
  const failure = failureOf(record)
  if (failure) asked.reject(failure)
  else asked.resolve(valueIn(record))
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

/** True if the branch that asks has lost. */
export function hasLost({ branch }: PendingCall): boolean {
  return branch?.isOver === true
}
