/** Checksums. They find rot and torn writes, not forgery: whoever can write the directory can write a checksum. */
import { crc32 } from 'node:zlib'

/** Eight hexadecimal digits over the UTF-8 bytes of the two texts, one after the other. */
export function checksum(head: string, body: string): string {
  return crc32(body, crc32(head)).toString(16).padStart(8, '0')
}

/** A sum that a record's checksum can be added to, and taken out of, in any order. */
export function addChecksum(sum: number, text: string): number {
  return (sum + crc32(text)) >>> 0
}
