/**
 * The hash chain of the audit. Each value of the audit has the hash of the value before it. So a value that was changed,
 * removed or moved does not fit the next one. A hash proves nothing about the newest value: compare it with an exported head.
 *
 * audit-link-1. The hash of a value is the SHA-256 of its link: `<commit> <at> <bytes> <SHA-256 of the body>`, in UTF-8. The
 *     body is hashed as it is stored, so also a change that JSON does not see is one.
 * audit-link-2. `meta/audit` is the link of the newest value that the retention deleted. One batch writes it and deletes the
 *     value, so the oldest value that is kept always has a link before it.
 */
import { createHash } from 'node:crypto'
import { META_AUDIT, type Operation } from '../disk/layout.js'
import { seal, unsealJson } from './envelope.js'

/** `prev` of the first value of an audit. */
export const FIRST_PREV = '0'.repeat(64)

/** The text of a value that its hash covers, in parts. It stands for a value that was deleted. */
export interface AuditLink {
  /** Number of the commit. */
  readonly commit: number
  readonly at: number
  /** Bytes of the audit from its beginning, with the value. */
  readonly bytes: number
  /** SHA-256 of the body, as hexadecimal digits. */
  readonly body: string
}

/** Body of an audit value as it is stored, with its commit and what it contains. */
interface LinkedValue {
  readonly commit: number
  readonly at: number
  readonly bytes: number
  readonly body: string
}

/** The link of a value. */
export function linkOf({ commit, at, bytes, body }: LinkedValue): AuditLink {
  return { commit, at, bytes, body: sha256(body) }
}

/** The hash of a link, as hexadecimal digits: `prev` of the value after it. */
export function hashOf({ commit, at, bytes, body }: AuditLink): string {
  return sha256(`${commit} ${at} ${bytes} ${body}`)
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

/** Operation that notes the link of a deleted value (audit-link-2). */
export function deletedOperation(link: AuditLink): Operation {
  return { key: META_AUDIT, value: seal(META_AUDIT, link.commit, JSON.stringify(link)) }
}

/** Reads the link of the newest deleted value; `undefined` if none was deleted. @throws HoldfastError `RECORD_DAMAGED` */
export async function readDeleted(level: {
  get(key: string): Promise<string | undefined>
}): Promise<AuditLink | undefined> {
  const text = await level.get(META_AUDIT)
  return text === undefined ? undefined : unsealJson<AuditLink>(META_AUDIT, text)
}
