/** Checks an exported audit, without the store that it is of. The memory does not depend on its size. */
import { createReadStream } from 'node:fs'
import { HoldfastError } from '../../base/errors.js'
import { auditIdOf } from '../../store/audit.js'
import { explain } from '../../store/disk/damage.js'
import { AuditChain, type AuditExpected, type AuditExtent, type AuditFinding } from '../verify/audit-chain.js'
import { type AuditChecked, AuditFindings } from './audit-job.js'
import { type AuditExportEnd, type AuditExportHeader, headerOf, invalidAudit, lineOf } from './export-format.js'

const LINE_FEED = 0x0a
const LINE_BYTES_MAX = 64 * 1024 * 1024
const LINES_PER_PROGRESS = 1_000

/** Result of the check of an exported audit. */
export interface CheckedFile extends AuditChecked {
  readonly header: AuditExportHeader
}

// A finding is about a line, the one before it, or the head.
const LINES_NOTED_MAX = 4

/** Checks the lines of an exported audit, from the first to the last. */
export class FileCheck {
  readonly #findings = new AuditFindings()
  /** The newest lines, with their commits. */
  readonly #noted: { readonly commit: number; readonly line: number }[] = []
  #line = 0
  #lastCommit = 0
  #isOver = false
  #begun: { readonly header: AuditExportHeader; readonly chain: AuditChain } | undefined
  #extent: AuditExtent | undefined

  constructor(
    private readonly file: string,
    private readonly expected: Omit<AuditExpected, 'deleted'>,
  ) {}

  /**
   * Adds a line without its end; `undefined` for one that is no UTF-8.
   * @throws HoldfastError `AUDIT_INVALID` if the first line is not that of an exported audit
   */
  add(text: string | undefined): void {
    this.#line++
    if (!this.#begun) {
      const header = headerOf(text ?? '', this.file)
      const expected = { ...this.expected, deleted: header.deleted ?? undefined }
      this.#begun = { header, chain: new AuditChain(expected, this.#find) }
      return
    }
    const { chain } = this.#begun
    const line = text === undefined ? undefined : lineOf(text)
    if (this.#extent) {
      if (!this.#isOver) this.#note(this.#lastCommit + 1, 'there are lines after the end')
      this.#isOver = true
    } else if (line?.kind === 'end') {
      this.#extent = chain.end(line.end.head ?? undefined)
      this.#compareCounts(line.end, this.#extent)
    } else if (line?.kind === 'value') {
      this.#note(line.commit)
      chain.add(line.commit, line.body)
    } else {
      // The number of a line that cannot be read is unknown. It stands where a later commit is expected.
      const commit = line?.commit ?? this.#lastCommit + 1
      this.#note(commit)
      chain.addUnreadable(commit, line?.reason ?? 'the line is no UTF-8')
    }
  }

  /** Ends the file. @throws HoldfastError `AUDIT_INVALID` for a file without a line */
  end(): CheckedFile {
    const { header, chain } = this.#begun ?? { header: headerOf('', this.file), chain: undefined }
    if (!this.#extent) {
      this.#extent = (chain as AuditChain).end()
      this.#note(this.#lastCommit + 1, 'the file has no end: it was cut')
    }
    const { list: findings, count: findingCount } = this.#findings
    return { ...this.#extent, header, findings, findingCount }
  }

  /** Notes the line of a commit, and reports what is wrong with it. */
  #note(commit: number, wrong?: string): void {
    this.#lastCommit = Math.max(commit, this.#lastCommit)
    this.#noted.push({ commit, line: this.#line })
    if (this.#noted.length > LINES_NOTED_MAX) this.#noted.shift()
    if (wrong === undefined) return
    this.#find({ code: 'CUT', commit, entryId: auditIdOf(commit, 0), message: wrong })
  }

  #compareCounts({ commits, entries, head }: AuditExportEnd, found: AuditExtent): void {
    if (this.#findings.count > 0 || (commits === found.commits && entries === found.entries)) return
    const commit = head?.commit ?? this.#lastCommit
    const message = `the last line counts ${commits} commits and ${entries} entries, and there are ${found.commits} and ${found.entries}`
    this.#find({ code: 'CHANGED', commit, entryId: auditIdOf(commit, 0), message })
  }

  readonly #find = (finding: AuditFinding): void => {
    const line = this.#noted.findLast(({ commit }) => commit === finding.commit)?.line
    this.#findings.find(line === undefined ? finding : { ...finding, line })
  }
}

/**
 * Checks an exported audit.
 * @throws HoldfastError `AUDIT_INVALID` if it is none, or cannot be read
 */
export async function checkAuditFile(
  file: string,
  expected: Omit<AuditExpected, 'deleted'>,
  { onLines, signal }: { onLines: (lines: number) => void; signal?: AbortSignal | undefined },
): Promise<CheckedFile> {
  const check = new FileCheck(file, expected)
  let lines = 0
  for await (const line of linesOf(file, signal)) {
    check.add(line)
    if (++lines % LINES_PER_PROGRESS === 0) onLines(lines)
  }
  return check.end()
}

/** The lines of a file without their ends; `undefined` for a line that is no UTF-8. Nothing but a line feed ends a line. */
async function* linesOf(file: string, signal: AbortSignal | undefined): AsyncGenerator<string | undefined> {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  const textOf = (parts: readonly Buffer[]) => {
    try {
      return decoder.decode(Buffer.concat(parts))
    } catch {
      return undefined
    }
  }
  let parts: Buffer[] = []
  let bytes = 0
  try {
    for await (const chunk of createReadStream(file, { signal }) as AsyncIterable<Buffer>) {
      let from = 0
      for (let end = chunk.indexOf(LINE_FEED); end >= 0; end = chunk.indexOf(LINE_FEED, from)) {
        yield textOf([...parts, chunk.subarray(from, end)])
        from = end + 1
        parts = []
        bytes = 0
      }
      parts.push(chunk.subarray(from))
      bytes += chunk.length - from
      if (bytes > LINE_BYTES_MAX) {
        const message = `The file ${file} is no exported audit of Holdfast: it has a line of more than 64 MiB.`
        throw invalidAudit(message, { file })
      }
    }
  } catch (cause) {
    signal?.throwIfAborted()
    if (cause instanceof HoldfastError) throw cause
    throw invalidAudit(`The file ${file} cannot be read: ${explain(cause)}`, { file }, cause)
  }
  if (bytes > 0) yield textOf(parts)
}
