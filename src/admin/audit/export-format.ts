/**
 * The format of an exported audit: a file of lines of JSON, in UTF-8. Pure.
 *
 * - The first line names the format and the store, and has the link of what was deleted before (audit-link-2).
 * - Each further line is the value of one commit, as the store has it, with its number before: `{"commit":17,` and the rest of
 *   the body. So the hashes of the store hold for the file, and nothing is computed anew.
 * - The last line is the head, and the numbers of commits and entries. A file without one was cut.
 */
import { HoldfastError } from '../../base/errors.js'
import type { AuditLink } from '../../store/integrity/audit-link.js'
import { type AuditHead, isAuditHead } from '../verify/audit-chain.js'

/** Version of the format of exported audits. */
export const AUDIT_EXPORT_VERSION = 1

/** First line of an exported audit. */
export interface AuditExportHeader {
  readonly holdfastAudit: number
  readonly storeId: string
  /** Instant of the copy of the store, in milliseconds since the epoch. */
  readonly exportedAt: number
  /** Version of the library that wrote the file. */
  readonly version: string
  /** Link of the newest value that the retention deleted; `null` if it deleted none. */
  readonly deleted: AuditLink | null
}

/** Last line of an exported audit. */
export interface AuditExportEnd {
  /** `null` for an audit without entries. */
  readonly head: AuditHead | null
  readonly commits: number
  readonly entries: number
}

/** A line after the first one. */
export type AuditLine =
  | { readonly kind: 'value'; readonly commit: number; readonly body: string }
  | { readonly kind: 'unreadable'; readonly commit: number | undefined; readonly reason: string }
  | { readonly kind: 'end'; readonly end: AuditExportEnd }

/** Creates the refusal of a file or of a head. */
export function invalidAudit(
  reason: string,
  details: Readonly<Record<string, unknown>>,
  cause?: unknown,
): HoldfastError {
  return new HoldfastError('AUDIT_INVALID', reason, { cause, details })
}

/** True if a body can be a line: an object without a line break, as every writer makes it. */
export function isOneLine(body: string): boolean {
  return body.startsWith('{"') && body.endsWith('}') && !body.includes('\n')
}

/** The line of a value. */
export function lineOfValue(commit: number, body: string): string {
  return `{"commit":${commit},${body.slice(1)}\n`
}

/** The line in place of a value that cannot be read. */
export function lineOfUnreadable(commit: number, reason: string): string {
  return `${JSON.stringify({ commit, unreadable: reason })}\n`
}

/** Reads the first line. @throws HoldfastError `AUDIT_INVALID` */
export function headerOf(line: string, file: string): AuditExportHeader {
  const header = parsed(line) as Partial<AuditExportHeader> | undefined
  const { holdfastAudit: version, storeId, deleted } = header ?? {}
  if (typeof version !== 'number' || typeof storeId !== 'string') {
    throw invalidAudit(`The file ${file} is no exported audit of Holdfast. Name another file.`, { file })
  }
  if (version > AUDIT_EXPORT_VERSION) {
    const message = `The file ${file} has version ${version} of the format. Use a newer version of holdfast.`
    throw invalidAudit(message, { file, version })
  }
  if (deleted !== null && !isLink(deleted)) {
    throw invalidAudit(`The first line of the file ${file} was changed: it has no link. Use another copy.`, { file })
  }
  return header as AuditExportHeader
}

const VALUE_LINE = /^\{"commit":(0|[1-9]\d{0,15}),(.*\})$/s

/** Reads a line after the first one. */
export function lineOf(line: string): AuditLine {
  const [, commit, rest = ''] = VALUE_LINE.exec(line) ?? []
  if (commit !== undefined) {
    const reason =
      (rest.startsWith('"unreadable":') && (parsed(line) as { unreadable?: unknown } | undefined)?.unreadable) || ''
    if (typeof reason === 'string' && reason !== '') return { kind: 'unreadable', commit: Number(commit), reason }
    return { kind: 'value', commit: Number(commit), body: `{${rest}` }
  }
  const end = parsed(line) as Partial<AuditExportEnd> | undefined
  if (end && (end.head === null || isAuditHead(end.head))) return { kind: 'end', end: end as AuditExportEnd }
  return { kind: 'unreadable', commit: undefined, reason: 'the line cannot be read' }
}

function isLink(given: unknown): given is AuditLink {
  const { commit, at, bytes, body } = (given ?? {}) as Partial<AuditLink>
  return [commit, at, bytes].every(Number.isSafeInteger) && typeof body === 'string'
}

function parsed(line: string): unknown {
  try {
    const value: unknown = JSON.parse(line)
    return typeof value === 'object' && value !== null ? value : undefined
  } catch {
    return undefined
  }
}
