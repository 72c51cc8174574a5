// Goal: the hash chain of the audit has no gap, whatever happens to the process, and over a store that had none.
// Method: an engine on a disk in memory; what is on the disk is read with `AuditChain`, with a crash or a fault at each write.
import { defineTask, type Holdfast, silentLogger } from 'holdfast'
import { ManualClock, MemoryDisk, openInMemory, untilIdle } from 'holdfast/testing'
import { expect, test } from 'vitest'
import { AuditChain, type AuditExtent, type AuditFinding } from '../../../src/admin/verify/audit-chain.js'
import { commitOf } from '../../../src/store/disk/layout.js'
import { type AuditLink, FIRST_PREV } from '../../../src/store/integrity/audit-link.js'
import { seal, unseal } from '../../../src/store/integrity/envelope.js'
import { brokenFormatLaws } from '../../helpers/format-laws.js'

const DAY = 86_400_000
const quick = defineTask({ name: 'quick' }, (task) => task.step('one', () => 1))
const auditKeys = (disk: MemoryDisk) => [...disk.content.keys()].filter((key) => key.startsWith('audit/')).sort()
const bodyOf = (disk: MemoryDisk, key: string) => unseal(key, disk.content.get(key) as string).body

/** What the chain on the disk proves, and what is wrong with it. */
function chainOf(disk: MemoryDisk): AuditExtent & { findings: AuditFinding[] } {
  const findings: AuditFinding[] = []
  const text = disk.content.get('meta/audit')
  const deleted = text === undefined ? undefined : (JSON.parse(bodyOf(disk, 'meta/audit')) as AuditLink)
  const chain = new AuditChain({ deleted }, (finding) => findings.push(finding))
  for (const key of auditKeys(disk)) chain.add(commitOf(key), bodyOf(disk, key))
  return { ...chain.end(), findings }
}

async function run(holdfast: Holdfast, count: number): Promise<void> {
  for (let n = 0; n < count; n++) await holdfast.result((await holdfast.start(quick, undefined)).taskId)
  await untilIdle(holdfast)
}

test('each value has the hash of the one before, also over restarts, and the first one that of none', async () => {
  const disk = new MemoryDisk()
  for (let opening = 0; opening < 3; opening++) {
    const holdfast = await openInMemory({ disk, tasks: [quick] })
    await run(holdfast, 3)
    await holdfast.close()
  }
  expect(bodyOf(disk, auditKeys(disk)[0] as string)).toContain(`"prev":"${FIRST_PREV}"`)
  expect(chainOf(disk)).toMatchObject({ findings: [], unchained: 0, commits: auditKeys(disk).length, entries: 18 })
  expect(brokenFormatLaws(disk.content)).toEqual([])
})

test('a process that dies at any write, and a write that fails, leave a chain that the next commits continue', async () => {
  for (let atWrite = 1; atWrite <= 12; atWrite++) {
    for (const applied of [false, true]) {
      const disk = new MemoryDisk()
      let holdfast = await openInMemory({ disk, tasks: [quick] })
      await run(holdfast, 1)
      disk.dieAt({ atWrite, applied })
      const dead = new Promise<void>((over) => disk.onDeath(over))
      await Promise.race([dead, run(holdfast, 6)])
      expect(chainOf(disk).findings, `death ${atWrite}`).toEqual([])
      holdfast = await openInMemory({ disk, tasks: [quick], logger: silentLogger })
      await holdfast.recovery.done
      disk.failAt({ atWrite, applied })
      const commits = chainOf(disk).commits
      await run(holdfast, 6).catch(() => {})
      await untilIdle(holdfast)
      await run(holdfast, 1)
      await holdfast.close()
      expect(chainOf(disk).findings, `failure ${atWrite}`).toEqual([])
      expect(chainOf(disk).commits).toBeGreaterThan(commits)
    }
  }
})

test('the retention keeps the link of the newest value that it deletes, and a chain that begins there', async () => {
  const disk = new MemoryDisk()
  const clock = new ManualClock()
  const options = { disk, clock, tasks: [quick], auditRetention: '1d' } as const
  let holdfast = await openInMemory(options)
  await run(holdfast, 3)
  const old = auditKeys(disk)
  await clock.advance(DAY - 60_000)
  await run(holdfast, 3)
  const head = chainOf(disk).head
  await clock.advance(120_000)
  await untilIdle(holdfast)
  expect(auditKeys(disk)).not.toContain(old.at(-1))
  expect(chainOf(disk)).toMatchObject({ findings: [], head, deleted: { commit: commitOf(old.at(-1) as string) } })
  // All are deleted. The chain still has its end, after an opening too.
  await clock.advance(2 * DAY)
  await untilIdle(holdfast)
  expect(auditKeys(disk)).toEqual([])
  expect(chainOf(disk)).toMatchObject({ findings: [], head, entries: 0 })
  await holdfast.close()
  holdfast = await openInMemory(options)
  await run(holdfast, 1)
  expect(bodyOf(disk, auditKeys(disk)[0] as string)).toContain(`"prev":"${head?.hash}"`)
  expect(chainOf(disk)).toMatchObject({ findings: [], entries: 2 })
  expect(brokenFormatLaws(disk.content)).toEqual([])
  await holdfast.close()
})

test('a store whose values have no hashes continues with a hash of its newest value', async () => {
  const disk = new MemoryDisk()
  let holdfast = await openInMemory({ disk, tasks: [quick] })
  await run(holdfast, 3)
  await holdfast.close()
  for (const key of auditKeys(disk)) {
    const { seq, body } = unseal(key, disk.content.get(key) as string)
    disk.damage(key, seal(key, seq, body.replace(/"prev":"\w+"/, '"prev":""')))
  }
  const before = auditKeys(disk).length
  expect(chainOf(disk)).toMatchObject({ findings: [], unchained: before })
  holdfast = await openInMemory({ disk, tasks: [quick] })
  await run(holdfast, 3)
  await holdfast.close()
  expect(chainOf(disk)).toMatchObject({ findings: [], unchained: before, commits: before + 6 })
  expect(brokenFormatLaws(disk.content)).toEqual([])
  // The newest of them is covered.
  const key = auditKeys(disk)[before - 1] as string
  disk.damage(key, seal(key, 1, bodyOf(disk, key).replace('quick', 'quirk')))
  expect(chainOf(disk).findings).toMatchObject([{ code: 'CHANGED', commit: commitOf(key) }])
})

test('a value of a build without hashes among those with one is found', async () => {
  const disk = new MemoryDisk()
  const holdfast = await openInMemory({ disk, tasks: [quick] })
  await run(holdfast, 3)
  await holdfast.close()
  const key = auditKeys(disk).at(-1) as string
  disk.damage(key, seal(key, 1, bodyOf(disk, key).replace(/"prev":"\w+"/, '"prev":""')))
  expect(chainOf(disk).findings).toMatchObject([{ code: 'CHANGED', commit: commitOf(key) }])
})
