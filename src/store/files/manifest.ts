/**
 * Reads which files a database has, from its MANIFEST. The form is that of `VersionEdit` in db/version_edit.cc of
 * google/leveldb.
 */
import { readLogFile } from './log-format.js'
import { ByteReader } from './varints.js'

/** Name of the MANIFEST in the text of CURRENT; `undefined` if it names none. */
export function manifestNameIn(current: string | undefined): string | undefined {
  return /^(MANIFEST-\d+)\n$/.exec(current ?? '')?.[1]
}

/** The files of a database. */
export interface DatabaseFiles {
  /** Size of each table by its number. */
  readonly tables: ReadonlyMap<number, number>
  /** Logs with this number or a higher one are read at an open. */
  readonly firstLog: number
  /** No file with this number or a higher one was in use when the MANIFEST was written last. */
  readonly nextFile: number
  /** A sentence about damage of the MANIFEST itself. */
  readonly damage: string | undefined
}

/** Reads a MANIFEST. What follows damage is not read. */
export function readManifest(bytes: Buffer): DatabaseFiles {
  const state = { tables: new Map<number, number>(), firstLog: 0, nextFile: 0 }
  const { payloads, damage } = readLogFile(bytes, true)
  try {
    for (const payload of payloads) readEdit(payload, state)
  } catch (error) {
    return { ...state, damage: damage ?? (error as Error).message }
  }
  return { ...state, damage }
}

function readEdit(payload: Buffer, state: { tables: Map<number, number>; firstLog: number; nextFile: number }): void {
  const edit = new ByteReader(payload)
  while (!edit.isAtEnd) {
    const tag = edit.varint()
    switch (tag) {
      case 1: // comparator
        edit.sized()
        break
      case 2: // log number
        state.firstLog = edit.varint()
        break
      case 3: // next file number
        state.nextFile = edit.varint()
        break
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
        state.tables.delete(edit.varint())
        break
      case 7: {
        edit.varint()
        const number = edit.varint()
        state.tables.set(number, edit.varint())
        edit.sized()
        edit.sized()
        break
      }
      default:
        throw new RangeError(`an edit has the unknown tag ${tag}`)
    }
  }
}
