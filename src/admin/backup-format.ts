/**
 * The format of a backup: one file, which is written and read from its beginning to its end.
 *
 * - A line of text that names the format, then frames: a header, chunks of records in the order of their keys, a footer.
 * - A frame is its type (one letter), the length of its payload and a CRC-32 of type and payload (32 bits each, the lowest
 *   byte first), and the payload. Header and footer are JSON. A record of a chunk is the lengths of key and value (32 bits
 *   each), the key and the value as the store has them, with their envelopes.
 * - The footer has counts, and the SHA-256 of all bytes before it. A file without one was interrupted.
 */
import { createHash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { HoldfastError } from '../base/errors.js'
import type { BackupFooter, BackupHeader, BackupPart } from './backup-parts.js'

/** Version of the format of backups. */
export const BACKUP_VERSION = 1

const MAGIC = Buffer.from('holdfast-backup\n')
const FRAME_HEAD_BYTES = 9
const CHUNK_BYTES = 256 * 1024
// A chunk ends with the record that fills it. A record is at most a few times the largest value of the store.
const FRAME_BYTES_MAX = 256 * 1024 * 1024

/** Creates the refusal of a file. */
export function invalidBackup(file: string, reason: string, action: string): HoldfastError {
  return new HoldfastError('BACKUP_INVALID', `The backup ${file} cannot be used: ${reason}. ${action}`, {
    details: { file, reason },
  })
}

/** Writes a backup. */
export class BackupWriter {
  readonly #hash = createHash('sha256')
  readonly #counts: Record<string, number> = {}
  #chunk: Buffer[] = []
  #chunkBytes = 0
  #records = 0
  #bytes = 0

  /** @param write writes bytes to the end of the file */
  constructor(private readonly write: (bytes: Uint8Array) => Promise<void>) {}

  async begin(header: BackupHeader): Promise<void> {
    await this.#put(MAGIC)
    await this.#put(frame('H', Buffer.from(JSON.stringify(header))))
  }

  /** Adds records in the order of their keys. */
  async add(records: readonly [key: string, text: string][]): Promise<void> {
    for (const [key, text] of records) {
      const [keyBytes, textBytes] = [Buffer.from(key), Buffer.from(text)]
      const lengths = Buffer.alloc(8)
      lengths.writeUInt32LE(keyBytes.length, 0)
      lengths.writeUInt32LE(textBytes.length, 4)
      this.#chunk.push(lengths, keyBytes, textBytes)
      this.#chunkBytes += lengths.length + keyBytes.length + textBytes.length
      this.#bytes += keyBytes.length + textBytes.length
      this.#records++
      const [kind = ''] = key.split('/')
      this.#counts[kind] = (this.#counts[kind] ?? 0) + 1
      if (this.#chunkBytes >= CHUNK_BYTES) await this.#flush()
    }
  }

  async end(commit: number): Promise<BackupFooter> {
    await this.#flush()
    const sha256 = this.#hash.digest('hex')
    const footer = { commit, records: this.#records, bytes: this.#bytes, counts: this.#counts, sha256 }
    await this.write(frame('F', Buffer.from(JSON.stringify(footer))))
    return footer
  }

  async #flush(): Promise<void> {
    if (this.#chunk.length === 0) return
    const payload = Buffer.concat(this.#chunk)
    this.#chunk = []
    this.#chunkBytes = 0
    await this.#put(frame('C', payload))
  }

  async #put(bytes: Buffer): Promise<void> {
    this.#hash.update(bytes)
    await this.write(bytes)
  }
}

function frame(type: 'H' | 'C' | 'F', payload: Buffer): Buffer {
  const head = Buffer.alloc(FRAME_HEAD_BYTES)
  head.write(type, 0, 'latin1')
  head.writeUInt32LE(payload.length, 1)
  head.writeUInt32LE(crc32(payload, crc32(type)), 5)
  return Buffer.concat([head, payload])
}

/** Reads exactly `length` bytes from the file, or fewer at its end. */
export type ReadBytes = (length: number) => Promise<Buffer>

/**
 * Reads a backup, and checks it: each checksum, the order of the keys, the counts, and that nothing follows its end.
 * @throws HoldfastError `BACKUP_INVALID` with the reason. What was yielded before is right, and not all.
 */
export async function* readBackup(file: string, read: ReadBytes): AsyncGenerator<BackupPart> {
  const hash = createHash('sha256')
  const magic = await read(MAGIC.length)
  if (!magic.equals(MAGIC)) throw invalidBackup(file, 'it is not a backup of Holdfast', 'Name another file.')
  hash.update(magic)
  let header: BackupHeader | undefined
  let last = ''
  let records = 0
  for (;;) {
    const { type, payload, head } = await readFrame(file, read)
    if (type === 'F') {
      const footer = JSON.parse(payload.toString()) as BackupFooter
      if (!header || footer.records !== records || footer.sha256 !== hash.digest('hex')) throw damaged(file)
      if ((await read(1)).length > 0) throw damaged(file)
      return yield { kind: 'footer', footer }
    }
    hash.update(head).update(payload)
    if (!header) {
      if (type !== 'H') throw damaged(file)
      header = JSON.parse(payload.toString()) as BackupHeader
      if (header.backup > BACKUP_VERSION) {
        throw invalidBackup(file, `it has version ${header.backup} of the format`, 'Use a newer version of holdfast.')
      }
      yield { kind: 'header', header }
      continue
    }
    if (type !== 'C') throw damaged(file)
    const found = recordsIn(file, payload)
    for (const [key] of found) {
      if (Buffer.compare(Buffer.from(last), Buffer.from(key)) >= 0) throw damaged(file)
      last = key
    }
    records += found.length
    yield { kind: 'records', records: found }
  }
}

async function readFrame(file: string, read: ReadBytes): Promise<{ type: string; head: Buffer; payload: Buffer }> {
  const head = await read(FRAME_HEAD_BYTES)
  if (head.length < FRAME_HEAD_BYTES) throw interrupted(file)
  const type = head.toString('latin1', 0, 1)
  const length = head.readUInt32LE(1)
  if (!'HCF'.includes(type) || length > FRAME_BYTES_MAX) throw damaged(file)
  const payload = await read(length)
  if (payload.length < length) throw interrupted(file)
  if (head.readUInt32LE(5) !== crc32(payload, crc32(type))) throw damaged(file)
  return { type, head, payload }
}

function recordsIn(file: string, payload: Buffer): [string, string][] {
  const records: [string, string][] = []
  for (let at = 0; at < payload.length; ) {
    if (at + 8 > payload.length) throw damaged(file)
    const keyEnd = at + 8 + payload.readUInt32LE(at)
    const end = keyEnd + payload.readUInt32LE(at + 4)
    if (end > payload.length) throw damaged(file)
    records.push([payload.toString('utf8', at + 8, keyEnd), payload.toString('utf8', keyEnd, end)])
    at = end
  }
  return records
}

function damaged(file: string): HoldfastError {
  return invalidBackup(file, 'its bytes are not those that were written', 'Use another backup, and check the disk.')
}

function interrupted(file: string): HoldfastError {
  return invalidBackup(
    file,
    'it has no end: the backup or a copy of it was interrupted',
    'Make the backup or the copy again.',
  )
}
