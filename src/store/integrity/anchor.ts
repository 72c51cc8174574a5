/**
 * How far the store has come, kept outside the database (store-2). LevelDB opens without a word when its newest log is cut
 * short or an old backup lies in its place; a database whose last commit is older than the anchor has lost some.
 *
 * anchor-1. Two slots of 512 bytes, written in turn: a write that a power cut tears leaves the other one.
 * anchor-2. A slot that fails its checksum is ignored, logged, counted and written again at the open; two that do are damage, and
 *     so is a missing file in a store that has commits. The anchor is the higher of the valid ones.
 * anchor-3. Noting a commit costs nothing. The write begins behind, once 256 commits or 100 ms are unwritten; `flush` and
 *     `close` make it exact. An anchor that lags only sees a little less: it never accuses a sound database.
 * anchor-4. One write is in flight. One that fails is logged, counted and kept in `lastError`; the slot is written again (the
 *     other one is the last good one) at the next note. It fails no commit, unless the anchor has to be exact (`writeNow`).
 *
 * A slot is a line of text, padded: `holdfast-anchor 1 <seq> <storeId> <crc32>`.
 */
import { type FileHandle, open, readFile } from 'node:fs/promises'
import { crc32 } from 'node:zlib'
import type { Clock } from '../../base/clock.js'
import type { Logger } from '../../base/logger.js'
import { isMissing, writeFileAtomically } from '../disk/files.js'

/** A disk writes a sector of this size whole or not at all, mostly; anchor-1 is for the rest. */
export const SLOT_BYTES = 512
/** A write begins at the latest when this many commits are unwritten … */
export const LAG_COMMITS_MAX = 256
/** … or the oldest of them is this old. */
export const LAG_MS_MAX = 100

const STORE_ID = /^[\w-]{1,64}$/ // a slot has room for it

/** What a slot says. */
export interface AnchorState {
  /** The last commit known to be on disk. */
  readonly seq: number
  readonly storeId: string
}

/** An anchor file as it was found; `damaged` if neither slot is whole. */
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
  /** The database's last commit. */
  readonly seq: number
  readonly clock: Clock
  /** `false` in a buffered store: the anchor is left to the operating system, as the commits are. */
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

/** The open anchor file. An exact one at every commit is `note` and an awaited `writeNow`. */
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
   * Opens the file, makes it if it is missing, and brings it to `seq`. A damaged slot is written again. The caller has compared
   * the database with `readAnchor` before: a file that says more than `seq`, is another store's or is damaged is written anew.
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

  /** Why the last write failed; `undefined` once one has succeeded again. */
  get lastError(): Error | undefined {
    return this.#lastError
  }

  /** What went wrong with the file since it was opened. */
  get faults(): AnchorFaults {
    return { failedWrites: this.#failedWrites, damagedSlots: this.damagedSlots }
  }

  /** Remembers that commit `seq` is on disk, and writes it behind. */
  note(seq: number): void {
    if (seq <= this.#noted) return
    this.#noted = seq
    const { clock } = this.options
    if (seq - this.#written >= LAG_COMMITS_MAX) this.#begin()
    else this.#disarm ??= clock.setTimer(clock.now() + LAG_MS_MAX, () => this.#begin(), { elapsed: true })
  }

  /** Resolves once everything noted before the call was written, or the attempt failed (`lastError`). */
  async flush(): Promise<void> {
    await this.#inFlight
    if (this.#isAbandoned) return
    if (this.#written < this.#noted || this.#lastError) await this.#begin()
  }

  /** Writes nothing more. The file may belong to another process now, and a later number here would accuse its database. */
  abandon(): void {
    this.#isAbandoned = true
    this.#disarm?.()
  }

  /** Resolves once everything noted before the call was written. @throws Error why it could not be written */
  async writeNow(): Promise<void> {
    await this.flush()
    if (this.#lastError) throw new Error('The anchor file could not be written', { cause: this.#lastError })
  }

  /** Writes what was noted and closes the file. */
  async close(): Promise<void> {
    await this.flush()
    this.#disarm?.()
    await this.file.close()
  }

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
    // Here and not in a `finally` of the caller: nobody may join a write that has looked at `#again` for the last time.
    this.#inFlight = undefined
  }

  #noteFailure(error: Error): void {
    this.#failedWrites++
    // Once for each outage, not for each write: a busy store tries ten times a second.
    if (!this.#lastError) {
      this.options.logger.error(
        'The anchor file cannot be written. Until it can, a database that was rolled back may go unnoticed. Check the disk.',
        { error: error.message, failedWrites: this.#failedWrites },
      )
    }
    this.#lastError = error
  }
}

/** An anchor where there is no file: nothing is written, and nothing fails. */
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
