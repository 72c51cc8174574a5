// Goal: the SDKs' clients and ext-tasks, as they are published, get through a call with progress, a question and the kill of
// their server.
// Method: each is a process of its own, with the server of `npm run clients`. The server is killed when the second step has
// begun, and that step ends once another server is there.
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { ROWS, versionOf } from './rows.js'
import type { Speaks } from './server-job.js'
import { type Outcome, run } from './trial.js'

const read = (path: string) => readFileSync(fileURLToPath(new URL(`../../../${path}`, import.meta.url)), 'utf8')
const WORKED = { text: '{"worked":"kill"}' }
// Longer than a call of theirs may take: a call that is answered later is a failure of the test's own time limit.
const PATIENCE_MS = 60_000

const tried = (
  client: string,
  transport: 'stdio' | 'http',
  speaks: Speaks,
  { patienceMs = PATIENCE_MS, outageMs = 0 } = {},
) => run({ client, transport, speaks, outageMs, patienceMs, retryInterval: '4s' })

/** @param reported the progress of the call. Over stdio a client drops what comes in one read with the result (openings.test.ts). */
function expectUsable({ tools, call, progress, input }: Outcome, reported?: readonly number[]): void {
  expect(tools).toEqual(['confirm', 'work'])
  expect(call).toEqual({ text: '{"worked":"plain"}' })
  expect(progress).toEqual(reported ?? [...progress].sort())
  expect(input).toEqual({ ended: { text: '{"sure":true}' }, asked: 1 })
}

describe.concurrent('the clients that are dependencies anyway', { timeout: 120_000 }, () => {
  test('sdk, stdio: the call fails, and the same call joins its task', async () => {
    const outcome = await tried('sdk', 'stdio', 'both')
    expectUsable(outcome)
    expect(outcome.revision).toBe('2025-11-25')
    expect(outcome.kill).toMatchObject({
      pending: { error: expect.stringMatching(/Connection closed/) },
      again: WORKED,
      begun: 1,
    })
  })

  test('sdk, HTTP: the call is answered with all of its progress', async () => {
    const outcome = await tried('sdk', 'http', 'both')
    expectUsable(outcome, [1, 2, 3])
    expect(outcome.kill).toMatchObject({ pending: WORKED, progress: [1, 2, 3], begun: 1 })
  })

  test('client, stdio: the call fails, and the same call joins its task', async () => {
    const outcome = await tried('client', 'stdio', 'both')
    expectUsable(outcome)
    expect(outcome.revision).toBe('2026-07-28')
    expect(outcome.kill).toMatchObject({
      pending: { error: expect.stringMatching(/CONNECTION_CLOSED/) },
      again: WORKED,
      begun: 1,
    })
  })

  test('client, HTTP, 2025-11-25: the call is answered with all of its progress', async () => {
    const outcome = await tried('client', 'http', '2025-11-25')
    expectUsable(outcome, [1, 2, 3])
    expect(outcome.kill).toMatchObject({ pending: WORKED, progress: [1, 2, 3], begun: 1 })
  })

  test('client, HTTP, 2026-07-28: the client is told nothing, and the same call joins its task', async () => {
    const outcome = await tried('client', 'http', 'both', { patienceMs: 0 })
    expectUsable(outcome, [1, 2, 3])
    expect(outcome.revision).toBe('2026-07-28')
    expect(outcome.kill).toMatchObject({ pending: undefined, again: WORKED, reconnected: false, begun: 1 })
  })

  test('ext-tasks, HTTP, 2025-11-25: the task is followed over the kill', async () => {
    const outcome = await tried('ext-tasks', 'http', '2025-11-25')
    expectUsable(outcome)
    expect(outcome.kill).toMatchObject({ pending: WORKED, begun: 1 })
  })

  test('ext-tasks, HTTP and stdio, 2026-07-28: the request fails that was open, and the task is resumed', async () => {
    const [http, stdio] = await Promise.all([
      // Longer than twice its poll interval: of a shorter outage its polls may see nothing.
      tried('ext-tasks', 'http', 'both', { outageMs: 3_000 }),
      tried('ext-tasks', 'stdio', 'both'),
    ])
    for (const outcome of [http, stdio]) {
      expectUsable(outcome)
      expect(outcome.revision).toBe('2026-07-28')
      const pending = { error: expect.stringMatching(/^MCP client/) }
      expect(outcome.kill).toMatchObject({ pending, again: WORKED, resumed: true, begun: 1 })
    }
  })
})

test('the versions that are tried are those that the project is built with', () => {
  const { packages } = JSON.parse(read('package-lock.json')) as { packages: Record<string, { version: string }> }
  for (const name of new Set(ROWS.map((row) => row.package))) {
    const ours = packages[`node_modules/${name}`]
    if (ours) expect([name, versionOf(name)]).toEqual([name, ours.version])
  }
})

test('the lock file names no place to download from, and has what `npm ci` needs', () => {
  const text = read('test/mcp/clients/installed/package-lock.json')
  expect(text).not.toContain('"resolved"')
  const { packages } = JSON.parse(text) as { packages: Record<string, Locked> }
  // npm ci refuses a file without an entry for each dependency, also for an optional one of another platform.
  const missing = Object.entries(packages).flatMap(([at, { dependencies, optionalDependencies }]) =>
    Object.keys({ ...dependencies, ...optionalDependencies }).filter((name) => !isFoundFrom(at, name, packages)),
  )
  expect(missing).toEqual([])
})

interface Locked {
  readonly dependencies?: Record<string, string>
  readonly optionalDependencies?: Record<string, string>
}

/** Whether Node finds a package from where another one is installed. */
function isFoundFrom(at: string, name: string, packages: Record<string, Locked>): boolean {
  for (let place = at; ; place = place.slice(0, Math.max(0, place.lastIndexOf('/node_modules/')))) {
    if (packages[`${place && `${place}/`}node_modules/${name}`]) return true
    if (place === '') return false
  }
}
