/**
 * Verifies an open database: every record, and how the records fit each other. The database must not change meanwhile,
 * so it is a copy, or one that nothing else has open. The memory does not depend on its size.
 */
import {
  idempotencyKey,
  type KeyRange,
  lastPart,
  META_FORMAT,
  META_TOTALS,
  timerParts,
  under,
} from '../../store/disk/layout.js'
import type { Level } from '../../store/disk/level.js'
import { pages } from '../../store/disk/pages.js'
import { readChain } from '../../store/integrity/chain.js'
import { unseal } from '../../store/integrity/envelope.js'
import { readHead } from '../../store/reads.js'
import type { IdempotencyEntry, IdempotencyScope } from '../../task/changes.js'
import type { TaskHead } from '../../task/head.js'
import { walkAudit } from './audit-walk.js'
import type { Find } from './findings.js'
import {
  indexKeysOf,
  isKnownIndex,
  isMarkerOf,
  keyOfUnfinished,
  markerOf,
  Recount,
  readShared,
  SHARED_KINDS,
} from './shared-rules.js'
import { TASK_KINDS } from './task-rules.js'
import { walkTasks } from './task-walk.js'

const HEADS_PER_LOOKUP = 200
const KNOWN_KINDS: ReadonlySet<string> = new Set([...TASK_KINDS, ...SHARED_KINDS])

/** Values that the database is compared with. */
export interface Expected {
  readonly storeId: string
  /** Number of a commit that the database has at least. */
  readonly anchored: number
}

/** Result of a verification of a database. */
export interface VerifiedDatabase {
  /** Number of the newest commit. */
  readonly commit: number
  /** Number of records by kind, the first part of their keys. */
  readonly counts: Readonly<Record<string, number>>
  /** Number of records of kinds that this version does not know. They are kept. */
  readonly unknown: Readonly<Record<string, number>>
  /** Bytes of all keys and values. */
  readonly bytes: number
}

/**
 * Verifies every record.
 * @param findings receives each broken invariant
 * @param onProgress called with the number of records that were read, now and then
 */
export async function verifyDatabase(
  level: Level,
  { storeId, anchored }: Expected,
  findings: { readonly find: Find },
  onProgress: (records: number) => void = () => {},
): Promise<VerifiedDatabase> {
  const verification = new Verification(level, findings, onProgress)
  const chain = await readChain(level, anchored)
  for (const damage of chain.damages) findings.find('COMMITS_MISSING', 'chain/', damage)
  await verification.checkIdentity(storeId)
  await verification.walk()
  const { counts, unknown, bytes } = verification
  return { commit: chain.newest, counts, unknown, bytes }
}

class Verification {
  readonly counts: Record<string, number> = {}
  readonly unknown: Record<string, number> = {}
  bytes = 0
  #records = 0
  readonly #recount = new Recount()
  /** Numbers of keys that must exist, and do. */
  readonly #wanted = { ix: 0, markers: 0, trail: 0 }
  /** Numbers of keys that exist. */
  readonly #present = { ix: 0, markers: 0, trail: 0 }
  readonly #copied = new Set<string>()

  constructor(
    private readonly level: Level,
    private readonly findings: { readonly find: Find },
    private readonly onProgress: (records: number) => void,
  ) {}

  async checkIdentity(storeId: string): Promise<void> {
    const { find } = this.findings
    const text = await this.level.get(META_FORMAT)
    if (text === undefined) return void find('IDENTITY_WRONG', META_FORMAT, 'it is missing')
    try {
      const inside = JSON.parse(unseal(META_FORMAT, text).body) as { storeId?: string }
      if (inside.storeId !== storeId) find('IDENTITY_WRONG', META_FORMAT, `it names the store ${inside.storeId}`)
    } catch (error) {
      find('IDENTITY_WRONG', META_FORMAT, (error as Error).message)
    }
  }

  async walk(): Promise<void> {
    const { level, findings } = this
    const { find } = findings
    await this.#scan('timer', (key) => {
      const { kind, what } = timerParts(key)
      if (kind === 'sweep') this.#present.markers++
      if (kind === 'sweep-orphan') this.#copied.add(what)
    })
    const isCopied = (taskId: string) => this.#copied.has(taskId)
    let heads: TaskHead[] = []
    for await (const head of walkTasks(level, { find, seen: this.#seen, isCopied })) {
      heads.push(head)
      if (heads.length < HEADS_PER_LOOKUP) continue
      await this.#checkHeads(heads)
      heads = []
    }
    await this.#checkHeads(heads)
    await this.#walkShared()
    await this.#walkUnknown()
    const totals = await level.get(META_TOTALS)
    try {
      this.#recount.end(META_TOTALS, totals && unseal(META_TOTALS, totals).body, find)
    } catch {
      // The seal was reported with those of the other records of `meta/`.
    }
    await this.#findSurplus()
  }

  readonly #seen = (kind: string, key: string, text: string): void => {
    this.counts[kind] = (this.counts[kind] ?? 0) + 1
    this.bytes += Buffer.byteLength(key) + Buffer.byteLength(text)
    if (++this.#records % 1_000 === 0) this.onProgress(this.#records)
  }

  /** Reads all records of a kind. `take` gets those whose seal is whole, page by page. */
  async #scan(
    kind: string,
    take: (key: string, body: string) => void,
    afterPage: () => Promise<void> = async () => {},
    takeDamaged: (key: string) => void = () => {},
  ): Promise<void> {
    for await (const page of pages(this.level, under(`${kind}/`))) {
      for (const [key, text] of page) {
        this.#seen(kind, key, text)
        const body = this.#open(key, text)
        if (body === undefined) takeDamaged(key)
        else if (lastPart(key) !== '~') this.#read(key, () => take(key, body))
      }
      await afterPage()
    }
  }

  #open(key: string, text: string): string | undefined {
    try {
      return unseal(key, text).body
    } catch (error) {
      this.findings.find('RECORD_SEAL', key, (error as Error).message)
      return undefined
    }
  }

  #read(key: string, read: () => void): void {
    try {
      read()
    } catch (error) {
      this.findings.find('RECORD_UNREADABLE', key, (error as Error).message)
    }
  }

  /** Looks up the keys that these tasks must have. */
  async #checkHeads(heads: readonly TaskHead[]): Promise<void> {
    const { find } = this.findings
    const wanted: { key: string; check: (text: string | undefined) => void }[] = []
    for (const head of heads) {
      this.#recount.add(head)
      for (const { key, body } of indexKeysOf(head)) {
        wanted.push({ key, check: (text) => this.#checkIndexEntry(key, body, text) })
      }
      const marker = markerOf(head)
      if (marker !== undefined) {
        const check = (text: string | undefined) =>
          text === undefined ? void find('TIMER_MISSING', marker, 'it is missing') : void this.#wanted.markers++
        wanted.push({ key: marker, check })
      }
      const key = keyOfUnfinished(head)
      if (key !== undefined) wanted.push({ key, check: (text) => this.#checkKey(key, head.taskId, text) })
    }
    const texts = await this.level.getMany(wanted.map(({ key }) => key))
    for (const [index, { check }] of wanted.entries()) check(texts[index])
  }

  #checkIndexEntry(key: string, body: string, text: string | undefined): void {
    const { find } = this.findings
    if (text === undefined) return void find('INDEX_MISSING', key, 'it is missing')
    this.#wanted.ix++
    if (text.slice(text.length - body.length) !== body)
      find('INDEX_MISSING', key, 'its content is not that of the head')
  }

  #checkKey(key: string, taskId: string, text: string | undefined): void {
    const { find } = this.findings
    if (text === undefined) return void find('KEY_MISSING', key, `it is missing, and task ${taskId} is unfinished`)
    this.#read(key, () => {
      const entry = JSON.parse(unsealed(text)) as IdempotencyEntry
      if (entry.taskId !== taskId) find('KEY_MISSING', key, `it leads to another task than ${taskId}`)
    })
  }

  async #walkShared(): Promise<void> {
    const { level } = this
    const { find } = this.findings
    this.#wanted.trail = await walkAudit(level, find, (...take) => this.#scan('audit', ...take))
    await this.#scan('trail', () => this.#present.trail++)
    await this.#scan('ix', (key) => {
      if (isKnownIndex(key)) this.#present.ix++
    })
    await this.#scan('settled', () => this.#present.markers++)
    await this.#walkKeys()
    for (const kind of ['binding', 'chain', 'hour', 'meta']) await this.#scan(kind, readShared)
  }

  /** An idempotency key leads to its task, or has the instant from which it is free. */
  async #walkKeys(): Promise<void> {
    const { find } = this.findings
    let entries: { key: string; taskId: string }[] = []
    await this.#scan(
      'key',
      (key, body) => {
        const { taskId, forgetAt, ...scope } = JSON.parse(body) as IdempotencyEntry
        if (keyIn(scope) !== key) find('RECORD_UNREADABLE', key, 'its content is that of another key')
        else if (forgetAt === undefined) entries.push({ key, taskId })
      },
      async () => {
        const texts = await this.level.getMany(entries.map(({ taskId }) => `task/${taskId}`))
        for (const [index, { key, taskId }] of entries.entries()) {
          if (texts[index] === undefined) find('KEY_SURPLUS', key, `it leads to task ${taskId}, which does not exist`)
        }
        entries = []
      },
    )
    let timers: string[] = []
    // A key and the timer that deletes it are deleted in one batch.
    for await (const page of pages(this.level, under('timer/'))) {
      timers = page.flatMap(([key, text]) => (timerParts(key).kind === 'forget-key' ? scopeIn(text) : []))
      const texts = await this.level.getMany(timers)
      for (const [index, key] of timers.entries()) {
        if (texts[index] === undefined) find('KEY_MISSING', key, 'it is missing, and its timer is there')
      }
    }
  }

  async #walkUnknown(): Promise<void> {
    for (let from = ''; ; ) {
      const [first] = await this.level.page({ gte: from, lt: '\uffff' }, 1)
      if (!first) return
      const [kind = ''] = first[0].split('/')
      if (!KNOWN_KINDS.has(kind)) {
        const range: KeyRange = { gte: kind, lt: `${kind}0` }
        for await (const page of pages(this.level, range)) {
          for (const [key, text] of page) {
            this.#seen(kind, key, text)
            this.#open(key, text)
          }
        }
        this.unknown[kind] = this.counts[kind] ?? 0
      }
      from = `${kind}0`
    }
  }

  /** Looks for entries without a task, where there are more entries than tasks need. */
  async #findSurplus(): Promise<void> {
    const { find } = this.findings
    if (this.#present.ix > this.#wanted.ix) {
      await this.#eachOf('ix', isKnownIndex, async (key) => {
        const head = await this.#headOf(lastPart(key))
        if (head !== 'damaged' && !(head && indexKeysOf(head).some((entry) => entry.key === key)))
          find('INDEX_SURPLUS', key, 'its task has no settled head')
      })
    }
    if (this.#present.markers > this.#wanted.markers) {
      const isMarker = (key: string) => key.startsWith('settled/') || timerParts(key).kind === 'sweep'
      for (const kind of ['settled', 'timer']) {
        await this.#eachOf(kind, isMarker, async (key) => {
          const head = await this.#headOf(lastPart(key))
          if (head !== 'damaged' && !isMarkerOf(head, key)) find('TIMER_SURPLUS', key, 'its task is not swept then')
        })
      }
    }
    if (this.#present.trail > this.#wanted.trail) {
      const isEntry = (key: string) => lastPart(key) !== '~'
      await this.#eachOf('trail', isEntry, async (key) => {
        const text = await this.level.get(`audit/${lastPart(key)}`)
        if (!text?.includes(`"${key.split('/')[1]}"`)) find('TRAIL_WRONG', key, 'the commit has no entry of the task')
      })
    }
  }

  async #eachOf(kind: string, isOf: (key: string) => boolean, act: (key: string) => Promise<void>): Promise<void> {
    for await (const page of pages(this.level, { ...under(`${kind}/`), values: false })) {
      for (const [key] of page) if (isOf(key)) await act(key)
    }
  }

  /** The head of a task; `damaged` if it is there and cannot be read, which was reported. */
  async #headOf(taskId: string): Promise<TaskHead | 'damaged' | undefined> {
    try {
      return await readHead(this.level, taskId)
    } catch {
      return 'damaged'
    }
  }
}

function keyIn({ owner, type, key }: IdempotencyScope): string {
  return idempotencyKey(owner, type, key)
}

/** The key that a timer of the kind `forget-key` deletes. */
function scopeIn(text: string): string[] {
  try {
    return [keyIn(JSON.parse(unsealed(text)) as IdempotencyScope)]
  } catch {
    return []
  }
}

/** Body of an envelope whose seal was checked with the other records of its kind. */
function unsealed(text: string): string {
  return text.slice(text.indexOf(' ', 11) + 1)
}
