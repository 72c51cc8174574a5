/**
 * For the negative control: without rule 1. A checkpoint opens no segment, so names are numbered through from the first
 * line of the body, and a restore moves nothing.
 */
import type { Ask, History } from '../../../src/task/log/history.js'
import type { CheckpointRecord, LogRecord, NamedKind, RecordName } from '../../../src/task/log/records.js'

/** What the engine uses of a history. */
type AsUsed = { [Member in keyof History]: History[Member] }

const PREFIX = -1

export class HistoryOfOneSegment implements AsUsed {
  readonly segment = PREFIX
  position = -1
  saved: CheckpointRecord | undefined
  readonly #records: LogRecord[]
  readonly #numbers = new Map<string, number>()
  #asks = 0
  #saves = 0

  constructor(records: readonly LogRecord[]) {
    this.#records = [...records]
  }

  get newest(): number {
    return this.#records.at(-1)?.seq ?? -1
  }

  get asked(): boolean {
    return this.#asks > 0
  }

  isAhead({ ask }: { readonly ask: number }): boolean {
    return ask >= this.#asks
  }

  isRecorded(): boolean {
    return false
  }

  checkpoint(checkpointId?: string): CheckpointRecord | undefined {
    const saved = this.#ahead().filter((record) => record.kind === 'checkpoint')
    return checkpointId === undefined ? saved.at(-1) : saved.find((record) => record.checkpointId === checkpointId)
  }

  saves(): readonly CheckpointRecord[] {
    return []
  }

  askNamed(kind: NamedKind, name: string): Ask {
    return this.askNumbered(kind, name, this.nextNumber(kind, name))
  }

  askNumbered(kind: NamedKind, name: string, number: number): Ask {
    return this.#ask({ kind, name, number })
  }

  nextNumber(_kind: string, name: string): number {
    const number = (this.#numbers.get(name) ?? 0) + 1
    this.#numbers.set(name, number)
    return number
  }

  askCheckpoint(): Ask {
    return this.#ask({ kind: 'checkpoint', opens: ++this.#saves })
  }

  next(): LogRecord | undefined {
    return this.#ahead()[0]
  }

  add(record: LogRecord): void {
    this.#records.push(record)
  }

  handOver(record: LogRecord): void {
    this.position = record.seq
    if (record.kind === 'checkpoint') this.saved = record
  }

  restore(checkpoint: CheckpointRecord | undefined): void {
    this.saved = checkpoint
  }

  leftBehind(): LogRecord | undefined {
    return undefined
  }

  #ask(name: RecordName): Ask {
    const which = name.kind === 'checkpoint' ? name.opens : `${name.name}\n${name.number}`
    const id = `${PREFIX}\n\n${name.kind}\n${which}`
    return { id, segment: PREFIX, scope: '', name, ask: this.#asks++, after: this.position }
  }

  #ahead(): LogRecord[] {
    return this.#records.filter(({ seq }) => seq > this.position)
  }
}
