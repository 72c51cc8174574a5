/**
 * The log as a replay walks through it: what is recorded, how far it has been
 * handed over, and what the body asks for meanwhile. In memory only, and pure:
 * it neither reads nor waits, so every rule of the log can be tested on a list.
 *
 * history-1. Records that share a name are numbered as they are asked for, anew in each segment (rule 1).
 * - Answers are handed over in the order of the records (rule 2).
 * - Asks are counted per scope. One whose index or identity differs from what is recorded is a change of code (rule 3).
 */

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

/** An ask that has its identity and its place. */
export interface Ask {
  readonly id: string
  readonly segment: number
  readonly scope: string
  readonly name: RecordName
  readonly ask: number
  readonly after: number
}

/** The body does not match its log. The engine parks the task with this sentence; no body sees it. */
export class CodeChanged extends Error {}

// Records handed over are let go of in blocks: shifting a long list at every step would cost more than it frees.
const HANDED_OVER_KEPT = 256

/** The log of one run. */
export class History {
  readonly #records: LogRecord[]
  readonly #byAsk = new Map<number | string, LogRecord>()
  readonly #numbers = new Map<string, number>()
  readonly #asks = new Map<string, number>()
  #next = 0
  #segment = PREFIX
  #position = -1
  #saved: CheckpointRecord | undefined
  #saves: CheckpointRecord[] = []

  /** @param records what is kept of the log, in the order of the records */
  constructor(records: readonly LogRecord[]) {
    this.#records = [...records]
    for (const record of records) this.#index(record)
  }

  /** The segment that the body is in. */
  get segment(): number {
    return this.#segment
  }

  /** The record handed over last; -1 before any. */
  get position(): number {
    return this.#position
  }

  /** True if the body has asked for anything in its segment. */
  get asked(): boolean {
    return this.#asks.size > 0
  }

  /** True if the body has not come to that place yet. */
  isAhead({ segment, scope, ask }: Pick<Ask, 'segment' | 'scope' | 'ask'>): boolean {
    return segment > this.#segment || (segment === this.#segment && ask >= (this.#asks.get(scope) ?? 0))
  }

  /** True if the log has the answer of an ask that was just given its place. */
  isRecorded({ segment, scope, ask }: Ask): boolean {
    return this.#byAsk.size > 0 && this.#byAsk.has(place(segment, scope, ask))
  }

  /** The checkpoint that opened the segment the body is in, if it walked there. */
  get saved(): CheckpointRecord | undefined {
    return this.#saved
  }

  /**
   * The checkpoint that a body saved last, or the one of that ID, of those ahead of the body.
   * @param kept only the newest so many have a state still
   */
  checkpoint(checkpointId?: string, kept = Number.POSITIVE_INFINITY): CheckpointRecord | undefined {
    const ahead = this.#records.slice(this.#next).filter((record) => record.kind === 'checkpoint')
    const restorable = ahead.slice(Math.max(0, ahead.length - kept))
    const wanted = (record: CheckpointRecord) => checkpointId === undefined || record.checkpointId === checkpointId
    return restorable.findLast(wanted)
  }

  /** The newest checkpoints of the body, as many as have a state still. What is older is let go of here too. */
  saves(kept: number): readonly CheckpointRecord[] {
    this.#saves = kept === 0 ? [] : this.#saves.slice(-kept)
    return this.#saves
  }

  /** Gives an ask its number (history-1) and its place. */
  askNamed(kind: NamedKind, name: string, scope = ''): Ask {
    return this.askNumbered(kind, name, this.nextNumber(kind, name, scope), scope)
  }

  /** Gives an ask that has its number already its place. */
  askNumbered(kind: NamedKind, name: string, number: number, scope: string): Ask {
    return this.#ask({ kind, name, number }, scope)
  }

  /** Counts what shares a name in the segment and scope (history-1). */
  nextNumber(kind: string, name: string, scope: string): number {
    const counted = `${scope}\n${kind}\n${name}`
    const number = (this.#numbers.get(counted) ?? 0) + 1
    this.#numbers.set(counted, number)
    return number
  }

  /** Gives an ask to save a checkpoint its place. */
  askCheckpoint(): Ask {
    return this.#ask({ kind: 'checkpoint', opens: Math.max(this.#segment, 0) + 1 }, '')
  }

  /** The next record that is not handed over yet. */
  next(): LogRecord | undefined {
    return this.#records[this.#next]
  }

  /** A record that was written meanwhile. */
  add(record: LogRecord): void {
    this.#records.push(record)
    this.#index(record)
  }

  /** Notes that the next record is handed over; a checkpoint moves the body on to the segment it opens. */
  handOver(record: LogRecord): void {
    this.#next++
    this.#position = record.seq
    this.#forget(record)
    if (record.kind === 'checkpoint') {
      this.#saved = record
      this.#enter(record.opens)
    }
  }

  /** Moves to the segment that `checkpoint` opened, or to segment 0 where there is none yet. */
  restore(checkpoint: CheckpointRecord | undefined): void {
    if (checkpoint) {
      this.#saved = checkpoint
      this.#position = checkpoint.seq
      while ((this.#records[this.#next]?.seq ?? Number.POSITIVE_INFINITY) <= checkpoint.seq) this.#next++
    }
    this.#enter(checkpoint?.opens ?? 0)
  }

  /** The first record ahead that nobody has asked for, but for those that are passed over. */
  leftBehind(waiting: ReadonlyMap<string, unknown>, isPassedOver = (_: LogRecord) => false): LogRecord | undefined {
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
    if (there && idOf(there) !== id) {
      throw new CodeChanged(
        `the log has ${describeRecord(there)} where the code now asks for ${describeRecord(name)}${BEHIND_PATCHED}`,
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
    if (record.kind === 'checkpoint') this.#saves.push(record)
    this.#byAsk.set(place(record.segment, record.scope, record.ask), record)
  }

  // What is handed over is done with: a task of a million steps must not be held in memory.
  #forget(record: LogRecord): void {
    if (this.#next >= HANDED_OVER_KEPT) {
      this.#records.splice(0, this.#next)
      this.#next = 0
    }
    this.#byAsk.delete(place(record.segment, record.scope, record.ask))
  }
}

// One number for both: a text for each record of a long log costs more than the map. Branches are few.
function place(segment: number, scope: string, ask: number): number | string {
  const number = (segment - PREFIX) * 2 ** 24 + ask
  return scope === '' ? number : `${scope}\n${number}`
}

/** The identity of a record. */
export function idOf(record: LogRecord): string {
  return recordId(record.segment, record.scope, record)
}
