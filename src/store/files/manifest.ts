/**
 * Reads which files a database has, from its MANIFEST. The form is that of `VersionEdit` in db/version_edit.cc of
 * google/leveldb.
 */
import { readLogFile } from './log-format.js'
import { ByteReader } from './varints.js'

/** The files of a database. */
export interface DatabaseFiles {
  /** Size of each table by its number. */
  readonly tables: ReadonlyMap<number, number>
  /** Logs with this number or a higher one are read at an open. */
  readonly firstLog: number
  /** A sentence about damage of the MANIFEST itself. */
  readonly damage: string | undefined
}

/** Reads a MANIFEST. What follows damage is not read. */
export function readManifest(bytes: Buffer): DatabaseFiles {
  const tables = new Map<number, number>()
  let firstLog = 0
  const { payloads, damage } = readLogFile(bytes, true)
  try {
    for (const payload of payloads) firstLog = readEdit(payload, tables, firstLog)
  } catch (error) {
    return { tables, firstLog, damage: damage ?? (error as Error).message }
  }
  return { tables, firstLog, damage }
}

function readEdit(payload: Buffer, tables: Map<number, number>, firstLogBefore: number): number {
  const edit = new ByteReader(payload)
  let firstLog = firstLogBefore
  while (!edit.isAtEnd) {
    const tag = edit.varint()
    switch (tag) {
      case 1: // comparator
        edit.sized()
        break
      case 2: // log number
        firstLog = edit.varint()
        break
      case 3: // next file number
      case 4: // last sequence
      case 9: // previous log number, which newer versions write as 0
        edit.varint()
        break
      case 5: // compaction pointer
        edit.varint()
        edit.sized()
        break
      case 6: // deleted file
        edit.varint()
        tables.delete(edit.varint())
        break
      case 7: {
        edit.varint()
        const number = edit.varint()
        tables.set(number, edit.varint())
        edit.sized()
        edit.sized()
        break
      }
      default:
        throw new RangeError(`an edit has the unknown tag ${tag}`)
    }
  }
  return firstLog
}
