/**
 * The format of an exported task: lines of JSON, which are written and read from the first to the last.
 *
 * - The first line is the header, and names the format. Then follow the records of the task in the order of their kinds, the
 *   entries of its audit, and the footer.
 * - A record has its key, and its text as the store has it: an envelope with a checksum, and a body.
 * - The footer has counts, and the SHA-256 of all lines before it. A file without one was interrupted.
 */
import { createHash } from 'node:crypto'
import { HoldfastError } from '../../base/errors.js'
import type { AuditEntry } from '../../task/changes.js'
import type { Parked, TaskStatus } from '../../task/head.js'

/** Version of the format of exported tasks. */
export const EXPORT_VERSION = 1

// Longer than any record that the default limits allow, with every character escaped.
const LINE_BYTES_MAX = 256 * 1024 * 1024
const NEWLINE = 10
const STORE_ID_CHARS_MAX = 100
// The last instant that a `Date` can show.
const INSTANT_MAX = 8.64e15

/** Beginning of an exported task. */
export interface ExportHeader {
  /** Version of the format of exported tasks. */
  readonly holdfastTask: number
  /** On-disk format of the store. */
  readonly format: number
  /** Version of the library that wrote the file. */
  readonly version: string
  readonly storeId: string
  readonly taskId: string
  readonly type: string
  readonly status: TaskStatus
  /** Number of commits of the task. */
  readonly commits: number
  /** Instant of the export, in milliseconds since the epoch. */
  readonly exportedAt: number
  /** True if the file has no inputs, results and names of owners. It cannot be imported. */
  readonly redacted: boolean
  /** True if the task is moved: the store that it comes from settles it as cancelled once the file is whole. */
  readonly move: boolean
  /** Number of unfinished children. A task that has some cannot be imported. */
  readonly children?: number | undefined
  /** Reason for which the task was parked before the export, if it was. */
  readonly parked?: Pick<Parked, 'code' | 'reason'> | undefined
}

/** The end of an exported task. */
export interface ExportFooter {
  readonly records: number
  /** Number of audit entries. */
  readonly entries: number
  /** SHA-256 of all lines before the footer, in hexadecimal digits. */
  readonly sha256: string
}

/** Part of an exported task, in the order of the file. */
export type ExportPart =
  | { readonly kind: 'header'; readonly header: ExportHeader }
  | { readonly kind: 'record'; readonly key: string; readonly text: string }
  | { readonly kind: 'audit'; readonly entry: AuditEntry }
  | { readonly kind: 'footer'; readonly footer: ExportFooter }

/** Creates the refusal of a file. */
export function invalidExport(reason: string, action: string): HoldfastError {
  return new HoldfastError('EXPORT_INVALID', `The file cannot be imported: ${reason}. ${action}`, {
    details: { reason },
  })
}

/** Writes an exported task. */
export class ExportWriter {
  readonly #hash = createHash('sha256')
  #records = 0
  #entries = 0

  /** @param write writes bytes to the end of the file */
  constructor(private readonly write: (bytes: Uint8Array) => Promise<void>) {}

  begin(header: ExportHeader): Promise<void> {
    return this.#line(header)
  }

  async record(key: string, text: string): Promise<void> {
    this.#records++
    await this.#line({ key, text })
  }

  async audit(entry: AuditEntry): Promise<void> {
    this.#entries++
    await this.#line({ audit: entry })
  }

  async end(): Promise<ExportFooter> {
    const footer = { records: this.#records, entries: this.#entries, sha256: this.#hash.digest('hex') }
    await this.write(lineOf({ end: footer }))
    return footer
  }

  async #line(value: object): Promise<void> {
    const line = lineOf(value)
    this.#hash.update(line)
    await this.write(line)
  }
}

function lineOf(value: object): Buffer {
  return Buffer.from(`${JSON.stringify(value)}\n`)
}

/**
 * Reads an exported task, and checks that it is what was written.
 * @param bytesMax largest size of the file
 * @throws HoldfastError `EXPORT_INVALID` with the reason. What was yielded before may be wrong
 */
export async function* readExport(chunks: AsyncIterable<Uint8Array>, bytesMax: number): AsyncGenerator<ExportPart> {
  const hash = createHash('sha256')
  let header: ExportHeader | undefined
  let footer: ExportFooter | undefined
  let [records, entries] = [0, 0]
  for await (const line of linesOf(chunks, bytesMax)) {
    if (footer) throw damagedExport()
    const value = parse(line, header === undefined)
    if (!header) {
      header = headerOf(value)
      yield { kind: 'header', header }
    } else if (isObject(value['end'])) {
      footer = value['end'] as unknown as ExportFooter
      const isWhole = footer.records === records && footer.entries === entries && footer.sha256 === hash.digest('hex')
      if (!isWhole) throw damagedExport()
      continue
    } else if (typeof value['key'] === 'string' && typeof value['text'] === 'string') {
      records++
      yield { kind: 'record', key: value['key'], text: value['text'] }
    } else if (isObject(value['audit'])) {
      entries++
      yield { kind: 'audit', entry: value['audit'] as unknown as AuditEntry }
    } else throw damagedExport()
    hash.update(line).update('\n')
  }
  if (!footer) throw invalidExport('it has no end: the export or a copy was interrupted', 'Export the task again.')
  yield { kind: 'footer', footer }
}

async function* linesOf(chunks: AsyncIterable<Uint8Array>, bytesMax: number): AsyncGenerator<Buffer> {
  let begun: Buffer[] = []
  let begunBytes = 0
  let total = 0
  for await (const chunk of chunks) {
    total += chunk.length
    if (total > bytesMax) throw invalidExport(`it is larger than ${bytesMax} bytes`, 'Pass a larger `bytesMax`.')
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length)
    let from = 0
    for (let end = bytes.indexOf(NEWLINE); end >= 0; end = bytes.indexOf(NEWLINE, from)) {
      yield Buffer.concat([...begun, bytes.subarray(from, end)])
      begun = []
      begunBytes = 0
      from = end + 1
    }
    if (from === bytes.length) continue
    // A copy, since a stream may use the memory of its chunk again.
    begun.push(Buffer.from(bytes.subarray(from)))
    begunBytes += bytes.length - from
    if (begunBytes > LINE_BYTES_MAX) throw damagedExport()
  }
  // A last line without its end was cut short.
  if (begunBytes > 0) throw invalidExport('it was cut short', 'Make the export or the copy again.')
}

function parse(line: Buffer, isFirst: boolean): Readonly<Record<string, unknown>> {
  try {
    const value = JSON.parse(line.toString()) as unknown
    if (isObject(value)) return value
  } catch {
    // Refused below.
  }
  if (isFirst) throw notExported()
  throw damagedExport()
}

function headerOf(value: Readonly<Record<string, unknown>>): ExportHeader {
  const header = value as unknown as ExportHeader
  if (!Number.isSafeInteger(header.holdfastTask)) throw notExported()
  if (header.holdfastTask > EXPORT_VERSION) {
    throw invalidExport(`it has version ${header.holdfastTask} of the format`, 'Use a newer version of holdfast.')
  }
  const { storeId, taskId, format, exportedAt } = header
  const isWhole = typeof storeId === 'string' && storeId.length <= STORE_ID_CHARS_MAX && typeof taskId === 'string'
  const hasInstant = Number.isSafeInteger(exportedAt) && Math.abs(exportedAt) <= INSTANT_MAX
  if (!isWhole || !Number.isSafeInteger(format) || !hasInstant) throw damagedExport()
  return header
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function notExported(): HoldfastError {
  return invalidExport('it is not an exported task of Holdfast', 'Name another file.')
}

/** The refusal of a file whose bytes changed. */
export function damagedExport(): HoldfastError {
  return invalidExport('its bytes are not those that were written', 'Use another copy, or export the task again.')
}
