// Goal: `holdfast stats` prints the service levels of a window with their targets, with a server and without one, and refuses what is
// no window.
// Method: the program in this process, on a real directory and the real socket.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { defineTask, Holdfast, silentLogger } from '../../../src/index.js'
import { runCommandLine } from '../../helpers/command-line.js'

const quick = defineTask({ name: 'quick' }, (task) => task.step('a', () => 1))
const base = mkdtempSync(join(tmpdir(), 'holdfast-stats-'))
const dir = join(base, 'store')
let holdfast: Holdfast
beforeAll(async () => {
  holdfast = await Holdfast.open({ dir, tasks: [quick], logger: silentLogger })
  await holdfast.result((await holdfast.start(quick, null)).taskId)
  await holdfast.cancel((await holdfast.createSessionTask({ type: 'talk' })).taskId)
})
afterAll(async () => {
  await holdfast.close()
  rmSync(base, { recursive: true, force: true })
})

const stats = (...args: string[]) => runCommandLine(['--dir', dir, 'stats', ...args])

describe.each(['with a server', 'without one'])('%s', (mode) => {
  beforeAll(async () => {
    if (mode === 'without one') await holdfast.close()
  })

  test('a window has its hours, its counts, and a line for each level', async () => {
    const { code, out } = await stats('--since', '7d')
    expect(code).toBe(0)
    expect(out).toMatch(/^tasks\.completed\t1$/m)
    expect(out).toMatch(
      /^window\.from\t\d{4}-\d\d-\d\dT\d\d:00:00\.000Z\nwindow\.to\t\d{4}-\d\d-\d\dT\d\d:00:00\.000Z$/m,
    )
    expect(out).toMatch(/^window\.levels\.completed\t1$/m)
    expect(out).toMatch(/^window\.levels\.cancelled\t1$/m)
    expect(out).toMatch(/^meanShortCompletionMs\t[\d.]+\t< 30000\tyes$/m)
    expect(out).toMatch(/^meanLongCompletionMs\t-\t< 1800000\tnothing to count$/m)
    expect(out).toMatch(/^timeoutRate\t0\t< 0\.05\tyes$/m)
    expect(out).toMatch(
      /^recoverySuccessRate\t-\t> 0\.95\tnothing to count\ncleanUpRate\t-\t> 0\.99\tnothing to count$/m,
    )
  })

  test('a window between two instants is one object with --json', async () => {
    const { out } = await stats('--from', '2026-01-01', '--to', '2200-01-01T00:30:00Z', '--json')
    const { window } = JSON.parse(out) as { window: { from: number; to: number; levels: object } }
    expect(new Date(window.to).toISOString()).toBe('2200-01-01T01:00:00.000Z')
    expect(window.levels).toMatchObject({
      completed: 1,
      cancelled: 1,
      targets: { timeoutRate: { below: 0.05, holds: true } },
    })
    expect((await stats('--json')).out).not.toContain('"window"')
  })

  test.each([
    [['--from', '2200-01-01'], /`from` to be before `to`, got 2200-01-01T00:00:00.000Z and /],
    [['--to', '2020-01-01'], /`to` to be after .*: counters of older hours are not kept/],
    [['--since', '7d', '--from', '2026-01-01'], /--since <duration>.*cannot be used with/],
    [['--since', 'a week'], /--since takes a duration such as 90s, 15m, 12h or 7d/],
    [['--to', 'noon'], /Expected an instant such as 2026-01-31T12:00:00Z/],
  ])('%j is refused with a sentence, and exit code 2', async (args, message) => {
    const { code, err } = await stats(...args)
    expect(err).toMatch(message)
    expect(code).toBe(2)
  })
})
