/** Reads the writes in a record of a log file. The form is that of `WriteBatch` in db/write_batch.cc of google/leveldb. */
import type { Version } from './salvage-table.js'
import { ByteReader } from './varints.js'

const SEQUENCE_BYTES = 8
const COUNT_BYTES = 4

/** The versions that a batch writes. @throws RangeError */
export function versionsIn(payload: Buffer): Version[] {
  const reader = new ByteReader(payload)
  const number = reader.take(SEQUENCE_BYTES)
  const first = number.readUIntLE(0, 6) + number.readUInt16LE(6) * 2 ** 48
  const count = reader.take(COUNT_BYTES).readUInt32LE()
  const versions: Version[] = []
  for (let index = 0; index < count; index++) {
    const kind = reader.take(1).readUInt8()
    if (kind > 1) throw new RangeError(`A write has the unknown kind ${kind}`)
    const key = reader.sized().toString('utf8')
    const value = kind === 1 ? reader.sized().toString('utf8') : undefined
    versions.push({ key, sequence: first + index, value })
  }
  return versions
}
