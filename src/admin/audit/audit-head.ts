/** Heads of audits as text: `<commit>:<hash>`, or a file that has one. */
import { type FileHandle, open } from 'node:fs/promises'
import { explain } from '../../store/disk/damage.js'
import { type AuditHead, isAuditHead } from '../verify/audit-chain.js'
import { invalidAudit } from './export-format.js'

const TEXT = /^(\d{1,16}):([0-9a-f]{64})$/
const TAIL_BYTES = 64 * 1024

/** The text of a head, as a command line prints and accepts it. */
export function auditHeadText({ commit, hash }: AuditHead): string {
  return `${commit}:${hash}`
}

/**
 * Reads a head: a text `<commit>:<hash>`, or the name of a file. The file is an exported audit, a line of JSON with a `head`, or
 * such a text.
 * @throws HoldfastError `AUDIT_INVALID` if there is no head in it
 */
export async function readAuditHead(given: string): Promise<AuditHead> {
  const head = headIn(given) ?? headIn(await lastLine(given))
  if (head) return head
  throw invalidAudit(`The file ${given} has no head in its last line. Name an exported audit, or <commit>:<hash>.`, {
    file: given,
  })
}

function headIn(text: string): AuditHead | undefined {
  const [, commit, hash] = TEXT.exec(text) ?? []
  if (commit !== undefined && hash !== undefined) return { commit: Number(commit), hash }
  try {
    const value = JSON.parse(text) as { head?: unknown } | null
    return [value?.head, value].find(isAuditHead)
  } catch {
    return undefined
  }
}

async function lastLine(path: string): Promise<string> {
  let file: FileHandle | undefined
  try {
    file = await open(path, 'r')
    const { size } = await file.stat()
    const bytes = Buffer.alloc(Math.min(size, TAIL_BYTES))
    const { bytesRead } = await file.read(bytes, 0, bytes.length, size - bytes.length)
    return bytes.toString('utf8', 0, bytesRead).trimEnd().split('\n').at(-1) ?? ''
  } catch (cause) {
    const message = `The head ${path} is neither <commit>:<hash> nor a file that can be read: ${explain(cause)}`
    throw invalidAudit(message, { file: path }, cause)
  } finally {
    await file?.close()
  }
}
