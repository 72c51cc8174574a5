/**
 * Checks the hash chain of the audit (store/integrity/audit-link.ts), value by value, and names the first wrong entry. Pure.
 *
 * A hash that does not fit shows that one of two neighbours is wrong. The value that the next one vouches for is right, so the
 * other one was changed, or values between the two are missing. The sizes that the values count tell the two cases apart.
 */
import { type AuditValue, auditIdOf, bytesBeforeOf } from '../../store/audit.js'
import { type AuditLink, FIRST_PREV, hashOf, linkOf } from '../../store/integrity/audit-link.js'

/** The end of an audit at some time: the number of its newest commit, and the hash of that. */
export interface AuditHead {
  readonly commit: number
  /** SHA-256, as hexadecimal digits. */
  readonly hash: string
}

/** True for a head. */
export function isAuditHead(given: unknown): given is AuditHead {
  const { commit, hash } = (given ?? {}) as Partial<AuditHead>
  return (
    Number.isSafeInteger(commit) && (commit as number) >= 0 && typeof hash === 'string' && /^[0-9a-f]{64}$/.test(hash)
  )
}

/** A kind of damage to the audit. */
export type AuditFindingCode =
  /** The entries of the commit are not those that were written, or they were moved here. */
  | 'CHANGED'
  /** Entries before those of the commit are missing; with a head, those of the commit may be. */
  | 'MISSING'
  /** The value or the line of the commit cannot be read. */
  | 'UNREADABLE'
  /** The record of the deleted entries, `meta/audit`, was changed or removed. */
  | 'DELETED_RECORD'
  /** The entries up to the commit of the head are not those of which the head was exported. */
  | 'NOT_THE_HEAD'
  /** The audit ends before the commit of the head. */
  | 'CUT'
  /** The commit of the head is older than all that is kept, so the head shows nothing. */
  | 'HEAD_TOO_OLD'
  /** Entries were deleted that are newer than `keptSince`. */
  | 'DELETED_EARLY'

/** One damage to the audit. */
export interface AuditFinding {
  readonly code: AuditFindingCode
  /** Number of the commit whose entries are concerned. The hash is of a whole commit. */
  readonly commit: number
  /** ID of the first entry of that commit. */
  readonly entryId: string
  /** Line of an exported file, from 1. */
  readonly line?: number | undefined
  /** Description of the damage. */
  readonly message: string
}

/** Values that the audit is compared with. */
export interface AuditExpected {
  /** Link of the newest value that was deleted; `undefined` if none was. */
  readonly deleted: AuditLink | undefined
  readonly head?: AuditHead | undefined
  /** Instant since which entries must be kept. */
  readonly keptSince?: number | undefined
}

/** Content of an audit, as far as it can be read. */
export interface AuditExtent {
  /** Number of commits with entries that are kept. */
  readonly commits: number
  /** Number of entries that are kept. */
  readonly entries: number
  /** Number of commits at the beginning that were written before there was a chain. Only the newest of them is covered. */
  readonly unchained: number
  /** The newest commit; `undefined` for an audit without entries. */
  readonly head: AuditHead | undefined
  /** The newest commit whose entries were deleted by the retention, and its instant; `undefined` if none was. */
  readonly deleted: { readonly commit: number; readonly at: number } | undefined
}

// Only a value, the one before it and the head can be reported twice.
const NAMED_MAX = 4

interface Value {
  readonly commit: number
  readonly prev: string
  readonly bytes: number
  readonly bytesBefore: number
  readonly hash: string
  /** True if it counts the bytes of the value before and its own. Without this, a wrong count would look like missing values. */
  isOfSize: boolean
}

/** A neighbour: a value, or what stands before the first one; `unreadable` if its hash is unknown. */
type Before = Value | 'beginning' | 'unreadable'

/** Checks the values of an audit in the order of their commits. */
export class AuditChain {
  readonly #beginning: { readonly hash: string; readonly bytes: number }
  #before: Before = 'beginning'
  /** The newest value, which is judged once the next one is known. */
  #pending: Value | undefined
  #lastCommit = 0
  #hasBegun = false
  #isHeadSeen = false
  /** The newest commits that were reported. */
  readonly #named: number[] = []
  #commits = 0
  #entries = 0
  #unchained = 0
  #head: AuditHead | undefined
  #own: AuditHead | undefined

  constructor(
    private readonly expected: AuditExpected,
    private readonly find: (finding: AuditFinding) => void,
  ) {
    const { deleted, head, keptSince } = expected
    this.#beginning = deleted ? { hash: hashOf(deleted), bytes: deleted.bytes } : { hash: FIRST_PREV, bytes: 0 }
    if (!deleted) return
    this.#lastCommit = deleted.commit
    this.#head = { commit: deleted.commit, hash: this.#beginning.hash }
    if (keptSince !== undefined && deleted.at > keptSince) {
      const [until, since] = [new Date(deleted.at), new Date(keptSince)].map((instant) => instant.toISOString())
      this.#report({
        code: 'DELETED_EARLY',
        commit: deleted.commit,
        message: `entries up to ${until} were deleted, and must be kept since ${since}`,
      })
    }
    if (head && head.commit < deleted.commit) {
      this.#isHeadSeen = true
      this.#report({
        code: 'HEAD_TOO_OLD',
        commit: head.commit,
        message: `the head is of a commit before all that are kept; use a newer head`,
      })
    }
    this.#compareHead(deleted.commit, this.#beginning.hash)
  }

  /** Adds the value of the next commit. @param body as it was written @returns its entries; none if it is unreadable */
  add(commit: number, body: string): AuditValue['entries'] {
    let read: ReturnType<typeof valueIn>
    try {
      read = valueIn(body)
    } catch (error) {
      this.addUnreadable(commit, (error as Error).message)
      return []
    }
    const { prev, at, bytes, entries } = read.value
    const link = linkOf({ commit, at, bytes, body })
    this.#commits++
    this.#entries += entries.length
    if (prev === '' && !this.#hasBegun) this.#unchained++
    this.#take({ commit, prev, bytes, bytesBefore: read.bytesBefore, hash: hashOf(link), isOfSize: true })
    return entries
  }

  /** Adds a value that cannot be read. The next one is then not compared with it. */
  addUnreadable(commit: number, reason: string): void {
    this.#judge('unreadable')
    this.#before = 'unreadable'
    this.#pending = undefined
    this.#report({ code: 'UNREADABLE', commit, message: reason })
    if (this.expected.head?.commit === commit) this.#isHeadSeen = true
    this.#lastCommit = Math.max(commit, this.#lastCommit)
  }

  /** Ends the audit. @param own head at the end of an exported file, which is of its newest commit */
  end(own?: AuditHead): AuditExtent {
    this.#own = own
    this.#judge(undefined)
    const { deleted, head } = this.expected
    if (own) this.#compareOwn(own)
    if (head && !this.#isHeadSeen) {
      const end = this.#lastCommit === 0 ? 'is empty' : `ends with commit ${this.#lastCommit}`
      this.#report({
        code: 'CUT',
        commit: head.commit,
        message: `the audit ${end}, and the head is of commit ${head.commit}`,
      })
    }
    return {
      commits: this.#commits,
      entries: this.#entries,
      unchained: this.#unchained,
      head: this.#head,
      deleted: deleted && { commit: deleted.commit, at: deleted.at },
    }
  }

  #compareOwn({ commit, hash }: AuditHead): void {
    const last = this.#head
    if (commit > this.#lastCommit) {
      this.#report({ code: 'CUT', commit, message: `the entries up to commit ${commit} are missing` })
    } else if (last && (last.commit > commit || (last.commit === commit && last.hash !== hash))) {
      this.#report({ code: 'CHANGED', commit: last.commit, message: 'the head at the end of the file is not its hash' })
    }
  }

  #take(value: Value): void {
    const { commit } = value
    this.#judge(value)
    if (this.#pending) this.#before = this.#pending
    this.#pending = value
    if (commit <= this.#lastCommit)
      this.#report({ code: 'CHANGED', commit, message: 'it is not in the order of the commits' })
    const { head } = this.expected
    if (head && !this.#isHeadSeen && commit > head.commit) {
      this.#isHeadSeen = true
      this.#report({
        code: 'MISSING',
        commit: head.commit,
        message: `the commit of the head, ${head.commit}, is missing`,
      })
    }
    this.#lastCommit = Math.max(commit, this.#lastCommit)
  }

  /** Compares the value that is pending with the one before it. */
  #judge(next: Value | 'unreadable' | undefined): void {
    const value = this.#pending
    if (!value) return
    const { commit, prev, hash } = value
    const before = this.#before
    if (prev !== '') this.#hasBegun = true
    this.#head = { commit, hash }
    if (before !== 'unreadable') value.isOfSize = value.bytesBefore === this.#bytesOf(before)
    if (!this.#isLinked(before, value)) this.#report(this.#wrongAt(before, value, next))
    this.#compareHead(commit, hash)
  }

  #isLinked(before: Before, { prev }: Value): boolean {
    if (prev === '') return !this.#hasBegun
    if (before === 'unreadable') return true
    return prev === (before === 'beginning' ? this.#beginning.hash : before.hash)
  }

  /** Finds what is wrong where a value has not the hash of the one before. */
  #wrongAt(before: Before, value: Value, next: Value | 'unreadable' | undefined): Omit<AuditFinding, 'entryId'> {
    const { commit, prev } = value
    const code = 'CHANGED'
    if (prev === '') return { code, commit, message: 'it has no hash, and there are hashes before it' }
    // A value after an unreadable one is not compared, so `before` is none.
    const neighbour = before as Exclude<Before, 'unreadable'>
    if (neighbour !== 'beginning' && !neighbour.isOfSize) {
      return { code, commit: neighbour.commit, message: 'its size is not the one that it counts' }
    }
    const missing = value.bytesBefore - this.#bytesOf(neighbour)
    if (!this.#isVouchedFor(value, next) || (next === undefined && missing < 0)) {
      return { code, commit, message: 'its hash and those of its neighbours differ' }
    }
    if (missing > 0) {
      value.isOfSize = true
      return { code: 'MISSING', commit, message: 'entries before it are missing' }
    }
    if (neighbour !== 'beginning')
      return { code, commit: neighbour.commit, message: 'the next one has another hash of it' }
    const { deleted } = this.expected
    const message = 'the first entry has another hash of the entries that were deleted before it'
    return { code: 'DELETED_RECORD', commit: deleted?.commit ?? commit, message }
  }

  /** True if what comes after a value has its hash. The end of the audit is believed if no head shows another one. */
  #isVouchedFor({ commit, hash }: Value, next: Value | 'unreadable' | undefined): boolean {
    const head = [this.expected.head, this.#own].find((each) => each?.commit === commit)
    if (head) return head.hash === hash
    return next === undefined || next === 'unreadable' || next.prev === '' || next.prev === hash
  }

  #bytesOf(before: Exclude<Before, 'unreadable'>): number {
    return before === 'beginning' ? this.#beginning.bytes : before.bytes
  }

  /** Compares a hash with the head, if it is of that commit. */
  #compareHead(commit: number, hash: string): void {
    const { head } = this.expected
    if (head?.commit !== commit) return
    this.#isHeadSeen = true
    if (head.hash === hash) return
    this.#report({
      code: 'NOT_THE_HEAD',
      commit,
      message: 'these entries, or entries before them, are not those of the head',
    })
  }

  /** Reports a damage; only the first one of a commit. */
  #report(damage: Omit<AuditFinding, 'entryId'>): void {
    const { commit } = damage
    if (this.#named.includes(commit)) return
    this.#named.push(commit)
    if (this.#named.length > NAMED_MAX) this.#named.shift()
    this.find({ ...damage, entryId: auditIdOf(commit, 0) })
  }
}

function valueIn(body: string): { value: AuditValue; bytesBefore: number } {
  const value = JSON.parse(body) as AuditValue
  const { prev, at, bytes, entries } = value
  const isOne = (prev === '' || /^[0-9a-f]{64}$/.test(prev)) && Number.isSafeInteger(at) && Number.isSafeInteger(bytes)
  if (!isOne || !Array.isArray(entries)) throw new Error('it is no value of the audit')
  return { value, bytesBefore: bytesBeforeOf(value) }
}
