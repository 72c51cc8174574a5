/**
 * Reads a log file of LevelDB; a MANIFEST has the same form. Blocks of 32 KiB have records with a checksum each. A record
 * that does not fit a block is split.
 *
 * log-format-1. A process that dies leaves the last record cut short, which is no damage. A power cut may leave zeros there.
 * - The form is described in doc/log_format.md of google/leveldb.
 */
import { maskedCrc32c } from './crc32c.js'

const BLOCK_BYTES = 32_768
const HEADER_BYTES = 7
const FULL = 1
const FIRST = 2
const LAST = 4

/** Content of a log file. */
export interface LogFile {
  /** The payloads of its whole records, up to the first damage. */
  readonly payloads: readonly Buffer[]
  /** A sentence about the first damage; `undefined` if there is none. */
  readonly damage: string | undefined
}

/** Reads the records of a log file. @param keep false to check only, without keeping the payloads */
export function readLogFile(bytes: Buffer, keep: boolean): LogFile {
  const payloads: Buffer[] = []
  let parts: Buffer[] = []
  for (let at = 0; at + HEADER_BYTES <= bytes.length; ) {
    const blockEnd = at - (at % BLOCK_BYTES) + BLOCK_BYTES
    if (blockEnd - at < HEADER_BYTES) {
      at = blockEnd
      continue
    }
    const end = at + HEADER_BYTES + bytes.readUInt16LE(at + 4)
    const type = bytes.readUInt8(at + 6)
    // The rest of the block was reserved and never written, or a power cut left zeros.
    if (type === 0 && end === at + HEADER_BYTES) {
      if (bytes.readUInt32LE(at) !== 0) return { payloads, damage: `the record at byte ${at} has no type` }
      at = blockEnd
      continue
    }
    if (end > bytes.length && end <= blockEnd) break // Cut short (log-format-1).
    const isWhole = end <= blockEnd && bytes.readUInt32LE(at) === maskedCrc32c(bytes, at + 6, end)
    if (!isWhole) {
      if (isZero(bytes, at + HEADER_BYTES)) break
      return { payloads, damage: `the record at byte ${at} does not fit its checksum` }
    }
    if (keep) {
      if (type === FULL || type === FIRST) parts = []
      parts.push(bytes.subarray(at + HEADER_BYTES, end))
      if (type === FULL || type === LAST) payloads.push(Buffer.concat(parts))
    }
    at = end
  }
  return { payloads, damage: undefined }
}

function isZero(bytes: Buffer, from: number, to = bytes.length): boolean {
  for (let at = from; at < to; at++) if (bytes[at] !== 0) return false
  return true
}

/** Content of a damaged log file. */
export interface SalvagedLog {
  /** The payloads of all whole records. */
  readonly payloads: readonly Buffer[]
  /** Number of places at which records were lost. */
  readonly lost: number
}

/**
 * Reads the records of a log file, also after damage. After a record that does not fit its checksum, the next one is
 * looked for where its length leads, and else in the next block.
 */
export function salvageLogFile(bytes: Buffer): SalvagedLog {
  const payloads: Buffer[] = []
  let parts: Buffer[] | undefined
  let lost = 0
  let isLosing = false
  for (let at = 0; at + HEADER_BYTES <= bytes.length; ) {
    const blockEnd = Math.min(at - (at % BLOCK_BYTES) + BLOCK_BYTES, bytes.length)
    if (blockEnd - at < HEADER_BYTES) {
      at = at - (at % BLOCK_BYTES) + BLOCK_BYTES
      continue
    }
    const end = at + HEADER_BYTES + bytes.readUInt16LE(at + 4)
    const type = bytes.readUInt8(at + 6)
    const isWhole = end <= blockEnd && bytes.readUInt32LE(at) === maskedCrc32c(bytes, at + 6, end)
    if (isWhole && type >= FULL && type <= LAST) {
      isLosing = false
      if (type === FULL || type === FIRST) parts = []
      // The middle of a record whose beginning was lost is of no use.
      parts?.push(bytes.subarray(at + HEADER_BYTES, end))
      if (parts && (type === FULL || type === LAST)) payloads.push(Buffer.concat(parts))
      if (type === FULL || type === LAST) parts = undefined
      at = end
      continue
    }
    parts = undefined
    if (isZero(bytes, at, blockEnd)) {
      at = blockEnd
      continue
    }
    // The last record may be cut short (log-format-1).
    if (end > bytes.length && blockEnd === bytes.length && !isLosing) break
    if (!isLosing) lost++
    isLosing = true
    at = end < blockEnd && isRecordAt(bytes, end, blockEnd) ? end : blockEnd
  }
  return { payloads, lost }
}

function isRecordAt(bytes: Buffer, at: number, blockEnd: number): boolean {
  if (at + HEADER_BYTES > blockEnd) return false
  const end = at + HEADER_BYTES + bytes.readUInt16LE(at + 4)
  return end <= blockEnd && bytes.readUInt32LE(at) === maskedCrc32c(bytes, at + 6, end)
}
