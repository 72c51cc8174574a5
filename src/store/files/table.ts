/**
 * Checks the blocks of a table file of LevelDB against their checksums. LevelDB itself does not: it has no option for that
 * from Node. A flipped bit can give other values without an error, or abort the process.
 *
 * - The forms are those of doc/table_format.md of google/leveldb, and of format_description.txt of google/snappy.
 */
import { maskedCrc32c } from './crc32c.js'
import { ByteReader } from './varints.js'

const FOOTER_BYTES = 48
/** Bytes after each block: its compression, and its checksum. */
export const TRAILER_BYTES = 5
const MAGIC = Buffer.from('57fb808b247547db', 'hex')
const SNAPPY = 1

/** Place of a block in a table file. */
export interface Handle {
  readonly offset: number
  readonly size: number
}

/** Describes the first damage of a table file in a sentence. `undefined` if all of its blocks fit their checksums. */
export function tableDamage(bytes: Buffer): string | undefined {
  try {
    if (bytes.length < FOOTER_BYTES) return `it has only ${bytes.length} bytes`
    const footer = bytes.subarray(bytes.length - FOOTER_BYTES)
    if (!footer.subarray(FOOTER_BYTES - MAGIC.length).equals(MAGIC)) return 'its last bytes are not those of a table'
    const { meta, index } = handlesOf(bytes)
    for (const handle of [meta, index]) {
      const damage = blockDamage(bytes, handle)
      if (damage !== undefined) return damage
    }
    for (const block of [meta, index]) {
      for (const { handle } of handlesIn(contentOf(bytes, block))) {
        const damage = blockDamage(bytes, handle)
        if (damage !== undefined) return damage
      }
    }
    return undefined
  } catch (error) {
    return (error as Error).message
  }
}

/** The two blocks that the end of a table file names. @throws RangeError */
export function handlesOf(bytes: Buffer): { readonly meta: Handle; readonly index: Handle } {
  const handles = new ByteReader(bytes.subarray(bytes.length - FOOTER_BYTES))
  return { meta: readHandle(handles), index: readHandle(handles) }
}

function readHandle(reader: ByteReader): Handle {
  return { offset: reader.varint(), size: reader.varint() }
}

/** Describes the damage of a block in a sentence. `undefined` if it fits its checksum. */
export function blockDamage(bytes: Buffer, { offset, size }: Handle): string | undefined {
  const end = offset + size
  if (end + TRAILER_BYTES > bytes.length) return `the block at byte ${offset} goes beyond the end of the file`
  const isWhole = bytes.readUInt32LE(end + 1) === maskedCrc32c(bytes, offset, end + 1)
  return isWhole ? undefined : `the block at byte ${offset} does not fit its checksum`
}

/** Content of a block that fits its checksum. @throws RangeError */
export function contentOf(bytes: Buffer, { offset, size }: Handle): Buffer {
  const content = bytes.subarray(offset, offset + size)
  return bytes.readUInt8(offset + size) === SNAPPY ? decompress(content) : content
}

/** One entry of a block. */
export interface BlockEntry {
  readonly key: Buffer
  readonly value: Buffer
}

/** The entries of the content of a block, in order. @throws RangeError */
export function* entriesIn(block: Buffer): Generator<BlockEntry> {
  const restarts = block.readUInt32LE(block.length - 4)
  const entries = new ByteReader(block.subarray(0, block.length - 4 - 4 * restarts))
  let key = Buffer.alloc(0)
  while (!entries.isAtEnd) {
    const shared = entries.varint()
    const rest = entries.varint()
    const valueBytes = entries.varint()
    if (shared > key.length) throw new RangeError('A key has more bytes of the key before than that has')
    key = Buffer.concat([key.subarray(0, shared), entries.take(rest)])
    yield { key, value: entries.take(valueBytes) }
  }
}

/** The handles in the values of an index block, each with a key that no key of its block is after. */
export function* handlesIn(block: Buffer): Generator<{ readonly key: Buffer; readonly handle: Handle }> {
  for (const { key, value } of entriesIn(block)) yield { key, handle: readHandle(new ByteReader(value)) }
}

/** Decompresses a block of snappy. */
function decompress(compressed: Buffer): Buffer {
  const reader = new ByteReader(compressed)
  const output = Buffer.alloc(reader.varint())
  let end = 0
  const copy = (length: number, distance: number) => {
    if (distance === 0 || distance > end || end + length > output.length) throw new RangeError('A block is not snappy')
    // The bytes may overlap with those that they are copied to.
    for (let left = length; left > 0; left--, end++) output[end] = output[end - distance] as number
  }
  while (!reader.isAtEnd) {
    const tag = reader.take(1).readUInt8()
    const upper = tag >>> 2
    switch (tag & 3) {
      case 0: {
        const length = 1 + (upper < 60 ? upper : reader.take(upper - 59).readUIntLE(0, upper - 59))
        end += reader.take(length).copy(output, end)
        break
      }
      case 1:
        copy(4 + (upper & 7), ((upper >>> 3) << 8) | reader.take(1).readUInt8())
        break
      case 2:
        copy(1 + upper, reader.take(2).readUInt16LE())
        break
      default:
        copy(1 + upper, reader.take(4).readUInt32LE())
    }
  }
  return output
}
