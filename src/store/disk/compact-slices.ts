/**
 * Compacts the whole database a slice at a time. Reads of ranges wait during a slice (compaction-turns.ts), and LevelDB
 * merges no new tables then, so that writes become slow in the end. So slices are small, and pauses follow them.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { middleOf } from './key-middle.js'
import type { KeyRange } from './layout.js'
import type { Level } from './level.js'

/** All keys: they begin with a letter. */
const ALL: KeyRange = { gte: '!', lt: '\u007f' }

/** Bytes of tables in a slice. Their compaction takes a few tenths of a second. */
const SLICE_BYTES = 16 * 1_048_576

/** Options of a compaction. */
export interface SliceOptions {
  /** Called before each slice. A rejection ends the compaction. */
  readonly beforeSlice: () => Promise<void>
  /** Receives the bytes of tables that were compacted, and of all at the begin. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined
  /** True to pause after each slice for as long as it took. */
  readonly withPauses: boolean
  readonly sliceBytes?: number
}

/** Bytes of tables before and after a compaction. */
export interface CompactionReport {
  readonly bytesBefore: number
  readonly bytesAfter: number
}

/** Calls the database, which is another one after an outage. @throws HoldfastError if it cannot be used */
export type UseLevel = <T>(use: (level: Level) => Promise<T>) => Promise<T>

/** Compacts all keys. @throws as `use` and as `beforeSlice` */
export async function compactSlices(use: UseLevel, options: SliceOptions): Promise<CompactionReport> {
  const { sliceBytes = SLICE_BYTES, beforeSlice, onProgress, withPauses } = options
  const sizeOf = ({ gte, lt }: KeyRange) => use((level) => level.approximateSize(gte, lt))
  const bytesBefore = await sizeOf(ALL)
  let done = 0
  for await (const { gte, lt, bytes } of slicesOf(ALL, sizeOf, sliceBytes)) {
    await beforeSlice()
    const beganAt = performance.now()
    await use((level) => level.compactRange(gte, lt))
    done += bytes
    onProgress?.(Math.min(done, bytesBefore), bytesBefore)
    if (withPauses) await pause(performance.now() - beganAt)
  }
  return { bytesBefore, bytesAfter: await sizeOf(ALL) }
}

type Slice = KeyRange & { readonly bytes: number }
type SizeOf = (range: KeyRange) => Promise<number>

/** Splits a range into slices of at most `bytesMax`, in order and without gaps. A slice that cannot be split may be larger. */
async function* slicesOf(range: KeyRange, sizeOf: SizeOf, bytesMax: number): AsyncGenerator<Slice> {
  let { gte, bytes } = { gte: range.gte, bytes: 0 }
  let lt = range.gte
  for await (const part of partsOf(range, sizeOf, bytesMax)) {
    if (bytes > 0 && bytes + part.bytes > bytesMax) {
      yield { gte, lt, bytes }
      gte = lt
      bytes = 0
    }
    bytes += part.bytes
    lt = part.lt
  }
  yield { gte, lt, bytes }
}

/** Halves a range until no part is larger than `bytesMax`. */
async function* partsOf({ gte, lt }: KeyRange, sizeOf: SizeOf, bytesMax: number): AsyncGenerator<Slice> {
  const bytes = await sizeOf({ gte, lt })
  const middle = bytes > bytesMax ? middleOf(gte, lt) : undefined
  if (middle === undefined) yield { gte, lt, bytes }
  else {
    yield* partsOf({ gte, lt: middle }, sizeOf, bytesMax)
    yield* partsOf({ gte: middle, lt }, sizeOf, bytesMax)
  }
}
