// Goal: the holder's socket and record appear, are found, repaired and removed as they should, and nothing of them disturbs the store.
// Method: real stores, and processes that are killed.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { silentLogger } from '../../../src/base/logger.js'
import { Holdfast } from '../../../src/index.js'
import { openInMemory } from '../../../src/testing/index.js'
import { afterTest, clientOf, holderOf, openStore, scratchDir } from '../../helpers/operator.js'

const HELPER = fileURLToPath(new URL('../../helpers/operator-holder.mjs', import.meta.url))

/** Starts a helper process. Returns it with the first line that it prints. */
async function start(...args: string[]): Promise<{ child: ChildProcess; first: Record<string, unknown> }> {
  const child = spawn(process.execPath, [HELPER, ...args], { stdio: ['pipe', 'pipe', 'inherit'] })
  afterTest(() => child.kill('SIGKILL'))
  const [line] = (await once(createInterface({ input: child.stdout as NodeJS.ReadableStream }), 'line')) as [string]
  return { child, first: JSON.parse(line) as Record<string, unknown> }
}

async function kill(child: ChildProcess): Promise<void> {
  const ended = once(child, 'exit')
  child.kill('SIGKILL')
  await ended
}

test('a socket path of 120 bytes works: the socket is in a private folder for temporary files, and is removed', async () => {
  const base = scratchDir()
  const dir = join(base, 'ä'.repeat((120 - Buffer.byteLength(join(base, '/operator/socket'))) / 2))
  expect(Buffer.byteLength(join(dir, 'operator/socket'))).toBeGreaterThanOrEqual(118)
  const { holdfast } = await openStore({ dir })
  expect(await clientOf(dir).info()).toMatchObject({ pid: process.pid })
  const { path } = holderOf(dir)
  expect(path.startsWith(dir)).toBe(false)
  expect(statSync(dirname(path)).mode & 0o777).toBe(0o700)
  await holdfast.close()
  expect(existsSync(dirname(path))).toBe(false)
  expect(existsSync(join(dir, 'operator'))).toBe(false)
})

test('a killed holder leaves files that lead nowhere, and the next holder replaces them', async () => {
  const dir = join(scratchDir(), 'store')
  const { child, first } = await start('hold', dir)
  expect(first).toMatchObject({ pid: child.pid })
  const before = holderOf(dir)
  await kill(child)
  expect(existsSync(join(dir, 'operator/holder.json'))).toBe(true)
  const client = clientOf(dir)
  await expect(client.info()).rejects.toMatchObject({
    code: 'STORE_NOT_HELD',
    message: expect.stringContaining('Start the server'),
  })
  const { holdfast } = await openStore({ dir })
  expect(await client.info()).toMatchObject({ pid: process.pid })
  expect(holderOf(dir).secret).not.toBe(before.secret)
  await holdfast.close()
  expect(readdirSync(dir)).not.toContain('operator')
}, 60_000)

test('a record and a lock file of a killed process do no harm when its pid is used again', async () => {
  const dir = join(scratchDir(), 'store')
  const { child } = await start('hold', dir)
  await kill(child)
  // Now both name this process, which has another start time.
  for (const file of ['lock', 'operator/holder.json']) {
    const value = JSON.parse(readFileSync(join(dir, file), 'utf8')) as { pid: number }
    writeFileSync(join(dir, file), `${JSON.stringify({ ...value, pid: process.pid }, null, 2)}\n`)
  }
  await expect(clientOf(dir).info()).rejects.toMatchObject({ code: 'STORE_NOT_HELD' })
  const { holdfast } = await openStore({ dir })
  expect(await clientOf(dir).info()).toMatchObject({ pid: process.pid })
  await holdfast.close()
}, 60_000)

test('a record of another opening than the lock file is not used', async () => {
  const { dir } = await openStore()
  await clientOf(dir).info()
  const file = join(dir, 'lock')
  const client = clientOf(dir, { waitMs: 0 })
  const record = holderOf(dir)
  // Rewritten in place, so that the holder does not notice.
  writeFileSync(join(dir, 'operator/holder.json'), JSON.stringify({ ...record, lockToken: 'another' }))
  await expect(client.info()).rejects.toMatchObject({ code: 'OPERATOR_UNAVAILABLE', mayBeWritten: false })
  writeFileSync(join(dir, 'operator/holder.json'), JSON.stringify({ ...record, protocol: 2, release: '9.0.0' }))
  await expect(client.info()).rejects.toMatchObject({
    code: 'OPERATOR_MISMATCH',
    message: expect.stringContaining('9.0.0'),
  })
  expect(existsSync(file)).toBe(true)
})

test('a second process is refused by the lock, and does not disturb the record', async () => {
  const { dir } = await openStore()
  const client = clientOf(dir)
  await client.info()
  const before = readFileSync(join(dir, 'operator/holder.json'), 'utf8')
  const { first } = await start('hold', dir)
  expect(first).toMatchObject({ code: 'STORE_LOCKED' })
  expect(readFileSync(join(dir, 'operator/holder.json'), 'utf8')).toBe(before)
  expect(await client.info()).toMatchObject({ pid: process.pid })
}, 60_000)

test.each([
  ['the folder', ''],
  ['the socket', 'socket'],
  ['the record', 'holder.json'],
])(
  'after a cleaner deleted %s, it is made again, with one warning',
  async (_, name) => {
    const warnings: string[] = []
    const warn = (message: string) => void warnings.push(message)
    const { dir } = await openStore({ logger: { ...silentLogger, warn } })
    const client = clientOf(dir)
    await client.info()
    rmSync(join(dir, 'operator', name), { recursive: true })
    // A new client finds no name to connect to, and waits for it.
    expect(await clientOf(dir, { waitMs: 20_000 }).info()).toMatchObject({ pid: process.pid })
    expect(await client.stats()).toMatchObject({ parked: 0 })
    expect(warnings).toEqual([expect.stringContaining('The socket of the operator API was deleted, and is made again')])
  },
  30_000,
)

test('the API keeps no process alive, also with a feed', async () => {
  const dir = join(scratchDir(), 'store')
  const { child } = await start('idle', dir)
  const feed = clientOf(dir).events()
  expect((await feed.next()).value).toMatchObject({ name: 'snapshot' })
  const ended = once(child, 'exit')
  child.stdin?.end()
  expect(await ended).toEqual([0, null])
  await expect(feed.next()).rejects.toMatchObject({ code: 'OPERATOR_UNAVAILABLE', mayBeWritten: false })
}, 60_000)

test('with `operator: false`, and in `holdfast/testing`, nothing is served', async () => {
  const { dir } = await openStore({ operator: false })
  await expect(clientOf(dir, { waitMs: 0 }).info()).rejects.toMatchObject({
    code: 'OPERATOR_UNAVAILABLE',
    message: expect.stringContaining('`operator: false`'),
  })
  expect(readdirSync(dir)).not.toContain('operator')
  const inMemory = await openInMemory()
  await inMemory.close()
})

test('a folder that other users may enter gets no secret', async () => {
  const { dir } = await openStore()
  await clientOf(dir).info()
  const real = join(dir, 'operator')
  const { mode } = statSync(real)
  const { chmodSync } = await import('node:fs')
  chmodSync(real, 0o755)
  await expect(clientOf(dir, { waitMs: 0 }).info()).rejects.toMatchObject({ code: 'OPERATOR_UNAVAILABLE' })
  chmodSync(real, mode)
  expect(await clientOf(dir).info()).toMatchObject({ pid: process.pid })
})

test('a directory without a store, and none, are refused with a sentence', async () => {
  const scratch = scratchDir()
  mkdirSync(join(scratch, 'empty'))
  for (const name of ['empty', 'none']) {
    await expect(clientOf(join(scratch, name)).info()).rejects.toMatchObject({ code: 'STORE_NOT_FOUND' })
  }
})

test('a folder or a link in the place of the folder does not stop the store, and is replaced', async () => {
  const { dir, holdfast } = await openStore()
  await holdfast.close()
  const elsewhere = scratchDir()
  writeFileSync(join(elsewhere, 'kept'), 'x')
  symlinkSync(elsewhere, join(dir, 'operator'))
  const again = await Holdfast.open({ dir, logger: silentLogger })
  afterTest(() => again.close())
  expect(await clientOf(dir).info()).toMatchObject({ pid: process.pid })
  expect(readdirSync(elsewhere)).toEqual(['kept'])
})

test('a close right after the open leaves nothing', async () => {
  const { dir, holdfast } = await openStore()
  await holdfast.close()
  expect(readdirSync(dir).sort()).toEqual(['anchor', 'db', 'holdfast.json'])
})

test('a server that does not answer gets a request once, and the client says so', async () => {
  const { dir } = await openStore()
  await clientOf(dir).info()
  const path = join(scratchDir(), 'silent')
  let requests = 0
  const silent = createServer(() => requests++).listen(path)
  afterTest(() => silent.close())
  await once(silent, 'listening')
  writeFileSync(join(dir, 'operator/holder.json'), JSON.stringify({ ...holderOf(dir), path }))
  await expect(clientOf(dir, { timeoutMs: 100 }).info()).rejects.toMatchObject({
    code: 'OPERATOR_UNAVAILABLE',
    message: expect.stringContaining('no answer within 100 ms'),
  })
  expect(requests).toBe(1)
})
