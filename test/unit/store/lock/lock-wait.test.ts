// Goal: with `lockWait` an open waits for a directory that is held, as long as it is held and for that time only.
// Method: two opens of one real directory; the waiting one runs on a clock in hand where its time has to end.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Holdfast, type Logger, silentLogger } from 'holdfast'
import { ManualClock } from 'holdfast/testing'
import { afterEach, expect, test } from 'vitest'
import { openWhenUnlocked } from '../../../../src/store/lock/lock-wait.js'

const folders: string[] = []
const folder = () => {
  const made = mkdtempSync(join(tmpdir(), 'holdfast-lock-wait-'))
  folders.push(made)
  return made
}
afterEach(() => {
  for (const made of folders.splice(0)) rmSync(made, { recursive: true, force: true })
})

interface Line {
  readonly message: string
  readonly fields: Record<string, unknown> | undefined
}

/** A logger that keeps its warnings, and says when the first one is there. */
function listening() {
  const lines: Line[] = []
  let hear = () => {}
  const first = new Promise<void>((resolve) => {
    hear = resolve
  })
  const warn = (message: string, fields?: Record<string, unknown>) => {
    lines.push({ message, fields })
    hear()
  }
  const logger: Logger = { ...silentLogger, warn }
  return { logger, lines, first }
}

test('an open with `lockWait` logs one line that names the holder, and opens once the holder has closed', async () => {
  const dir = folder()
  const holder = await Holdfast.open({ dir, logger: silentLogger })
  const { logger, lines, first } = listening()
  const opening = Holdfast.open({ dir, logger, lockWait: '10m' })
  await first
  await holder.close()
  await (await opening).close()
  expect(lines).toHaveLength(1)
  expect(lines[0]?.message).toBe('Another process holds the store. This process waits until the store is free.')
  expect(lines[0]?.fields).toMatchObject({ pid: process.pid, lockWaitMs: 600_000, since: expect.any(String) as string })
})

test('the wait ends after `lockWait` with STORE_LOCKED, and the holder is unharmed', async () => {
  const dir = folder()
  const holder = await Holdfast.open({ dir, logger: silentLogger })
  const { logger, lines, first } = listening()
  const clock = new ManualClock()
  const began = clock.now()
  let refused: unknown
  const opening = Holdfast.open({ dir, logger, clock, lockWait: '30s' }).catch((error: unknown) => {
    refused = error
  })
  await first
  while (refused === undefined) await clock.advance(1_000)
  await opening
  expect(refused).toMatchObject({ code: 'STORE_LOCKED', details: { pid: process.pid } })
  expect(clock.now() - began).toBeGreaterThanOrEqual(30_000)
  expect(lines).toHaveLength(1)
  await holder.close()
})

test('without `lockWait` an open of a held directory is refused at once, without a line', async () => {
  const dir = folder()
  const holder = await Holdfast.open({ dir, logger: silentLogger })
  const { logger, lines } = listening()
  await expect(Holdfast.open({ dir, logger, clock: new ManualClock() })).rejects.toMatchObject({ code: 'STORE_LOCKED' })
  expect(lines).toEqual([])
  await holder.close()
})

test('any other refusal ends the wait at once', async () => {
  const { logger, lines } = listening()
  const clock = new ManualClock()
  const failed = new Error('no such disk')
  const open = () => Promise.reject(failed)
  await expect(openWhenUnlocked(open, { lockWaitMs: 1_000, clock, logger })).rejects.toBe(failed)
  expect(lines).toEqual([])
  expect(clock.armed).toBe(0)
})
