/**
 * The compactions of a store: of ranges with many deletion marks, by themselves, and of all keys, for an operator. Owns the
 * counts of marks. One runs at a time.
 */
import { faultOf } from '../../base/fault.js'
import type { Logger } from '../../base/logger.js'
import { type CompactionReport, compactSlices, type SliceOptions, type UseLevel } from './compact-slices.js'
import * as layout from './layout.js'
import type { Level } from './level.js'
import { SweptRanges } from './swept-ranges.js'

// Every settled task leaves a deletion mark in the live range. Every open reads these marks, until the range is
// compacted.
const SETTLED_PER_COMPACTION = 20_000

/** The database that is compacted. */
export interface CompactedDatabase {
  readonly isUp: boolean
  /** @throws HoldfastError while there is none */
  readonly level: Level
  /** @throws HoldfastError if the database cannot be used */
  readonly read: UseLevel
}

export class Compactions {
  readonly #swept = new SweptRanges()
  #settled = 0
  #running: Promise<void> | undefined

  constructor(
    private readonly database: CompactedDatabase,
    private readonly logger: Logger,
  ) {}

  /** True while a compaction runs. */
  get isRunning(): boolean {
    return this.#running !== undefined
  }

  /** Counts what the sweep of a task deleted from the ranges that lists read. Compacts a range with many deletion marks. */
  noteSwept(keys: readonly string[]): void {
    this.#swept.count(keys)
    if (this.#running || !this.database.isUp) return
    const range = this.#swept.take()
    if (range) this.#compact(range)
  }

  /** Counts a settled task. Compacts the range of live tasks after many. */
  noteSettled(): void {
    this.#settled++
    if (this.#settled < SETTLED_PER_COMPACTION || this.#running || !this.database.isUp) return
    this.#settled = 0
    this.#compact(layout.under(layout.LIVE))
  }

  /** Compacts all keys. @throws HoldfastError as `read`; as `beforeSlice` */
  async compactAll(options: SliceOptions): Promise<CompactionReport> {
    while (this.#running) await this.#running
    const compacting = compactSlices((use) => this.database.read(use), options)
    this.#run(compacting.then(() => {}))
    return compacting
  }

  #compact({ gte, lt }: layout.KeyRange): void {
    this.#run(this.database.level.compactRange(gte, lt))
  }

  #run(compacting: Promise<void>): void {
    this.#running = compacting
      .catch((cause: unknown) => this.logger.debug('A range could not be compacted', { cause: faultOf(cause) }))
      .finally(() => {
        this.#running = undefined
      })
  }
}
