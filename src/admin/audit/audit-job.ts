/** Reads the audit of an open database: checks its chain, and writes it as lines of JSON. Runs in a worker process. */
import { AUDIT, commitOf, META_AUDIT, under } from '../../store/disk/layout.js'
import type { Level } from '../../store/disk/level.js'
import { pages } from '../../store/disk/pages.js'
import { type AuditLink, readDeleted } from '../../store/integrity/audit-link.js'
import { unseal } from '../../store/integrity/envelope.js'
import { AuditChain, type AuditExpected, type AuditExtent, type AuditFinding } from '../verify/audit-chain.js'
import {
  type AuditExportEnd,
  type AuditExportHeader,
  isOneLine,
  lineOfUnreadable,
  lineOfValue,
} from './export-format.js'

/** Most findings that are kept one by one. All are counted. */
const FINDINGS_MAX = 1_000

/** Values to compare an audit with, and the file to write. */
export interface AuditJob extends Pick<AuditExpected, 'head' | 'keptSince'> {
  readonly export?:
    | {
        /** File to write; `null` to write to the stream of the worker. */
        readonly file: string | null
        readonly header: Omit<AuditExportHeader, 'deleted'>
      }
    | undefined
}

/** Result of a check of an audit. */
export interface AuditChecked extends AuditExtent {
  /** The findings, the first wrong entry first: at most 1,000. */
  readonly findings: readonly AuditFinding[]
  /** Number of all findings. */
  readonly findingCount: number
}

/** Collects the findings about an audit. */
export class AuditFindings {
  readonly list: AuditFinding[] = []
  count = 0

  readonly find = (finding: AuditFinding): void => {
    this.count++
    if (this.list.length < FINDINGS_MAX) this.list.push(finding)
  }
}

/**
 * Checks an audit.
 * @param write receives the text of an export, in parts
 * @param onProgress called with the number of values that were read, now and then
 */
export async function checkAudit(
  level: Level,
  { head, keptSince, export: exported }: AuditJob,
  write: (text: string) => Promise<void>,
  onProgress: (values: number) => void = () => {},
): Promise<AuditChecked> {
  const findings = new AuditFindings()
  const deleted = await deletedLink(level, findings)
  const chain = new AuditChain({ deleted, head, keptSince }, findings.find)
  if (exported) await write(`${JSON.stringify({ ...exported.header, deleted: deleted ?? null })}\n`)
  let read = 0
  for await (const page of pages(level, under(AUDIT))) {
    let lines = ''
    for (const [key, text] of page) lines += add(chain, key, text)
    if (exported) await write(lines)
    read += page.length
    onProgress(read)
  }
  const extent = chain.end()
  const { commits, entries } = extent
  const end: AuditExportEnd = { head: extent.head ?? null, commits, entries }
  if (exported) await write(`${JSON.stringify(end)}\n`)
  return { ...extent, findings: findings.list, findingCount: findings.count }
}

/** Adds a record to the chain. @returns its line */
function add(chain: AuditChain, key: string, text: string): string {
  const commit = commitOf(key)
  let body = ''
  let reason = 'it is no value of the audit'
  try {
    body = unseal(key, text).body
  } catch (error) {
    reason = (error as Error).message
  }
  if (isOneLine(body)) {
    chain.add(commit, body)
    return lineOfValue(commit, body)
  }
  chain.addUnreadable(commit, reason)
  return lineOfUnreadable(commit, reason)
}

async function deletedLink(level: Level, findings: AuditFindings): Promise<AuditLink | undefined> {
  try {
    return await readDeleted(level)
  } catch (error) {
    const [commit, message] = [0, `${META_AUDIT} cannot be read: ${(error as Error).message}`]
    findings.find({ code: 'DELETED_RECORD', commit, entryId: '', message })
    return undefined
  }
}
