// Goal: a bulk command that is cut short tells how far it came.
// Method: the command with an action of the test's own, on a store that no process runs.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { HoldfastError } from '../../../../src/base/errors.js'
import { type Action, bulk } from '../../../../src/cli/commands/bulk.js'
import type { Terminal } from '../../../../src/cli/terminal/context.js'
import { Command } from '../../../../src/cli/terminal/packages.js'
import { Holdfast, silentLogger } from '../../../../src/index.js'

const dir = mkdtempSync(join(tmpdir(), 'holdfast-bulk-'))
beforeAll(async () => (await Holdfast.open({ dir, logger: silentLogger })).close())
afterAll(() => rmSync(dir, { recursive: true, force: true }))

/** A cancel of many whose parts are those of the test. */
async function cancelAll(many: Action['many'], interrupted = new AbortController().signal) {
  const written: string[] = []
  const write = (text: string) => void written.push(text)
  const terminal = {
    env: {},
    isTerminal: false,
    now: Date.now,
    write,
    writeError: write,
    interrupted,
  } as unknown as Terminal
  const program = new Command('holdfast').option('--dir <folder>').option('--json')
  const action: Action = { verb: 'cancel', past: 'cancelled', needsServer: false, one: async () => undefined, many }
  bulk(terminal, program.command('cancel [taskId]'), action)
  const failed = await program
    .parseAsync(['cancel', '--dir', dir, '--type', 'x', '--yes'], { from: 'user' })
    .then(() => undefined)
    .catch((error: unknown) => error)
  return { failed, written }
}

const part = (done: number, cursor?: string) => ({
  dryRun: false,
  counts: { done, notApplicable: 0, changed: 0, failed: 0 },
  failedBy: {},
  errors: [],
  cursor,
})

test('an error in a later part has code 10, the counts of the parts before, and the reason', async () => {
  const gone = new HoldfastError('STORE_NOT_HELD', 'No process runs the store.')
  const { failed, written } = await cancelAll(async (_store, { cursor, dryRun }) => {
    if (dryRun) return part(20)
    if (cursor === undefined) return part(10, 'next')
    throw gone
  })
  expect(written).toEqual(['10 tasks cancelled. 0 had changed before their turn.\n'])
  expect(failed).toMatchObject({ exitCode: 10, message: expect.stringContaining('No process runs the store.') })
})

test('an interrupt between two parts has the counts too', async () => {
  const aborter = new AbortController()
  const { failed, written } = await cancelAll(async (_store, { dryRun }) => {
    if (!dryRun) aborter.abort(new Error('Interrupted by SIGINT'))
    return dryRun ? part(20) : part(10, 'next')
  }, aborter.signal)
  expect(written[0]).toMatch(/^10 tasks cancelled/)
  expect(failed).toMatchObject({ exitCode: 10 })
})

test('an error in the first part is the error of the command', async () => {
  const full = new HoldfastError('STORE_UNAVAILABLE', 'The disk is full.')
  const { failed, written } = await cancelAll(async () => Promise.reject(full))
  expect({ failed, written }).toEqual({ failed: full, written: [] })
})
