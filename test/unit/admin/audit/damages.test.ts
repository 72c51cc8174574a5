/**
 * Goal: every edit, removal and move of audit entries that does not compute the hashes anew is found, in a store and in an
 * exported file, and the first wrong entry is named. A cut end is found with a head, and not without one.
 * Method: a store in memory that tasks have filled; random damages to copies of it and of its export, each checked on its own.
 * AUDIT_DAMAGES sets their number (1,000), AUDIT_SEED the first seed.
 */
import { defineTask } from 'holdfast'
import { ManualClock, MemoryDisk, openInMemory, untilIdle } from 'holdfast/testing'
import { beforeAll, describe, expect, test } from 'vitest'
import { type AuditChecked, checkAudit } from '../../../../src/admin/audit/audit-job.js'
import { FileCheck } from '../../../../src/admin/audit/check-file.js'
import { lineOfValue } from '../../../../src/admin/audit/export-format.js'
import type { AuditHead } from '../../../../src/admin/verify/audit-chain.js'
import { auditIdOf } from '../../../../src/store/audit.js'
import { auditKey, commitOf, META_AUDIT } from '../../../../src/store/disk/layout.js'
import { hashOf, linkOf } from '../../../../src/store/integrity/audit-link.js'
import { seal, unseal } from '../../../../src/store/integrity/envelope.js'
import { type Damaged, damageOf, randomOf, type Written } from '../../../helpers/audit-damages.js'

const DAMAGES = Number(process.env['AUDIT_DAMAGES'] ?? 1_000)
const SEED = Number(process.env['AUDIT_SEED'] ?? 20_261_129)
const quick = defineTask({ name: 'quick' }, (task) => task.step('one', () => 1))

let values: readonly Written[]
/** Record `meta/audit`: values before the first one were deleted. */
let deleted: string
/** The lines of the export, with the first and the last one. */
let lines: readonly string[]
let head: AuditHead

beforeAll(async () => {
  const disk = new MemoryDisk()
  const clock = new ManualClock()
  const holdfast = await openInMemory({ disk, clock, tasks: [quick], auditRetention: '1d' })
  const run = async (count: number) => {
    const started = Array.from({ length: count }, () => holdfast.start(quick, undefined, { owner: 'ann' }))
    for (const { taskId } of await Promise.all(started)) await holdfast.result(taskId)
    await untilIdle(holdfast)
  }
  await run(3)
  await clock.advance(86_400_000 - 60_000)
  for (let n = 0; n < 25; n++) await run(1 + (n % 3))
  await clock.advance(120_000)
  await untilIdle(holdfast)
  await holdfast.close()
  const bodyOf = (key: string) => unseal(key, disk.content.get(key) as string).body
  const keys = [...disk.content.keys()].filter((key) => key.startsWith('audit/')).sort()
  values = keys.map((key) => ({ commit: commitOf(key), body: bodyOf(key) }))
  deleted = disk.content.get(META_AUDIT) as string
  lines = await exported(values)
  head = headOf(values.at(-1) as Written)
})

function headOf({ commit, body }: Written): AuditHead {
  const { at, bytes } = JSON.parse(body) as { at: number; bytes: number }
  return { commit, hash: hashOf(linkOf({ commit, at, bytes, body })) }
}

function diskOf({ values, isUnsealed }: Pick<Damaged, 'values' | 'isUnsealed'>): MemoryDisk {
  const disk = new MemoryDisk()
  disk.damage(META_AUDIT, deleted)
  for (const { commit, body } of values) {
    const key = auditKey(commit)
    const isBroken = isUnsealed && !body.endsWith(']}')
    disk.damage(key, isBroken ? seal(key, commit, `${body}]}`).slice(0, -2) : seal(key, commit, body))
  }
  return disk
}

async function inStore(damaged: Pick<Damaged, 'values' | 'isUnsealed'>, head?: AuditHead): Promise<AuditChecked> {
  const level = await diskOf(damaged).open()
  return checkAudit(level, { head }, async () => {})
}

async function exported(values: readonly Written[]): Promise<string[]> {
  let text = ''
  const header = { holdfastAudit: 1, storeId: 'a-store', exportedAt: 1, version: '0.0.0' }
  const level = await diskOf({ values }).open()
  await checkAudit(level, { export: { file: null, header } }, async (part) => {
    text += part
  })
  return text.trimEnd().split('\n')
}

function inFile(lines: readonly (string | undefined)[], head?: AuditHead): AuditChecked {
  const check = new FileCheck('audit.jsonl', { head })
  for (const line of lines) check.add(line)
  return check.end()
}

/** The lines of the export in which the values are others. */
function linesOf(values: readonly Written[]): string[] {
  const changed = values.map(({ commit, body }) => lineOfValue(commit, body).trimEnd())
  return [lines[0] as string, ...changed, lines.at(-1) as string]
}

test('an audit that is not damaged has no findings, with a head and without one', async () => {
  expect(values.length).toBeGreaterThan(50)
  for (const given of [undefined, head, headOf(values[7] as Written)]) {
    for (const checked of [await inStore({ values }, given), inFile(lines, given)]) {
      expect(checked).toMatchObject({ findings: [], findingCount: 0, head, commits: values.length })
    }
  }
})

describe(`of ${DAMAGES} random edits, removals and moves of entries, all are found, and the first wrong entry is named,`, () => {
  // Where the commit of the head is missing, that one is named.
  const wrongIn = ({ values, wrong }: Damaged, given: AuditHead | undefined) =>
    given && !values.some(({ commit }) => commit === given.commit) ? Math.min(wrong, given.commit) : wrong
  const each = async (
    given: AuditHead | undefined,
    check: (damaged: Damaged) => AuditChecked | Promise<AuditChecked>,
  ) => {
    const kinds = new Set<string>()
    for (let n = 0; n < DAMAGES; n++) {
      const damaged = damageOf(values, randomOf(SEED + n), !given)
      const [first] = (await check(damaged)).findings
      const about = `AUDIT_SEED=${SEED + n} AUDIT_DAMAGES=1: ${damaged.what}`
      const wrong = wrongIn(damaged, given)
      expect(first, about).toMatchObject({ commit: wrong, entryId: auditIdOf(wrong, 0) })
      kinds.add(damaged.what)
    }
    if (DAMAGES >= 1_000) expect(kinds.size).toBe(21)
  }

  test('in a store', () => each(undefined, (damaged) => inStore(damaged)))
  test('in a store, with its head', () => each(head, (damaged) => inStore(damaged, head)))
  test('in an exported file', () => each(head, ({ values }) => inFile(linesOf(values))))
})

test('a line that was moved, with the number of its commit, is named, or the first one after its place', () => {
  const body = lines.slice(1, -1)
  const random = randomOf(SEED)
  for (let n = 0; n < 200; n++) {
    const [from, to] = [random(body.length), random(body.length)]
    if (from === to) continue
    const rest = body.toSpliced(from, 1)
    rest.splice(to, 0, body[from] as string)
    const wrong = values[to < from ? from : from + 1]?.commit
    const { findings } = inFile([lines[0], ...rest, lines.at(-1)])
    expect(findings[0], `from ${from} to ${to}`).toMatchObject({ commit: wrong })
    expect(findings[0]?.line, `from ${from} to ${to}`).toBe(Math.min(from, to) + 2)
  }
})

test('a cut end of a store is found with a head, and not without one', async () => {
  for (const length of [values.length - 1, values.length - 5, 1, 0]) {
    const cut = { values: values.slice(0, length) }
    expect((await inStore(cut)).findings).toEqual([])
    expect((await inStore(cut, head)).findings).toMatchObject([{ code: 'CUT', commit: head.commit }])
  }
})

test('a cut end of a file is found, and with a last line computed anew only with a head', async () => {
  for (const length of [values.length - 1, values.length - 5, 1]) {
    const cut = values.slice(0, length)
    expect(inFile(linesOf(cut)).findings).toMatchObject([{ code: 'CUT', commit: head.commit }])
    expect(inFile(linesOf(cut).slice(0, -1)).findings).toMatchObject([{ code: 'CUT' }])
    const forged = await exported(cut)
    expect(inFile(forged).findings).toEqual([])
    expect(inFile(forged, head).findings).toMatchObject([{ code: 'CUT', commit: head.commit }])
  }
})

test('a change with all hashes computed anew is found with a head, and not without one', async () => {
  const forged: Written[] = []
  for (const [index, { commit, body }] of values.entries()) {
    const before = forged.at(-1)
    const prev = index === 0 || !before ? undefined : headOf(before).hash
    const text = index === 20 ? body.replace('"by":"', '"by":"x') : body
    forged.push({ commit, body: prev === undefined ? text : text.replace(/"prev":"\w+"/, `"prev":"${prev}"`) })
  }
  expect((await inStore({ values: forged })).findings).toEqual([])
  const { findings } = await inStore({ values: forged }, head)
  expect(findings).toMatchObject([{ code: 'NOT_THE_HEAD', commit: head.commit }])
  // A head of before the change holds.
  expect((await inStore({ values: forged }, headOf(values[19] as Written))).findings).toEqual([])
})

test('a head whose entries the retention has deleted shows nothing, and that is a finding', async () => {
  const [first] = values as [Written]
  const old = { commit: first.commit - 5, hash: 'a'.repeat(64) }
  expect((await inStore({ values }, old)).findings).toMatchObject([{ code: 'HEAD_TOO_OLD', commit: old.commit }])
  // The newest deleted one is still known.
  const { commit, at, bytes, body } = JSON.parse(unseal(META_AUDIT, deleted).body) as ReturnType<typeof linkOf>
  const newest = { commit, hash: hashOf({ commit, at, bytes, body }) }
  expect((await inStore({ values }, newest)).findings).toEqual([])
  const wrong = { commit, hash: 'a'.repeat(64) }
  expect((await inStore({ values }, wrong)).findings).toMatchObject([{ code: 'NOT_THE_HEAD', commit }])
})

test('a changed or missing record of what was deleted is found', async () => {
  const link = JSON.parse(unseal(META_AUDIT, deleted).body) as Record<string, unknown>
  for (const field of ['commit', 'at', 'bytes', 'body']) {
    const disk = diskOf({ values })
    const other = { ...link, [field]: field === 'body' ? 'a'.repeat(64) : (link[field] as number) - 1 }
    disk.damage(META_AUDIT, seal(META_AUDIT, 1, JSON.stringify(other)))
    const { findings } = await checkAudit(await disk.open(), {}, async () => {})
    expect(findings[0]?.code, field).toMatch(/^(DELETED_RECORD|MISSING)$/)
  }
  for (const text of [undefined, 'rot']) {
    const disk = diskOf({ values })
    disk.damage(META_AUDIT, text)
    const { findings } = await checkAudit(await disk.open(), {}, async () => {})
    expect(findings.length).toBeGreaterThan(0)
  }
})

test('entries that were deleted too early are found, also by a forged record of what was deleted', async () => {
  const at = (index: number) => (JSON.parse((values[index] as Written).body) as { at: number }).at
  const checked = async (disk: MemoryDisk, keptSince: number) => {
    const level = await disk.open()
    const { findings } = await checkAudit(level, { keptSince }, async () => {})
    await level.close()
    return findings
  }
  expect(await checked(diskOf({ values }), at(0))).toEqual([])
  // The first ten are removed, as the retention would do it.
  const { commit, body } = values[9] as Written
  const { bytes } = JSON.parse(body) as { bytes: number }
  const disk = diskOf({ values: values.slice(10) })
  const forge = (at: number) => {
    const link = linkOf({ commit, at, bytes, body })
    disk.damage(META_AUDIT, seal(META_AUDIT, commit, JSON.stringify(link)))
  }
  forge(at(9))
  expect(await checked(disk, at(9) - 1)).toMatchObject([{ code: 'DELETED_EARLY', commit }])
  // Another instant does not fit the hash.
  forge(at(0) - 1_000_000)
  expect(await checked(disk, at(9) - 1)).toMatchObject([{ code: 'DELETED_RECORD', commit }])
})

test('lines that no writer makes are findings with their number', () => {
  const [first, second, ...rest] = lines as [string, string, ...string[]]
  const cases: [readonly (string | undefined)[], object][] = [
    [[first, second.replace('"commit":', '"comit":'), ...rest], { code: 'UNREADABLE', line: 2 }],
    [[first, undefined, ...rest], { code: 'UNREADABLE', line: 2 }],
    [[first, '', second, ...rest], { code: 'UNREADABLE', line: 2 }],
    [[first, second.replace('"entries":[', '"entries":[null,'), ...rest], { code: 'UNREADABLE', line: 2 }],
    [[first, second, ...rest, 'more', 'and more'], { code: 'CUT', line: lines.length + 1 }],
    [[first, second, ...rest.slice(0, -1), rest.at(-1)?.replace(/"entries":\d+/, '"entries":1')], { code: 'CHANGED' }],
  ]
  for (const [changed, finding] of cases) expect(inFile(changed).findings[0]).toMatchObject(finding)
})
