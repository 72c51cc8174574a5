// Goal: the audit of a store on disk is verified and exported, at rest and while it is open, and the export without the store.
// Method: a store in a temporary folder; its database is changed as a user with write access could change it; a backup of it is restored.
import { mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { text } from 'node:stream/consumers'
import { Holdfast, silentLogger } from 'holdfast'
import { createBackup, exportAudit, restoreBackup, verify, verifyAudit } from 'holdfast/admin'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { alter, fill, fillStore, storeTasks } from '../../../helpers/stores.js'

let scratch: string
let dir: string
let file: string
let headText: string
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'holdfast-audit-'))
  dir = join(scratch, 'store')
  await fillStore(dir)
  file = join(scratch, 'audit.jsonl')
  const { head } = await exportAudit({ dir, file })
  headText = `${head?.commit}:${head?.hash}`
})
afterAll(() => rm(scratch, { recursive: true, force: true }))

test('an export has every entry of the audit as the store has it, and is verified without the store', async () => {
  const holdfast = await Holdfast.open({ dir, tasks: Object.values(storeTasks()), logger: silentLogger })
  const entries = await holdfast.audit({ limit: 10_000 })
  await holdfast.close()
  const written = (await readFile(file, 'utf8')).trimEnd().split('\n')
  const lines = written.map((line) => JSON.parse(line) as Record<string, unknown>)
  const inFile = lines.flatMap(({ entries }) => (Array.isArray(entries) ? (entries as object[]) : []))
  expect(inFile.length).toBeGreaterThan(15)
  expect(entries.slice(0, inFile.length)).toMatchObject(inFile)
  const progress: unknown[] = []
  const report = await verifyAudit({ file, head: headText, onProgress: (at) => progress.push(at) })
  expect(report).toMatchObject({ isSound: true, entries: inFile.length, unchained: 0, deleted: undefined })
  expect(report.storeId).toBe(lines[0]?.['storeId'])
  // The head in its other forms.
  for (const head of [file, report.head, join(scratch, 'head')]) {
    await writeFile(join(scratch, 'head'), `${JSON.stringify(report)}\n`)
    expect(await verifyAudit({ file, head })).toMatchObject({ isSound: true })
  }
})

test('the audit of an open store is exported into a stream and verified, while its tasks run', async () => {
  const tasks = storeTasks()
  const holdfast = await Holdfast.open({ dir, tasks: Object.values(tasks), logger: silentLogger })
  await fill(holdfast, tasks, '-again')
  const stream = new PassThrough()
  const [report, lines] = await Promise.all([exportAudit({ holdfast, stream }), text(stream)])
  expect(JSON.parse(lines.trimEnd().split('\n').at(-1) as string)).toMatchObject({ head: report.head })
  expect(await verifyAudit({ holdfast, head: headText })).toMatchObject({ isSound: true, commits: report.commits })
  await holdfast.close()
  expect(await verifyAudit({ dir, head: report.head })).toMatchObject({ isSound: true })
})

test('a restored store continues the chain, and a head of the original that is newer than the backup does not fit', async () => {
  const backup = join(scratch, 'backup')
  const restored = join(scratch, 'restored')
  const { head: inBackup } = await verifyAudit({ dir })
  await createBackup({ dir, file: backup })
  const tasks = storeTasks()
  const open = (dir: string) => Holdfast.open({ dir, tasks: Object.values(tasks), logger: silentLogger })
  const original = await open(dir)
  await fill(original, tasks, '-later')
  await original.close()
  await restoreBackup({ file: backup, dir: restored })
  const copy = await open(restored)
  await copy.start(tasks.echo, 'in the copy')
  await copy.close()
  expect(await verifyAudit({ dir: restored, head: inBackup })).toMatchObject({ isSound: true, findings: [] })
  const { head: newer } = await verifyAudit({ dir })
  const { findings } = await verifyAudit({ dir: restored, head: newer })
  expect(findings[0]?.code).toMatch(/^(CUT|NOT_THE_HEAD|MISSING)$/)
})

test('a changed entry is named in the store, and in what is exported of it, and `verify` finds it too', async () => {
  const changed = join(scratch, 'changed')
  await fillStore(changed)
  const key = await alter(changed, async (database) => {
    const key = database.keys('audit/')[3] as string
    database.change(key, (body) => body.replace('"by":"', '"by":"x'))
    return key
  })
  const commit = Number.parseInt(key.slice('audit/'.length), 16)
  const finding = { code: 'CHANGED', commit, entryId: `${key.slice('audit/'.length)}-0000` }
  expect(await verifyAudit({ dir: changed })).toMatchObject({ isSound: false, findingCount: 1, findings: [finding] })
  const export_ = join(scratch, 'changed.jsonl')
  expect(await exportAudit({ dir: changed, file: export_ })).toMatchObject({ isSound: false, findings: [finding] })
  expect(await verifyAudit({ file: export_ })).toMatchObject({ isSound: false, findings: [{ ...finding, line: 5 }] })
  expect((await verify({ dir: changed })).findings).toMatchObject([{ code: 'AUDIT_CHAIN', key }])
  await rm(changed, { recursive: true })
})

test('a store of format 2 without hashes is verified as one whose chain has not begun', async () => {
  const golden = join(import.meta.dirname, '../../../../data/golden/format-2')
  const { cp } = await import('node:fs/promises')
  const copy = join(scratch, 'golden')
  await cp(golden, copy, { recursive: true })
  const report = await verifyAudit({ dir: copy })
  expect(report).toMatchObject({ isSound: true })
  expect(report.unchained).toBe(report.commits)
  expect(report.commits).toBeGreaterThan(5)
})

test('a file that is no exported audit, a head that is none, and a target that exists are refused', async () => {
  const invalid = { code: 'AUDIT_INVALID' }
  const other = join(scratch, 'other')
  await writeFile(other, 'no audit\n')
  await expect(verifyAudit({ file: other })).rejects.toMatchObject(invalid)
  await expect(verifyAudit({ file: join(scratch, 'none') })).rejects.toMatchObject(invalid)
  await expect(verifyAudit({ file: scratch })).rejects.toMatchObject(invalid)
  await writeFile(other, '')
  await expect(verifyAudit({ file: other })).rejects.toMatchObject(invalid)
  await writeFile(other, '{"holdfastAudit":9,"storeId":"a"}\n')
  await expect(verifyAudit({ file: other })).rejects.toThrow(/newer version/)
  await writeFile(other, '{"holdfastAudit":1,"storeId":"a","deleted":7}\n')
  await expect(verifyAudit({ file: other })).rejects.toThrow(/first line/)
  for (const head of ['no head', scratch, other]) {
    await expect(verifyAudit({ file, head })).rejects.toMatchObject(invalid)
  }
  await expect(exportAudit({ dir, file })).rejects.toMatchObject({ code: 'AUDIT_EXPORT_FAILED' })
  await expect(exportAudit({ dir, file: join(scratch, 'no', 'folder') })).rejects.toMatchObject({
    code: 'AUDIT_EXPORT_FAILED',
  })
  for (const options of [
    {},
    { dir, file },
    { file: '' },
    { file, head: 7 },
    { file, keptSince: 'x' },
    { file, onProgress: 1 },
  ]) {
    await expect(verifyAudit(options as never)).rejects.toThrow(TypeError)
  }
  const fresh = join(scratch, 'fresh')
  for (const options of [
    { dir },
    { file: fresh },
    { dir, file: fresh, stream: new PassThrough() },
    { dir, stream: {} },
  ]) {
    await expect(exportAudit(options as never)).rejects.toThrow(TypeError)
  }
})

test('a file that is cut within a line, or is not read to its end, is found', async () => {
  const cut = join(scratch, 'cut.jsonl')
  const content = await readFile(file)
  await writeFile(cut, content)
  await truncate(cut, content.length - 30)
  expect((await verifyAudit({ file: cut })).findings.map(({ code }) => code)).toContain('CUT')
  // A byte that is no UTF-8, where the text would be read as the same character.
  const bad = Buffer.from(content)
  bad[content.indexOf('"type":"') + 8] = 0xff
  await writeFile(cut, bad)
  expect((await verifyAudit({ file: cut })).findings[0]).toMatchObject({
    code: 'UNREADABLE',
    message: 'the line is no UTF-8',
  })
  const gone = AbortSignal.abort(new Error('gone'))
  await expect(verifyAudit({ file, signal: gone })).rejects.toThrow('gone')
})
