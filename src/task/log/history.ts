/**
 * The log during a replay: the records, the position that the body has reached, and the calls that the body makes. In
 * memory only, and pure: nothing here reads or waits, so every rule of the log can be tested on a list.
 *
 * history-1. Calls that share a name are numbered in the order in which they are made, from 1 in each segment (rule 1).
 * - The body receives answers in the order of the records (rule 2).
 * - Calls are counted per scope. A call whose index or identity differs from the record is a change of code (rule 3).
 */

import { SmallMap } from '../../base/collections.js'
import {
  BEHIND_PATCHED,
  type CheckpointRecord,
  describeRecord,
  type LogRecord,
  type NamedKind,
  type RecordName,
  recordId,
} from './records.js'
import { PREFIX } from './segment.js'

/** A call of the body, with its identity and its place in the log. */
export interface Ask {
  readonly id: string
  readonly segment: number
  readonly scope: string
  readonly name: RecordName
  readonly ask: number
  readonly after: number
}

/**
 * Thrown if the body does not match its log. The engine parks the task with this message. The body never receives the
 * error.
 */
export class CodeChanged extends Error {}

// Records that the body has received are removed in blocks. Removing one at every step would move the rest of a long
// list.
const HANDED_OVER_KEPT = 256

/** The log of one run of a body. */
export class History {
  readonly #records: LogRecord[]
  readonly #byAsk = new SmallMap<number | string, LogRecord>()
  readonly #numbers = new SmallMap<string, SmallMap<string, number>>()
  readonly #asks = new SmallMap<string, number>()
  #next = 0
  #segment = PREFIX
  #position = -1
  #newest = -1
  #saved: CheckpointRecord | undefined
  #saves: CheckpointRecord[] = []

  /** @param records the kept records of the log, in their order */
  constructor(records: readonly LogRecord[]) {
    this.#records = [...records]
    for (const record of records) this.#index(record)
  }

  /** The segment that the body has reached. */
  get segment(): number {
    return this.#segment
  }

  /** The number of the record that the body received last. -1 before the first. */
  get position(): number {
    return this.#position
  }

  /** Number of the record that was added last; -1 before any. */
  get newest(): number {
    return this.#newest
  }

  /** True if the body has made a call in its current segment. */
  get asked(): boolean {
    return this.#asks.size > 0
  }

  /** True if the body has not reached that place yet. */
  isAhead({ segment, scope, ask }: Pick<Ask, 'segment' | 'scope' | 'ask'>): boolean {
    return segment > this.#segment || (segment === this.#segment && ask >= (this.#asks.get(scope) ?? 0))
  }

  /** True if the log has the answer of a call that the body just made. */
  isRecorded({ segment, scope, ask }: Ask): boolean {
    return this.#byAsk.size > 0 && this.#byAsk.has(place(segment, scope, ask))
  }

  /** The checkpoint that opened the current segment. `undefined` in the prefix and in segment 0. */
  get saved(): CheckpointRecord | undefined {
    return this.#saved
  }

  /**
   * The last checkpoint in the log that the body has not reached yet, or the one with that ID.
   * @param kept number of the newest checkpoints whose states are still kept
   */
  checkpoint(checkpointId?: string, kept = Number.POSITIVE_INFINITY): CheckpointRecord | undefined {
    const ahead = this.#records.slice(this.#next).filter((record) => record.kind === 'checkpoint')
    const restorable = ahead.slice(Math.max(0, ahead.length - kept))
    const wanted = (record: CheckpointRecord) => checkpointId === undefined || record.checkpointId === checkpointId
    return restorable.findLast(wanted)
  }

  /** The newest `kept` checkpoints of the body. Older ones are removed from memory. */
  saves(kept: number): readonly CheckpointRecord[] {
    this.#saves = kept === 0 ? [] : this.#saves.slice(-kept)
    return this.#saves
  }

  /** Gives a call its number (history-1) and its place. */
  askNamed(kind: NamedKind, name: string, scope = ''): Ask {
    return this.askNumbered(kind, name, this.nextNumber(kind, name, scope), scope)
  }

  /** Gives a call that already has a number its place. */
  askNumbered(kind: NamedKind, name: string, number: number, scope: string): Ask {
    return this.#ask({ kind, name, number }, scope)
  }

  /** Counts the calls that share a name in the segment and scope (history-1). */
  nextNumber(kind: string, name: string, scope: string): number {
    // Outside a branch no text is made for the look-up: a replay counts each record of the log.
    const counted = scope === '' ? kind : `${scope}\n${kind}`
    let numbers = this.#numbers.get(counted)
    if (!numbers) {
      numbers = new SmallMap()
      this.#numbers.set(counted, numbers)
    }
    const number = (numbers.get(name) ?? 0) + 1
    numbers.set(name, number)
    return number
  }

  /** Gives a call that saves a checkpoint its place. */
  askCheckpoint(): Ask {
    return this.#ask({ kind: 'checkpoint', opens: Math.max(this.#segment, 0) + 1 }, '')
  }

  /** The next record that the body has not received. */
  next(): LogRecord | undefined {
    return this.#records[this.#next]
  }

  /** Adds a record that this run committed. */
  add(record: LogRecord): void {
    this.#records.push(record)
    this.#index(record)
  }

  /** Marks the next record as received. A checkpoint moves the body to the segment that it opens. */
  handOver(record: LogRecord): void {
    this.#next++
    this.#position = record.seq
    this.#forget(record)
    if (record.kind === 'checkpoint') {
      this.#saved = record
      this.#enter(record.opens)
    }
  }

  /** Moves to the segment that `checkpoint` opened, or to segment 0 without a checkpoint. */
  restore(checkpoint: CheckpointRecord | undefined): void {
    if (checkpoint) {
      this.#saved = checkpoint
      this.#position = checkpoint.seq
      while ((this.#records[this.#next]?.seq ?? Number.POSITIVE_INFINITY) <= checkpoint.seq) this.#next++
    }
    this.#enter(checkpoint?.opens ?? 0)
  }

  /** The first record ahead that no call in `waiting` matches. Records of `isPassedOver` are skipped. */
  leftBehind(
    waiting: Pick<ReadonlyMap<string, unknown>, 'has'>,
    isPassedOver = (_: LogRecord) => false,
  ): LogRecord | undefined {
    for (let at = this.#next; at < this.#records.length; at++) {
      const record = this.#records[at] as LogRecord
      if (!waiting.has(idOf(record)) && !isPassedOver(record)) return record
    }
    return undefined
  }

  #ask(name: RecordName, scope: string): Ask {
    const ask = this.#asks.get(scope) ?? 0
    this.#asks.set(scope, ask + 1)
    const id = recordId(this.#segment, scope, name)
    const there = this.#byAsk.get(place(this.#segment, scope, ask))
    if (there && !isNamed(there, name)) {
      throw new CodeChanged(
        `the log has ${describeRecord(there)} where the code now calls ${describeRecord(name)}${BEHIND_PATCHED}`,
      )
    }
    return { id, segment: this.#segment, scope, name, ask, after: this.#position }
  }

  #enter(segment: number): void {
    if (this.#segment === segment) return
    this.#segment = segment
    this.#numbers.clear()
    this.#asks.clear()
  }

  #index(record: LogRecord): void {
    this.#newest = record.seq
    if (record.kind === 'checkpoint') this.#saves.push(record)
    this.#byAsk.set(place(record.segment, record.scope, record.ask), record)
  }

  // Removes a received record. Without this, all records of a task of a million steps would stay in memory.
  #forget(record: LogRecord): void {
    if (this.#next >= HANDED_OVER_KEPT) {
      this.#records.splice(0, this.#next)
      this.#next = 0
    }
    this.#byAsk.delete(place(record.segment, record.scope, record.ask))
  }
}

// A number as key where possible. A text for each record of a long log would need more memory than the map itself.
function place(segment: number, scope: string, ask: number): number | string {
  const number = (segment - PREFIX) * 2 ** 24 + ask
  return scope === '' ? number : `${scope}\n${number}`
}

/** True if the record of a place has the name of the call at that place. */
function isNamed(record: LogRecord, name: RecordName): boolean {
  if (record.kind === 'checkpoint') return name.kind === 'checkpoint' && record.opens === name.opens
  return name.kind === record.kind && record.name === name.name && record.number === name.number
}

/** The identity of a record. */
export function idOf(record: LogRecord): string {
  return recordId(record.segment, record.scope, record)
}
