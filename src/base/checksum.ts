/**
 * Checksums of texts. They detect decay and torn writes, not forgery: a program that can write the directory can
 * compute a checksum.
 */
import { crc32 } from 'node:zlib'

const ONE_CALL_LENGTH_MAX = 1_024

/** CRC-32 of the UTF-8 bytes of both texts, one after the other, as eight hexadecimal digits. */
export function checksum(head: string, body: string): string {
  // For a short text, the copy costs less than a second call.
  const sum = body.length < ONE_CALL_LENGTH_MAX ? crc32(head + body) : crc32(body, crc32(head))
  return sum.toString(16).padStart(8, '0')
}

/** Adds the checksum of `text` to a sum of checksums. The order of the additions does not matter. */
export function addChecksum(sum: number, text: string): number {
  return (sum + crc32(text)) >>> 0
}
