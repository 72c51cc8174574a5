/**
 * Goal: a power cut takes no acknowledged commit, also on a file system that keeps no more than POSIX promises (recovery-2).
 * Method: the system calls of a process that commits, recorded and replayed. Each state that a power cut can leave between
 * two syncs is opened, and the records are held against the acknowledgements. The same without syncing the names of logs
 * must lose some, or the replay shows nothing.
 */
import { mkdtempSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { systemClock } from '../../../src/base/clock.js'
import { HoldfastError } from '../../../src/base/errors.js'
import { createIds } from '../../../src/base/ids.js'
import { silentLogger } from '../../../src/base/logger.js'
import { openStore } from '../../../src/store/open.js'
import { canTrace, IN_MEMORY } from '../../helpers/strace.js'
import { recordCalls, type State, statesOf } from './power-cut.js'

const CHILD = fileURLToPath(new URL('./power-cut-child.mjs', import.meta.url))
const OPENS_AT_ONCE = 4

let folder: string
if (!canTrace) console.info('skipped: the replay of power cuts needs `strace`')

/** What an open said after a power cut: what it lacks of what was acknowledged, or why it was refused. */
interface Verdict {
  readonly acknowledged: number
  readonly missing: number
  readonly refused: string | undefined
}

async function openAfter(state: State, dir: string): Promise<Verdict> {
  const { acknowledged } = state
  state.restore(dir)
  // It names a process of another boot. Here that boot goes on, so each open would start a probe to find out.
  rmSync(join(dir, 'lock'), { force: true })
  const options = { dir, durability: 'synced', anchor: 'behind', acceptDamage: false } as const
  try {
    const store = await openStore({ ...options, clock: systemClock, ids: createIds(), logger: silentLogger })
    const keys = Array.from({ length: acknowledged }, (_, commit) => `binding/cut/${commit}`)
    const values = await store.read((level) => level.getMany(keys))
    await store.close()
    return { acknowledged, missing: values.filter((value) => value === undefined).length, refused: undefined }
  } catch (error) {
    const refused = error instanceof HoldfastError ? `${error.code}: ${error.message}` : String(error)
    return { acknowledged, missing: 0, refused }
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

async function verdicts(mode: string): Promise<Verdict[]> {
  const root = join(folder, mode)
  const trace = join(folder, `${mode}.trace`)
  const acknowledgements = join(folder, `${mode}.txt`)
  await recordCalls(trace, [CHILD, root, acknowledgements, mode])
  const states = statesOf(trace, root, acknowledgements)
  const found: Verdict[] = []
  let opened = 0
  const worker = async () => {
    for (let state = states.next(); !state.done; state = states.next()) {
      found.push(await openAfter(state.value, join(folder, `${mode}-${opened++}`)))
    }
  }
  await Promise.all(Array.from({ length: OPENS_AT_ONCE }, worker))
  return found
}

const lost = (all: readonly Verdict[]) => all.filter(({ missing }) => missing > 0)
const refused = (all: readonly Verdict[]) => all.filter((one) => one.acknowledged > 0 && one.refused !== undefined)

describe.skipIf(!canTrace)('a power cut where only what was synced is left', () => {
  beforeAll(() => {
    folder = realpathSync(mkdtempSync(join(IN_MEMORY ?? tmpdir(), 'holdfast-power-')))
  })
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  test('no state lacks an acknowledged commit, and every one with commits opens', async () => {
    const all = await verdicts('named')
    console.info(`${all.length} states`)
    expect(all.length).toBeGreaterThan(300)
    expect(Math.max(...all.map(({ acknowledged }) => acknowledged))).toBe(300)
    expect(lost(all)).toEqual([])
    expect(refused(all)).toEqual([])
  }, 120_000)

  test('without the sync of a new log’s name some do', async () => {
    const all = await verdicts('unnamed')
    console.info(
      `${all.length} states, ${lost(all).length} lack acknowledged commits, ${refused(all).length} are refused`,
    )
    expect(lost(all).length).toBeGreaterThan(0)
  }, 120_000)
})
