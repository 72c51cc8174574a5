/**
 * The number of the newest commit, kept in a file outside the database (store-2). LevelDB opens without an error when
 * its newest log is cut short, or when an old backup replaced it. A database whose newest commit is older than the
 * anchor has lost commits.
 *
 * anchor-1. The file has two slots of 512 bytes, written in turn. A write that a power cut interrupts leaves the other
 *   slot intact.
 * anchor-2. A slot with a wrong checksum is ignored, logged, counted, and written again at the open. Two such slots are
 *   damage, and so is a missing file in a store that has commits. The anchor is the higher one of the valid slots.
 * anchor-3. Noting a commit writes nothing. A write begins in the background, once 256 commits or 100 ms are unwritten;
 *   `flush` and `close` make the anchor exact. An anchor that lags detects slightly less, and never accuses a sound
 *   database.
 * anchor-4. One write is in flight. A failed write is logged, counted and kept in `lastError`. Its slot is written
 *   again at the next note; the other slot is the last good one. A failed write fails no commit, unless the anchor has
 *   to be exact (`writeNow`).
 *
 * A slot is a line of text, padded: `holdfast-anchor 1 <seq> <storeId> <crc32>`.
 */
import { type FileHandle, open, readFile } from 'node:fs/promises'
import { crc32 } from 'node:zlib'
import type { Clock } from '../../base/clock.js'
import type { Logger } from '../../base/logger.js'
import { isMissing, writeFileAtomically } from '../disk/files.js'

/** Bytes of a slot. A disk mostly writes a sector of this size whole or not at all. anchor-1 covers the other cases. */
export const SLOT_BYTES = 512
/** Number of unwritten commits at which a write begins. */
export const LAG_COMMITS_MAX = 256
/** Age of the oldest unwritten commit at which a write begins, in milliseconds. */
export const LAG_MS_MAX = 100

const STORE_ID = /^[\w-]{1,64}$/ // A slot has room for an ID of this length.

/** Content of a slot. */
interface AnchorState {
  /** Number of the newest commit known to be on disk. */
  readonly seq: number
  readonly storeId: string
}

/** Result of reading an anchor file; `damaged` if neither slot is valid. */
export type AnchorFound = ({ readonly kind: 'sound' } & AnchorState) | { readonly kind: 'missing' | 'damaged' }

/** Reads the anchor file. */
export async function readAnchor(path: string): Promise<AnchorFound> {
  const slots = await readSlots(path)
  if (!slots) return { kind: 'missing' }
  const newest = slots[newestOf(slots)]
  return newest ? { kind: 'sound', ...newest } : { kind: 'damaged' }
}

export interface AnchorOptions {
  readonly storeId: string
  /** Number of the newest commit in the database. */
  readonly seq: number
  readonly clock: Clock
  /** False in a buffered store: the anchor is not synced, like the commits. */
  readonly durable: boolean
  readonly logger: Logger
}

/** Faults of the anchor file since the store was opened. */
export interface AnchorFaults {
  /** Writes that failed. */
  readonly failedWrites: number
  /** Slots that were found damaged at the open, and written again. */
  readonly damagedSlots: number
}

/** The open anchor file. To keep the anchor exact, the caller calls `note` and awaits `writeNow` at each commit. */
export class Anchor {
  #noted: number
  #written: number
  #inFlight: Promise<void> | undefined
  #again = false
  #disarm: (() => void) | undefined
  #lastError: Error | undefined
  #isAbandoned = false
  #failedWrites = 0

  private constructor(
    private readonly file: FileHandle,
    private readonly options: AnchorOptions,
    written: number,
    private nextSlot: 0 | 1,
    private readonly damagedSlots: number,
  ) {
    this.#noted = options.seq
    this.#written = written
  }

  /**
   * Opens the file, creates it if it is missing, and brings it to `seq`. Writes a damaged slot again. The caller has
   * compared the database with `readAnchor` before. So a file with a number above `seq`, of another store or without a
   * valid slot is replaced.
   */
  static async open(path: string, options: AnchorOptions): Promise<Anchor> {
    if (!STORE_ID.test(options.storeId)) {
      throw new TypeError(
        `Expected \`storeId\` to be 1 to 64 letters, digits, \`_\` or \`-\`, got '${options.storeId}'`,
      )
    }
    let slots = await readSlots(path)
    const found = slots?.[newestOf(slots)]
    const damagedSlots = slots ? slots.filter((slot) => slot === undefined).length : 0
    if (!slots || !found || found.storeId !== options.storeId || found.seq > options.seq) {
      const slot = encodeSlot(options)
      await writeFileAtomically(path, slot + slot)
      slots = [options, options]
    }
    const newest = newestOf(slots)
    const written = slots[newest]?.seq ?? options.seq
    const anchor = new Anchor(await open(path, 'r+'), options, written, newest === 0 ? 1 : 0, damagedSlots)
    if (damagedSlots > 0) {
      options.logger.warn(
        'Slots of the anchor file were damaged, perhaps by a power cut, and are written again. If this comes again, check the disk.',
        { path, damagedSlots },
      )
    }
    if (damagedSlots === 1) await anchor.#begin()
    else await anchor.flush()
    return anchor
  }

  /** Error of the last write; `undefined` if it succeeded. */
  get lastError(): Error | undefined {
    return this.#lastError
  }

  /** Faults of the file since it was opened. */
  get faults(): AnchorFaults {
    return { failedWrites: this.#failedWrites, damagedSlots: this.damagedSlots }
  }

  /** Records that commit `seq` is on disk. The file is written in the background. */
  note(seq: number): void {
    if (seq <= this.#noted) return
    this.#noted = seq
    const { clock } = this.options
    if (seq - this.#written >= LAG_COMMITS_MAX) void this.#begin()
    else this.#disarm ??= clock.setTimer(clock.now() + LAG_MS_MAX, () => void this.#begin(), { elapsed: true })
  }

  /** Resolves once all earlier notes are written, or their write has failed (`lastError`). */
  async flush(): Promise<void> {
    await this.#inFlight
    if (this.#isAbandoned) return
    if (this.#written < this.#noted || this.#lastError) await this.#begin()
  }

  /** Stops all writes. The file may belong to another process now, and a number of ours could accuse its database. */
  abandon(): void {
    this.#isAbandoned = true
    this.#disarm?.()
  }

  /**
   * Resolves once all earlier notes are written.
   * @throws Error with the cause, if they could not be written
   */
  async writeNow(): Promise<void> {
    await this.flush()
    if (this.#lastError) throw new Error('The anchor file could not be written', { cause: this.#lastError })
  }

  /** Writes the notes and closes the file. */
  async close(): Promise<void> {
    await this.flush()
    this.#disarm?.()
    await this.file.close()
  }

  /** Begins a write, or repeats the running one. Never rejects: a failed write is kept in `lastError` (anchor-4). */
  #begin(): Promise<void> {
    this.#disarm?.()
    this.#disarm = undefined
    if (this.#inFlight) this.#again = true
    else this.#inFlight = this.#write()
    return this.#inFlight
  }

  async #write(): Promise<void> {
    do {
      this.#again = false
      const seq = this.#noted
      try {
        const slot = Buffer.from(encodeSlot({ seq, storeId: this.options.storeId }))
        const { bytesWritten } = await this.file.write(slot, 0, SLOT_BYTES, this.nextSlot * SLOT_BYTES)
        if (bytesWritten !== SLOT_BYTES) throw new Error(`Only ${bytesWritten} of ${SLOT_BYTES} bytes were written`)
        if (this.options.durable) await this.file.datasync()
        this.nextSlot = this.nextSlot === 0 ? 1 : 0
        this.#written = seq
        if (this.#lastError) this.options.logger.warn('The anchor file could be written again')
        this.#lastError = undefined
      } catch (error) {
        this.#noteFailure(error instanceof Error ? error : new Error(String(error)))
      }
    } while (this.#again && this.#written < this.#noted && !this.#isAbandoned)
    // Cleared here, and not in a `finally` of the caller. Without this, a caller could join a write that checks
    // `#again` no more.
    this.#inFlight = undefined
  }

  #noteFailure(error: Error): void {
    this.#failedWrites++
    // One line for each outage, not for each write: a busy store tries ten times a second.
    if (!this.#lastError) {
      this.options.logger.error(
        'The anchor file cannot be written. Until it can, a database that was rolled back may go unnoticed. Check the disk.',
        { error: error.message, failedWrites: this.#failedWrites },
      )
    }
    this.#lastError = error
  }
}

/** An anchor without a file. It writes nothing and never fails. */
export const NO_ANCHOR = {
  faults: { failedWrites: 0, damagedSlots: 0 },
  note() {},
  async writeNow() {},
  async close() {},
  abandon() {},
}

type Slots = readonly [AnchorState | undefined, AnchorState | undefined]

async function readSlots(path: string): Promise<Slots | undefined> {
  try {
    const bytes = await readFile(path)
    return [decodeSlot(bytes.subarray(0, SLOT_BYTES)), decodeSlot(bytes.subarray(SLOT_BYTES, 2 * SLOT_BYTES))]
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}

function newestOf([first, second]: Slots): 0 | 1 {
  return (second?.seq ?? -1) > (first?.seq ?? -1) ? 1 : 0
}

function encodeSlot({ seq, storeId }: AnchorState): string {
  const body = `holdfast-anchor 1 ${seq} ${storeId}`
  return `${body} ${checksum(body)}`.padEnd(SLOT_BYTES - 1).concat('\n')
}

function decodeSlot(slot: Buffer): AnchorState | undefined {
  const [, body, seq, storeId, sum] =
    /^(holdfast-anchor 1 (\d+) (\S+)) ([0-9a-f]{8}) *\n$/.exec(slot.toString('latin1')) ?? []
  if (body === undefined || storeId === undefined || sum !== checksum(body)) return undefined
  return Number.isSafeInteger(Number(seq)) ? { seq: Number(seq), storeId } : undefined
}

function checksum(body: string): string {
  return crc32(body).toString(16).padStart(8, '0')
}
