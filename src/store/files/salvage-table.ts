/**
 * Reads what is whole of a damaged table file, block by block.
 *
 * salvage-table-1. The index of a table leads to its blocks. Without the index, blocks are found by their checksums: the end of
 *   each is the first place where the checksum of the bytes before it stands.
 */
import { maskOf, withByte } from './crc32c.js'
import { blockDamage, contentOf, entriesIn, type Handle, handlesIn, handlesOf, TRAILER_BYTES } from './table.js'

/** A version of a key. */
export interface Version {
  readonly key: string
  /** Number of the write. A later write has a higher one. */
  readonly sequence: number
  /** `undefined` for a deletion. */
  readonly value: string | undefined
}

/** Content of a damaged table. */
export interface SalvagedTable {
  readonly versions: readonly Version[]
  /** A sentence for each part that was lost. */
  readonly lost: readonly string[]
}

// The number of a write takes 56 bits in a key, and the kind of the write the lowest 8.
const TRAILER_OF_KEY_BYTES = 8

/** Reads all whole blocks of a table. */
export function salvageTable(bytes: Buffer): SalvagedTable {
  const versions: Version[] = []
  const lost: string[] = []
  const index = wholeIndex(bytes)
  if (!index) {
    const bytesFound = addFound(bytes, versions)
    lost.push(`its index, so its blocks were found by their checksums: ${bytesFound} of ${bytes.length} bytes`)
    return { versions, lost }
  }
  let after = ''
  for (const { key, handle } of index) {
    const upTo = userKeyOf(key)
    const damage = damageOf(bytes, handle)
    if (damage !== undefined) lost.push(`keys after '${after}' up to '${upTo}': ${damage}`)
    else if (!add(bytes, handle, versions)) lost.push(`keys after '${after}' up to '${upTo}': the block cannot be read`)
    after = upTo
  }
  return { versions, lost }
}

function wholeIndex(bytes: Buffer): { readonly key: Buffer; readonly handle: Handle }[] | undefined {
  try {
    const { index } = handlesOf(bytes)
    return blockDamage(bytes, index) === undefined ? [...handlesIn(contentOf(bytes, index))] : undefined
  } catch {
    return undefined
  }
}

function damageOf(bytes: Buffer, handle: Handle): string | undefined {
  try {
    return blockDamage(bytes, handle)
  } catch (error) {
    return (error as Error).message
  }
}

/** Adds the versions in a block. Adds none, and returns false, if the block has not the form of one. */
function add(bytes: Buffer, handle: Handle, versions: Version[]): boolean {
  try {
    versions.push(...[...entriesIn(contentOf(bytes, handle))].map(({ key, value }) => versionOf(key, value)))
    return true
  } catch {
    return false
  }
}

function versionOf(key: Buffer, value: Buffer): Version {
  const end = key.length - TRAILER_OF_KEY_BYTES
  const kind = key.readUInt8(end)
  if (kind > 1) throw new RangeError(`A key has the unknown kind ${kind}`)
  const sequence = key.readUIntLE(end + 1, 6) + key.readUInt8(end + 7) * 2 ** 48
  return { key: userKeyOf(key), sequence, value: kind === 1 ? value.toString('utf8') : undefined }
}

function userKeyOf(key: Buffer): string {
  return key.subarray(0, key.length - TRAILER_OF_KEY_BYTES).toString('utf8')
}

// Checksums of about this many bytes take a second. A table that is damaged everywhere is given up after that.
const SEARCH_BYTES_MAX = 2 ** 28

/** Adds the versions in all blocks that can be found (salvage-table-1). Returns the bytes of these blocks. */
function addFound(bytes: Buffer, versions: Version[]): number {
  const places = new Set<string>()
  let found = 0
  const budget = { left: SEARCH_BYTES_MAX }
  for (let start = 0; start + TRAILER_BYTES < bytes.length && budget.left > 0; ) {
    const size = sizeOfBlockAt(bytes, start, budget)
    const handle = { offset: start, size: size ?? 0 }
    if (size === undefined || isIndex(bytes, handle, places) || !add(bytes, handle, versions)) {
      start += size === undefined ? 1 : size + TRAILER_BYTES
      continue
    }
    places.add(`${start} ${size}`)
    found += size + TRAILER_BYTES
    start += size + TRAILER_BYTES
  }
  return found
}

/** Size of the block that begins at `start`. `undefined` if none does. */
function sizeOfBlockAt(bytes: Buffer, start: number, budget: { left: number }): number | undefined {
  let sum = 0xffffffff
  for (let end = start; end + TRAILER_BYTES <= bytes.length; end++) {
    const compression = bytes[end] as number
    if (compression <= 1 && end > start && maskOf(withByte(sum, compression)) === bytes.readUInt32LE(end + 1)) {
      return end - start
    }
    sum = withByte(sum, compression)
    if (--budget.left <= 0) return undefined
  }
  return undefined
}

/** True for the index block: its values are the places of blocks. Without this check, they would be read as values of keys. */
function isIndex(bytes: Buffer, handle: Handle, places: ReadonlySet<string>): boolean {
  try {
    for (const { handle: named } of handlesIn(contentOf(bytes, handle))) {
      if (places.has(`${named.offset} ${named.size}`)) return true
    }
  } catch {
    // The values are no places.
  }
  return false
}
