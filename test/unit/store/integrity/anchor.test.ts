/** The anchor file (anchor-1 to anchor-4 in src/store/integrity/anchor.ts): how late it may be, and what damage it survives. */
import { mkdtemp, open, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Clock } from '../../../../src/base/clock.js'
import { Anchor, LAG_COMMITS_MAX, LAG_MS_MAX, readAnchor, SLOT_BYTES } from '../../../../src/store/integrity/anchor.js'

/** Time that moves when told to. */
class TestClock implements Clock {
  #now = 1_000
  readonly timers = new Set<{ dueAt: number; fire: () => void }>()
  now() {
    return this.#now
  }
  setTimer(dueAt: number, fire: () => void) {
    const timer = { dueAt, fire }
    this.timers.add(timer)
    return () => this.timers.delete(timer)
  }
  advance(ms: number) {
    this.#now += ms
    for (const timer of [...this.timers]) {
      if (timer.dueAt <= this.#now && this.timers.delete(timer)) timer.fire()
    }
  }
}

let dir: string
let path: string
let clock: TestClock
let anchors: Anchor[]
/** The messages that were logged, by level. */
let logged: string[]
const log = (level: string) => (message: string) => void logged.push(`${level}: ${message}`)
const logger = { debug: log('debug'), info: log('info'), warn: log('warn'), error: log('error') }
/** Every file handle's methods, to watch and to break. */
let handles: { write: (...args: unknown[]) => Promise<unknown>; datasync: () => Promise<void> }

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'holdfast-anchor-'))
  path = join(dir, 'anchor')
  clock = new TestClock()
  anchors = []
  logged = []
  const probe = await open(join(dir, 'probe'), 'w')
  handles = Object.getPrototypeOf(probe)
  await probe.close()
})
afterEach(async () => {
  vi.restoreAllMocks()
  for (const anchor of anchors) await anchor.close()
  await rm(dir, { recursive: true })
})

async function openAnchor(seq: number, options: { storeId?: string; durable?: boolean } = {}) {
  const anchor = await Anchor.open(path, { storeId: 'store-1', durable: true, clock, seq, logger, ...options })
  anchors.push(anchor)
  return anchor
}

async function slots(): Promise<string[]> {
  const text = await readFile(path, 'latin1')
  expect(text).toHaveLength(2 * SLOT_BYTES)
  return [text.slice(0, SLOT_BYTES), text.slice(SLOT_BYTES)].map((slot) => slot.split(' ')[2] ?? '')
}

async function overwrite(at: number, bytes: string | Buffer) {
  const file = await open(path, 'r+')
  await file.write(Buffer.from(bytes), 0, bytes.length, at)
  await file.close()
}

/** Lets writes that have begun come to an end. */
const settle = () => new Promise((resolve) => setTimeout(resolve, 20))
const seqOnDisk = async () => {
  const found = await readAnchor(path)
  return found.kind === 'sound' ? found.seq : undefined
}

describe('an anchor', () => {
  it('is missing where none was made, private, and at the database’s commit once it is open', async () => {
    expect(await readAnchor(path)).toEqual({ kind: 'missing' })
    await openAnchor(41)
    expect(await readAnchor(path)).toEqual({ kind: 'sound', seq: 41, storeId: 'store-1' })
    expect((await stat(path)).mode & 0o777).toBe(0o600)
    await openAnchor(43)
    expect(await seqOnDisk()).toBe(43)
  })

  it('is written anew if it says more than the database that was accepted, or is another store’s', async () => {
    await openAnchor(90)
    await openAnchor(41)
    expect(await readAnchor(path)).toEqual({ kind: 'sound', seq: 41, storeId: 'store-1' })
    await openAnchor(7, { storeId: 'store-2' })
    expect(await readAnchor(path)).toEqual({ kind: 'sound', seq: 7, storeId: 'store-2' })
  })

  it('refuses a store ID that a slot has no room for', async () => {
    await expect(openAnchor(1, { storeId: 'x'.repeat(65) })).rejects.toThrow(TypeError)
    await expect(openAnchor(1, { storeId: 'a b' })).rejects.toThrow(TypeError)
  })
})

describe('how late it is (anchor-3)', () => {
  it('costs no write at a commit, and one at most 100 ms after the first that is unwritten', async () => {
    const anchor = await openAnchor(0)
    const write = vi.spyOn(handles, 'write')
    for (let seq = 1; seq <= 10; seq++) {
      anchor.note(seq)
      clock.advance(LAG_MS_MAX / 10 - 1)
    }
    expect(write).not.toHaveBeenCalled()
    clock.advance(10)
    expect(write).toHaveBeenCalledTimes(1)
    await settle()
    expect(await seqOnDisk()).toBe(10)
    expect(clock.timers.size).toBe(0)
  })

  it('begins a write as soon as 256 commits are unwritten', async () => {
    const anchor = await openAnchor(0)
    const write = vi.spyOn(handles, 'write')
    for (let seq = 1; seq < LAG_COMMITS_MAX; seq++) anchor.note(seq)
    expect(write).not.toHaveBeenCalled()
    anchor.note(LAG_COMMITS_MAX)
    expect(write).toHaveBeenCalledTimes(1)
    expect(clock.timers.size).toBe(0)
    await settle()
    expect(await seqOnDisk()).toBe(LAG_COMMITS_MAX)
  })

  it('is exact after an awaited flush, whatever is in flight', async () => {
    const anchor = await openAnchor(0)
    for (let seq = 1; seq <= 1_000; seq++) {
      anchor.note(seq)
      if (seq % 7 === 0) clock.advance(LAG_MS_MAX)
      if (seq % 10 !== 0) continue
      await anchor.flush()
      expect(await seqOnDisk()).toBe(seq)
    }
  })

  it('is exact after close, and leaves no timer', async () => {
    const anchor = await openAnchor(0)
    anchor.note(3)
    clock.advance(LAG_MS_MAX)
    anchor.note(5)
    await anchor.close()
    expect(await seqOnDisk()).toBe(5)
    expect(clock.timers.size).toBe(0)
  })

  it('never goes back', async () => {
    const anchor = await openAnchor(9)
    anchor.note(12)
    anchor.note(8)
    await anchor.close()
    expect(await seqOnDisk()).toBe(12)
  })

  it('is synced, unless the store is buffered', async () => {
    const durable = await openAnchor(0)
    const datasync = vi.spyOn(handles, 'datasync')
    durable.note(1)
    await durable.flush()
    expect(datasync).toHaveBeenCalledTimes(1)
    const buffered = await openAnchor(1, { durable: false })
    buffered.note(2)
    await buffered.flush()
    expect(datasync).toHaveBeenCalledTimes(1)
    expect(await seqOnDisk()).toBe(2)
  })
})

describe('damage (anchor-1, anchor-2)', () => {
  it('has two slots that are written in turn, across opens too', async () => {
    let anchor = await openAnchor(10)
    const seen: string[][] = []
    for (let seq = 11; seq <= 14; seq++) {
      if (seq === 13) {
        await anchor.close()
        anchor = await openAnchor(12)
      }
      anchor.note(seq)
      await anchor.flush()
      seen.push(await slots())
    }
    expect(seen).toEqual([
      ['10', '11'],
      ['12', '11'],
      ['12', '13'],
      ['14', '13'],
    ])
  })

  it.each([0, 1])('reads the other slot where a power cut tore slot %i, and writes the torn one next', async (torn) => {
    const anchor = await openAnchor(10)
    for (const seq of torn === 1 ? [11] : [11, 12]) {
      anchor.note(seq)
      await anchor.flush()
    }
    await anchor.close()
    const before = torn === 1 ? 10 : 11
    for (const damage of [Buffer.alloc(SLOT_BYTES - 256), '9', 'x'.repeat(30)]) {
      await overwrite(torn * SLOT_BYTES + 18, damage)
      expect(await seqOnDisk()).toBe(before)
    }
    const again = await openAnchor(20)
    expect((await slots())[torn]).toBe('20')
    await again.close()
  })

  it('notices every single bit that flips in a slot’s text', async () => {
    await openAnchor(10)
    const whole = await readFile(path)
    const text = whole.indexOf('  ')
    for (let bit = 0; bit < text * 8; bit++) {
      const bytes = Buffer.from(whole)
      bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      bytes.fill(0, SLOT_BYTES)
      await writeFile(path, bytes)
      expect(await readAnchor(path)).toEqual({ kind: 'damaged' })
    }
  })

  it.each([0, 1])('is written again, logged and counted at the open where it is in slot %i only', async (torn) => {
    await (await openAnchor(10)).close()
    await overwrite(torn * SLOT_BYTES + 20, 'x')
    const anchor = await openAnchor(10)
    expect(await slots()).toEqual(['10', '10'])
    expect(anchor.faults).toEqual({ failedWrites: 0, damagedSlots: 1 })
    expect(logged).toEqual([expect.stringMatching(/^warn: Slots of the anchor file were damaged/)])
    await anchor.close()
    expect((await openAnchor(10)).faults.damagedSlots).toBe(0)
  })

  it('is reported where both slots are damaged or the file is cut short, and made anew when opened all the same', async () => {
    await openAnchor(10)
    await overwrite(20, 'x')
    await overwrite(SLOT_BYTES + 20, 'x')
    expect(await readAnchor(path)).toEqual({ kind: 'damaged' })
    await truncate(path, 0)
    expect(await readAnchor(path)).toEqual({ kind: 'damaged' })
    await openAnchor(10)
    expect(await slots()).toEqual(['10', '10'])
  })
})

describe('a write that fails (anchor-4)', () => {
  it('is kept as `lastError`, rejects nothing, and is made up for at the next note, in the same slot', async () => {
    const anchor = await openAnchor(0)
    vi.spyOn(handles, 'datasync').mockRejectedValueOnce(new Error('EIO'))
    anchor.note(1)
    await anchor.flush()
    expect(anchor.lastError?.message).toBe('EIO')
    anchor.note(2)
    clock.advance(LAG_MS_MAX)
    await expect.poll(() => anchor.lastError).toBeUndefined()
    expect(await slots()).toEqual(['0', '2'])
  })

  it('is counted each time, and logged once until a write succeeds', async () => {
    const anchor = await openAnchor(0)
    const datasync = vi.spyOn(handles, 'datasync').mockRejectedValue(new Error('EIO'))
    for (let seq = 1; seq <= 3; seq++) {
      anchor.note(seq)
      await anchor.flush()
    }
    expect(anchor.faults.failedWrites).toBe(3)
    expect(logged).toEqual([expect.stringMatching(/^error: The anchor file cannot be written/)])
    datasync.mockRestore()
    await anchor.flush()
    expect(anchor.faults.failedWrites).toBe(3)
    expect(logged.slice(1)).toEqual(['warn: The anchor file could be written again'])
    expect(await seqOnDisk()).toBe(3)
  })

  it('is thrown where the anchor has to be exact', async () => {
    const anchor = await openAnchor(0)
    vi.spyOn(handles, 'datasync').mockRejectedValueOnce(new Error('EIO'))
    anchor.note(1)
    await expect(anchor.writeNow()).rejects.toThrow('The anchor file could not be written')
    await anchor.writeNow()
    expect(await seqOnDisk()).toBe(1)
  })

  it('does not make close reject', async () => {
    const anchor = await openAnchor(0)
    vi.spyOn(handles, 'write').mockRejectedValue(new Error('ENOSPC'))
    anchor.note(1)
    await anchor.close()
    expect(anchor.lastError?.message).toBe('ENOSPC')
  })

  it('counts as failed if it was short', async () => {
    const anchor = await openAnchor(0)
    vi.spyOn(handles, 'write').mockResolvedValueOnce({ bytesWritten: 7 })
    anchor.note(1)
    await anchor.flush()
    expect(anchor.lastError?.message).toContain('7 of 512')
  })

  it('is never in flight beside another one', async () => {
    const anchor = await openAnchor(0)
    let inFlight = 0
    let most = 0
    const write = handles.write
    vi.spyOn(handles, 'write').mockImplementation(async function (this: unknown, ...args) {
      most = Math.max(most, ++inFlight)
      await settle()
      inFlight--
      return write.apply(this as never, args)
    })
    for (let seq = 1; seq <= 5; seq++) {
      anchor.note(seq * LAG_COMMITS_MAX)
      void anchor.flush()
    }
    await anchor.flush()
    expect(most).toBe(1)
    expect(await seqOnDisk()).toBe(5 * LAG_COMMITS_MAX)
  })
})
