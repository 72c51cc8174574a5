/** Checksums. They find rot and torn writes, not forgery: whoever can write the directory can write a checksum. */
import { crc32 } from 'node:zlib'

/** Eight hexadecimal digits over the text's UTF-8 bytes. */
export function checksum(text: string): string {
  return crc32(text).toString(16).padStart(8, '0')
}

/** A sum that a record's checksum can be added to, and taken out of, in any order. */
export function addChecksum(sum: number, text: string): number {
  return (sum + crc32(text)) >>> 0
}
