/**
 * Goal: the demo does what it says, and would notice if Holdfast did not.
 * Method: run it as a user does; then hand its checker journals in which something went wrong (negative control).
 */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { checkClaims, crashesIn, type Evidence } from '../../examples/import-flights/check-claims.js'
import type { JournalEntry } from '../../examples/import-flights/journal.js'
import { isDue, planKills } from '../../examples/import-flights/kill-plan.js'

const DEMO = fileURLToPath(new URL('../../examples/import-flights/demo.ts', import.meta.url))
const CLAIMS = 8

function demo(...args: string[]): Promise<{ code: number | null; out: string; err: string }> {
  return endOf(start(...args))
}

function start(...args: string[]): ChildProcessWithoutNullStreams {
  return spawn(process.execPath, ['--import', 'tsx', DEMO, ...args])
}

async function endOf(running: ChildProcessWithoutNullStreams) {
  const [out, err, [code]] = await Promise.all([text(running.stdout), text(running.stderr), once(running, 'close')])
  return { code: code as number | null, out, err }
}

describe('the demo', () => {
  let dir: string
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'holdfast-demo-test-'))
  })
  afterAll(() => rm(dir, { recursive: true, force: true }))

  test('is killed twice, resumes twice, and all its claims hold', async () => {
    const { code, out, err } = await demo('--kills', '2', '--dir', join(dir, 'kept'))
    expect(code, out + err).toBe(0)
    expect(err).toBe('')
    expect(out).not.toContain('\u001b')
    expect(out).not.toContain('FAILED')
    const resumed =
      /^killed at step \d+ of 400; resumed at step \d+ in \d+ ms \((between two steps|inside step \d+, .*)\)$/
    expect(out.split('\n').filter((line) => resumed.test(line))).toHaveLength(2)
    expect(out.match(/^ {2}ok {2}/gm)).toHaveLength(CLAIMS + 1)
    expect(out).toContain('The totals are the same: 200,000 flights')
    expect(out).toMatch(/Every effect is there exactly once unless a kill fell inside its step; \d kills? fell between/)
    expect(out).toMatch(/\d steps? had to be run again because a kill fell inside/)
    expect(await readdir(join(dir, 'kept'))).toHaveLength(2)
  }, 30_000)

  test('without a kill, beside a finished import, starts a new task and runs no step again', async () => {
    const { code, out, err } = await demo('--no-kill', '--dir', join(dir, 'kept'))
    expect(code, out + err).toBe(0)
    expect(out).toContain('There is a finished import; this is a new task beside it.')
    expect(out).not.toContain('killed at')
    expect(out).toContain('0 steps had to be run again')
    expect(out.match(/^ {2}ok {2}/gm)).toHaveLength(CLAIMS)
  }, 30_000)

  test('goes on with an interrupted import; if its store was lost meanwhile, the claims fail', async () => {
    const interrupted = start('--no-kill', '--dir', join(dir, 'lost'))
    interrupted.stdout.on('data', (data) => {
      if (String(data).includes('step 50 ')) interrupted.kill('SIGINT')
    })
    expect((await endOf(interrupted)).code).toBe(130)
    await rm(join(dir, 'lost', 'store'), { recursive: true })

    const { code, out } = await demo('--no-kill', '--dir', join(dir, 'lost'))
    expect(code).toBe(1)
    expect(out).toMatch(/There is an import that was interrupted at step \d+; it goes on\./)
    expect(out).toMatch(/FAILED {2}No step began again once it was recorded/)
    expect(out).toMatch(/FAILED {2}Every effect is there exactly once/)
  }, 30_000)

  test.each([
    [['--kills', 'many'], 'Expected a whole number from 0 to 20'],
    [['--kills', '21'], 'Expected a whole number from 0 to 20'],
    [['--kills', '2', '--no-kill'], 'contradict each other'],
    [['--dir', DEMO], "can't be used as a directory"],
    [['--dir', join(DEMO, '..')], 'which no demo left there'],
    [['--fast'], "unknown option '--fast'"],
  ])('refuses %j with exit code 2', async (args, message) => {
    const { code, out, err } = await demo(...args)
    expect(code).toBe(2)
    expect(err).toContain(message)
    expect(out).toBe('')
  })
})

describe('the checker', () => {
  // Three steps. A kill falls inside step 2, after its effect, and another one between steps 2 and 3.
  const begun = (run: number, step: number): JournalEntry => ({ kind: 'begun', run, step, key: `key-${step}` })
  const recorded = (run: number, step: number): JournalEntry => ({ kind: 'recorded', run, step })
  const effect = (run: number, step: number): JournalEntry => {
    return { kind: 'effect', run, step, key: `key-${step}`, flights: 1, delayMinutes: step }
  }
  const opened = (run: number): JournalEntry => ({ kind: 'opened', run, pid: run })
  const journal: JournalEntry[] = [
    ...[opened(1), begun(1, 1), effect(1, 1), recorded(1, 1), begun(1, 2), effect(1, 2)],
    ...[opened(2), begun(2, 2), effect(2, 2)],
    ...[opened(3), begun(3, 3), effect(3, 3), recorded(3, 3), { kind: 'finished', run: 3 } as const],
  ]
  const straight = { flights: 3, summary: { morning: { flights: 3, late: 0, delayMinutes: 6 } } }
  const good: Evidence = { journal, steps: 3, output: straight, settled: 1, straight }
  const broken = (evidence: Partial<Evidence>) =>
    checkClaims({ ...good, ...evidence }).flatMap((claim) => claim.broken ?? [])
  const without = (index: number) => journal.filter((_, at) => at !== index)
  const withAfter = (index: number, ...more: JournalEntry[]) => journal.toSpliced(index + 1, 0, ...more)

  test('finds nothing wrong where nothing is, and sees both kinds of crash', () => {
    expect(checkClaims(good)).toHaveLength(CLAIMS)
    expect(broken({})).toEqual([])
    expect(crashesIn(journal)).toEqual([
      { step: 2, where: 'inside', resumedAt: 2 },
      { step: 2, where: 'between', resumedAt: 3 },
    ])
  })

  test('notices a second effect of a recorded step', () => {
    expect(broken({ journal: withAfter(2, effect(1, 1)) })).toContain('1 step left more: 1')
  })

  test('notices a third effect of a step that was interrupted once', () => {
    expect(broken({ journal: withAfter(8, effect(2, 2)) })).toContain('1 step left more: 2')
  })

  test('notices a recorded step that begins again', () => {
    expect(broken({ journal: withAfter(6, begun(2, 1)) })).toContain('1 step did: 1')
  })

  test('notices a step that begins again and that no kill interrupted', () => {
    expect(broken({ journal: withAfter(3, begun(1, 1)) })).toContain(
      '1 step began more often than the kills inside explain: 1',
    )
  })

  test('notices that Holdfast acknowledged next to nothing', () => {
    const silent = journal.filter(({ kind }) => kind !== 'recorded')
    expect(broken({ journal: silent })).toEqual(['at least 1 should have been'])
  })

  test('notices an effect that is missing', () => {
    expect(broken({ journal: without(11) })).toContain('1 step left none: 3')
  })

  test('notices a wrong total, and a wrong group under a right total', () => {
    expect(broken({ output: { ...straight, flights: 4 } })).toEqual(['4 flights instead of 3'])
    const summary = { morning: { flights: 3, late: 0, delayMinutes: 7 } }
    expect(broken({ output: { flights: 3, summary } })).toEqual(["1 group wrong, first of all 'morning'"])
    expect(broken({ output: { flights: 3, summary: {} } })).toHaveLength(1)
  })

  test('notices an effect with another content', () => {
    const changed = journal.with(11, { ...effect(3, 3), delayMinutes: 9 } as JournalEntry)
    expect(broken({ journal: changed })).toEqual(['3 flights and 12 minutes instead of 3 and 6'])
  })

  test('notices another idempotency key for the same step', () => {
    expect(broken({ journal: journal.with(7, { kind: 'begun', run: 2, step: 2, key: 'other' }) })).toEqual([
      '1 step did not: 2',
    ])
  })

  test('notices a task that settled twice', () => {
    expect(broken({ settled: 2 })).toEqual(['by its audit it settled 2 times'])
  })
})

describe('the plan of the kills', () => {
  test('spreads them over what is left, over all three moments, and leaves something to resume', () => {
    const plan = planKills(3, { from: 100, steps: 400, stepsPerCheckpoint: 4 }, Math.random)
    expect(plan.map(({ after }) => after).sort()).toEqual(['begun', 'checkpoint', 'effect'])
    const stretch = 290 / 3
    for (const [index, { step }] of plan.entries()) {
      expect(step).toBeGreaterThan(100)
      expect(Math.abs(step - 100 - (index + 0.5) * stretch)).toBeLessThanOrEqual(stretch / 2 + 1)
    }
    expect(planKills(3, { from: 395, steps: 400, stepsPerCheckpoint: 4 }, Math.random)).toEqual([])
  })

  test('is due at its step or later, and at a checkpoint only when one follows', () => {
    const kill = { step: 5, stepsPerCheckpoint: 4, delayMs: 0 }
    const at = (step: number): JournalEntry => ({ kind: 'recorded', run: 1, step })
    expect([4, 5, 8].map((step) => isDue({ ...kill, after: 'checkpoint' }, at(step)))).toEqual([false, false, true])
    const began = (step: number): JournalEntry => ({ kind: 'begun', run: 1, step, key: '' })
    expect([4, 5, 8].map((step) => isDue({ ...kill, after: 'begun' }, began(step)))).toEqual([false, true, true])
  })
})
