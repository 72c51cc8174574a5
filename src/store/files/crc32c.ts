/** CRC-32C, the checksum of LevelDB's files (RFC 3720, section B.4). Node has only CRC-32. */

const POLYNOMIAL = 0x82f63b78 // 0x1EDC6F41 with its bits reversed
const LANES = 8

// Table `lane` advances a byte over `lane` further bytes, so that eight bytes take one step.
const tables = Array.from({ length: LANES }, () => new Uint32Array(256))
for (let byte = 0; byte < 256; byte++) {
  let sum = byte
  for (let bit = 0; bit < 8; bit++) sum = sum & 1 ? (sum >>> 1) ^ POLYNOMIAL : sum >>> 1
  ;(tables[0] as Uint32Array)[byte] = sum
}
for (let lane = 1; lane < LANES; lane++) {
  for (let byte = 0; byte < 256; byte++) {
    const before = at(lane - 1, byte)
    ;(tables[lane] as Uint32Array)[byte] = (before >>> 8) ^ at(0, before & 255)
  }
}

function at(lane: number, byte: number): number {
  return (tables[lane] as Uint32Array)[byte] as number
}

const [T0, T1, T2, T3, T4, T5, T6, T7] = tables as [
  Uint32Array,
  Uint32Array,
  Uint32Array,
  Uint32Array,
  Uint32Array,
  Uint32Array,
  Uint32Array,
  Uint32Array,
]

/** CRC-32C of the bytes from `from` up to, and without, `to`. */
export function crc32c(bytes: Uint8Array, from = 0, to = bytes.length): number {
  let sum = 0xffffffff
  let next = from
  const word = (index: number) => bytes[index] as number
  for (; next + LANES <= to; next += LANES) {
    const low = sum ^ (word(next) | (word(next + 1) << 8) | (word(next + 2) << 16) | (word(next + 3) << 24))
    sum =
      (T7[low & 255] as number) ^
      (T6[(low >>> 8) & 255] as number) ^
      (T5[(low >>> 16) & 255] as number) ^
      (T4[low >>> 24] as number) ^
      (T3[word(next + 4)] as number) ^
      (T2[word(next + 5)] as number) ^
      (T1[word(next + 6)] as number) ^
      (T0[word(next + 7)] as number)
  }
  for (; next < to; next++) sum = (sum >>> 8) ^ (T0[(sum ^ word(next)) & 255] as number)
  return (sum ^ 0xffffffff) >>> 0
}

const MASK_DELTA = 0xa282ead8

/** Adds one byte to a checksum in progress, which begins with `0xffffffff` and ends with `maskOf`. */
export function withByte(sum: number, byte: number): number {
  return (sum >>> 8) ^ (T0[(sum ^ byte) & 255] as number)
}

/** The checksum in progress as LevelDB stores it. */
export function maskOf(inProgress: number): number {
  const sum = (inProgress ^ 0xffffffff) >>> 0
  return (((sum >>> 15) | (sum << 17)) + MASK_DELTA) >>> 0
}

/** The checksum as LevelDB stores it: rotated, with a constant added. */
export function maskedCrc32c(bytes: Uint8Array, from = 0, to = bytes.length): number {
  return maskOf(crc32c(bytes, from, to) ^ 0xffffffff)
}
