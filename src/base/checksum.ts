/**
 * Checksums of texts. They detect decay and torn writes, not forgery: a program that can write the directory can
 * compute a checksum.
 */
import { crc32 } from 'node:zlib'

/** CRC-32 of the UTF-8 bytes of both texts, one after the other, as eight hexadecimal digits. */
export function checksum(head: string, body: string): string {
  return crc32(body, crc32(head)).toString(16).padStart(8, '0')
}

/** Adds the checksum of `text` to a sum of checksums. The order of the additions does not matter. */
export function addChecksum(sum: number, text: string): number {
  return (sum + crc32(text)) >>> 0
}
