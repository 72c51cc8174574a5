/**
 * How far the store has come, kept outside the database (S2). LevelDB opens without a word when its newest log is cut
 * short or an old backup lies in its place; a database whose last commit is older than the anchor has lost some.
 *
 * A1. Two slots of 512 bytes, written in turn: a write that a power cut tears leaves the other one.
 * A2. A slot that fails its checksum is ignored; two that do are damage. The anchor is the higher of the valid ones.
 * A3. Noting a commit costs nothing. The write begins behind, once 256 commits or 100 ms are unwritten; `flush` and
 *     `close` make it exact. An anchor that lags only sees a little less: it never accuses a sound database.
 * A4. One write is in flight. One that fails is nobody's failed commit: it stays in `lastError`, the slot is written
 *     again (the other one is the last good one), at the next note.
 *
 * A slot is a line of text, padded: `holdfast-anchor 1 <seq> <storeId> <crc32>`.
 */
import { type FileHandle, open, readFile } from 'node:fs/promises'
import { crc32 } from 'node:zlib'
import type { Clock } from '../clock.js'
import { HoldfastError } from '../errors.js'
import { isMissing, writeFileAtomically } from './files.js'

/** A disk writes a sector of this size whole or not at all, mostly; A1 is for the rest. */
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

/**
 * The anchor in the file, or `undefined` if there is no file.
 * @throws HoldfastError `STORE_DAMAGED` if neither slot is whole
 */
export async function readAnchor(path: string): Promise<AnchorState | undefined> {
  const slots = await readSlots(path)
  if (!slots) return undefined
  const newest = slots[newestOf(slots)]
  if (newest) return newest
  throw new HoldfastError(
    'STORE_DAMAGED',
    'Both slots of the store’s anchor file are damaged, so nobody can tell whether commits are missing. Restore a backup, or open with `acceptDamage: true`.',
    { details: { path } },
  )
}

export interface AnchorOptions {
  readonly storeId: string
  /** The database's last commit. */
  readonly seq: number
  readonly clock: Clock
  /** `false` in a buffered store: the anchor is left to the operating system, as the commits are. */
  readonly durable: boolean
}

/** The open anchor file. An exact one at every commit is `note` and an awaited `flush`. */
export class Anchor {
  #noted: number
  #written: number
  #inFlight: Promise<void> | undefined
  #again = false
  #disarm: (() => void) | undefined
  #lastError: Error | undefined
  #isAbandoned = false

  private constructor(
    private readonly file: FileHandle,
    private readonly options: AnchorOptions,
    written: number,
    private nextSlot: 0 | 1,
  ) {
    this.#noted = options.seq
    this.#written = written
  }

  /**
   * Opens the file, makes it if it is missing, and brings it to `seq`. The caller has judged the database by `readAnchor` before: one that
   * says more than `seq`, is another store's or is damaged is written anew.
   */
  static async open(path: string, options: AnchorOptions): Promise<Anchor> {
    if (!STORE_ID.test(options.storeId)) {
      throw new TypeError(
        `Expected \`storeId\` to be 1 to 64 letters, digits, \`_\` or \`-\`, got '${options.storeId}'`,
      )
    }
    let slots = await readSlots(path)
    const found = slots?.[newestOf(slots)]
    if (!slots || !found || found.storeId !== options.storeId || found.seq > options.seq) {
      const slot = encodeSlot(options)
      await writeFileAtomically(path, slot + slot)
      slots = [options, options]
    }
    const newest = newestOf(slots)
    const written = slots[newest]?.seq ?? options.seq
    const anchor = new Anchor(await open(path, 'r+'), options, written, newest === 0 ? 1 : 0)
    await anchor.flush()
    return anchor
  }

  /** Why the last write failed; `undefined` once one has succeeded again. */
  get lastError(): Error | undefined {
    return this.#lastError
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
    if (this.#written < this.#noted && !this.#isAbandoned) await this.#begin()
  }

  /** Writes nothing more. The file may belong to another process now, and a later number here would accuse its database. */
  abandon(): void {
    this.#isAbandoned = true
    this.#disarm?.()
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
        this.#lastError = undefined
      } catch (error) {
        this.#lastError = error instanceof Error ? error : new Error(String(error))
      }
    } while (this.#again && this.#written < this.#noted && !this.#isAbandoned)
    // Here and not in a `finally` of the caller: nobody may join a write that has looked at `#again` for the last time.
    this.#inFlight = undefined
  }
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
