/**
 * Fills a store with copies of settled tasks, which takes minutes where the engine would take hours.
 *
 * A copy is the template moved in time: each instant, task ID and audit ID in its keys and values, by the same number of
 * milliseconds; where the audit has the numbers of commits, these by the same number of commits. Its records are sealed by the store's own code. The engine sweeps a second store with the template; what
 * that changed is what a copy that is swept gets too, after it was written: deletes, and what outlives a task. The oldest
 * half of the copies is swept, while the newer ones are written, as by a `retention`. Meanwhile the ranges with many deletion
 * marks are compacted, as the engine's sweeps do.
 */
import { cpSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { ClassicLevel } from 'classic-level'
import { tsImport } from 'tsx/esm/api'
import { makeTemplate, sweepAll } from './w4-template.mjs'

// The package does not export these, so they are loaded from the source.
/** @param {string} path @returns {Promise<any>} */
const load = (path) => tsImport(new URL(`../../src/store/${path}`, import.meta.url).href, import.meta.url)
/** @type {typeof import('../../src/store/integrity/envelope.js')} */
const { seal, unseal } = await load('integrity/envelope.ts')
/** @type {typeof import('../../src/store/integrity/chain.js')} */
const { acceptOperation } = await load('integrity/chain.ts')
/** @type {typeof import('../../src/store/disk/layout.js')} */
const { META_TOTALS } = await load('disk/layout.ts')
/** @type {typeof import('../../src/store/disk/swept-ranges.js')} */
const { SweptRanges } = await load('disk/swept-ranges.ts')

const CROCKFORD = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'
// What a copy has of its own: the time part of an ID, which is 10 characters of Crockford's base 32 before at least 16
// more; an instant in milliseconds; an instant in a key, which is 12 hexadecimal digits; and the number of a commit, which
// ends the keys of the audit.
const ID = /(?<![0-9A-Z])[0-7][0-9A-HJKMNP-TV-Z]{9}(?=[0-9A-HJKMNP-TV-Z]{16})/g
const INSTANT = /(?<![0-9A-Za-z.])1[5-9]\d{11}(?![0-9A-Za-z])/g
const HEX_INSTANT = /(?<=\/)01[0-9a-f]{10}(?=\/)/g
const COMMIT = /(?<=^(?:audit|trail\/[^/]+)\/)[0-9a-f]{12}$/g
const OWN = /^(?:meta|chain)\//
const AUDIT = /^audit\//
const AUDIT_BYTES = /(?<=^[^[]*"bytes":)\d+/g
// What the engine counts of a swept task, to compact its ranges.
const SWEPT = /^(?:ix|done)\//
// The head of a task has a sum over the records of its log, so these stay as they are.
const SUMMED = /^log\//

const SPAN_MS = 60_000

/** @typedef {{ ms: number, commits: number, auditBytes: number }} Move how far a copy is from the template */
/** @typedef {{ texts: string[], moves: ((move: Move) => string)[] }} Movable a text, cut where it depends on the copy */

/**
 * Makes a store with about `settled` settled tasks in `dir`, half of them swept.
 * @param {string} dir @param {number} settled @param {number} templateTasks number of tasks of the template
 * @param {typeof makeTemplate} make makes the template
 * @returns {Promise<{ kept: number, swept: number, records: number }>}
 */
export async function fillStore(dir, settled, templateTasks, make = makeTemplate) {
  const made = await make(dir, templateTasks)
  const perCopy = Object.values(made).reduce((sum, count) => sum + count, 0)
  const sweptDir = `${dir}-swept`
  cpSync(dir, sweptDir, { recursive: true })
  await sweepAll(sweptDir)
  const before = await readAll(dir)
  const after = await readAll(sweptDir)
  rmSync(sweptDir, { recursive: true })

  const records = [...before].filter(([key]) => !OWN.test(key)).map(([key, text]) => movableRecord(key, text))
  const gone = [...before.keys()].filter((key) => !OWN.test(key) && !after.has(key)).map((key) => movable(key))
  const left = [...after].filter(([key, text]) => !OWN.test(key) && before.get(key) !== text)
  const leftOfEach = left
    .filter(([key]) => movable(key).moves.length > 0)
    .map(([key, text]) => movableRecord(key, text))
  const guards = left.filter(([key]) => movable(key).moves.length === 0)

  const sweptCopies = Math.max(1, Math.round(settled / perCopy / 2))
  const copies = 2 * sweptCopies
  const commits = Math.max(newestCommit(before), newestCommit(after))
  const auditBytes = auditBytesOf(after)
  // The last copy is the template itself, as far as time goes. The first one is the oldest.
  const moveOf = (/** @type {number} */ copy) => ({
    ms: (copy + 1 - copies) * SPAN_MS,
    commits: copy * commits,
    auditBytes: copy * auditBytes,
  })
  const level = new ClassicLevel(join(dir, 'db'), { writeBufferSize: 64 * 1024 * 1024 })
  await level.open()
  for (const key of before.keys()) if (AUDIT.test(key) || key.startsWith('trail/')) await level.del(key)
  const swept = new SweptRanges()
  for (let copy = 0; copy < copies; copy++) {
    await write(level, moveOf(copy), records, [])
    const old = copy - (copies - sweptCopies)
    if (old < 0) continue
    const deleted = await write(level, moveOf(old), leftOfEach, gone)
    swept.count(deleted.filter((key) => SWEPT.test(key)))
    for (let range = swept.take(); range; range = swept.take()) await level.compactRange(range.gte, range.lt)
  }
  const batch = level.batch()
  for (const [key, text] of guards) batch.put(key, text)
  const { key, value = '' } = acceptOperation(copies * commits)
  batch.put(key, value)
  await batch.write()
  await writeTotals(level, before, after, copies, sweptCopies)
  await level.close()
  return { kept: (copies - sweptCopies) * perCopy, swept: sweptCopies * perCopy, records: records.length * copies }
}

/** The number of the newest commit. @param {Map<string, string>} all */
function newestCommit(all) {
  const commits = [...all].filter(([key]) => key.startsWith('chain/')).map(([key, text]) => unseal(key, text).seq)
  return commits.reduce((newest, seq) => Math.max(newest, seq), 0)
}

/** The bytes that the newest value of the audit counts, which are those of the whole audit. @param {Map<string, string>} all */
function auditBytesOf(all) {
  const newest = [...all].filter(([key]) => AUDIT.test(key)).at(-1)
  return newest ? Number(JSON.parse(unseal(...newest).body).bytes ?? 0) : 0
}

/** @param {string} dir @returns {Promise<Map<string, string>>} */
async function readAll(dir) {
  const level = new ClassicLevel(join(dir, 'db'))
  await level.open({ createIfMissing: false })
  const all = new Map(await level.iterator().all())
  await level.close()
  return all
}

/** @param {string} key @param {string} text */
function movableRecord(key, text) {
  const { seq, body } = unseal(key, text)
  return {
    key: movable(key),
    seq,
    // Such a value is sealed with the number of its commit, others with a count of their task's own.
    hasCommit: key.search(COMMIT) >= 0,
    body: SUMMED.test(key) ? { texts: [body], moves: [] } : movable(body, AUDIT.test(key) ? AUDIT_BYTES : undefined),
  }
}

/** @param {string} text @param {RegExp} [auditBytes] @returns {Movable} */
function movable(text, auditBytes) {
  /** @type {{ at: number, length: number, move: (move: Move) => string }[]} */
  const found = []
  /** @param {RegExp} pattern @param {(found: string) => (move: Move) => string} moveOf */
  const find = (pattern, moveOf) => {
    for (const { 0: part, index } of text.matchAll(pattern))
      found.push({ at: index, length: part.length, move: moveOf(part) })
  }
  find(ID, (id) => {
    const time = [...id].reduce((sum, char) => sum * 32 + CROCKFORD.indexOf(char), 0)
    return ({ ms }) => encodeTime(time + ms)
  })
  find(
    INSTANT,
    (instant) =>
      ({ ms }) =>
        String(Number(instant) + ms),
  )
  const hex = (/** @type {string} */ digits, /** @type {number} */ more) =>
    (Number.parseInt(digits, 16) + more).toString(16).padStart(digits.length, '0')
  find(
    HEX_INSTANT,
    (instant) =>
      ({ ms }) =>
        hex(instant, ms),
  )
  find(
    COMMIT,
    (commit) =>
      ({ commits }) =>
        hex(commit, commits),
  )
  if (auditBytes) find(auditBytes, (bytes) => (move) => String(Number(bytes) + move.auditBytes))
  found.sort((one, other) => one.at - other.at)
  let from = 0
  const texts = found.map(({ at, length }) => {
    const before = text.slice(from, at)
    from = at + length
    return before
  })
  return { texts: [...texts, text.slice(from)], moves: found.map(({ move }) => move) }
}

/** @param {number} time */
function encodeTime(time) {
  let text = ''
  for (let left = time, char = 0; char < 10; char++, left = Math.floor(left / 32)) text = CROCKFORD[left % 32] + text
  return text
}

/** @param {Movable} movable @param {Move} by */
function moved({ texts, moves }, by) {
  let text = texts[0] ?? ''
  for (const [index, move] of moves.entries()) text += move(by) + texts[index + 1]
  return text
}

/**
 * @param {ClassicLevel<string, string>} level @param {Move} by
 * @param {readonly ReturnType<typeof movableRecord>[]} records @param {readonly Movable[]} gone
 * @returns {Promise<string[]>} the keys that were deleted
 */
async function write(level, by, records, gone) {
  const OPERATIONS = 1_000
  for (let at = 0; at < records.length; at += OPERATIONS) {
    const batch = level.batch()
    for (const record of records.slice(at, at + OPERATIONS)) {
      const key = moved(record.key, by)
      const seq = record.hasCommit ? record.seq + by.commits : record.seq
      batch.put(key, seal(key, seq, moved(record.body, by)))
    }
    await batch.write()
  }
  const keys = gone.map((key) => moved(key, by))
  for (let at = 0; at < keys.length; at += OPERATIONS) {
    const batch = level.batch()
    for (const key of keys.slice(at, at + OPERATIONS)) batch.del(key)
    await batch.write()
  }
  return keys
}

/**
 * Writes the store's counters: of each copy that is kept what the template counts, of each swept one what it counts once swept.
 * @param {ClassicLevel<string, string>} level @param {Map<string, string>} before @param {Map<string, string>} after
 * @param {number} copies @param {number} swept
 */
async function writeTotals(level, before, after, copies, swept) {
  const { seq, body } = unseal(META_TOTALS, before.get(META_TOTALS) ?? '')
  /** @type {Record<string, number>} */
  const kept = JSON.parse(body)
  /** @type {Record<string, number>} */
  const sweptOnes = JSON.parse(unseal(META_TOTALS, after.get(META_TOTALS) ?? '').body)
  const totals = Object.fromEntries(
    Object.keys(sweptOnes).map((name) => [name, (kept[name] ?? 0) * (copies - swept) + (sweptOnes[name] ?? 0) * swept]),
  )
  await level.put(META_TOTALS, seal(META_TOTALS, seq, JSON.stringify(totals)))
}
