// Goal: a failure of the server is one line of the log and nothing more; a client that does not read costs a bounded queue.
// Method: the server alone, with a made-up target.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { createIds } from '../../../../src/base/ids.js'
import { silentLogger } from '../../../../src/base/logger.js'
import { type Holder, startHolder } from '../../../../src/operator/server/holder.js'
import { fitsSocket, socketPaths } from '../../../../src/operator/server/holder-files.js'
import { ask, holderOf } from '../../../helpers/operator.js'
import { FakeTarget } from '../../../helpers/operator-target.js'

const base = mkdtempSync(join(tmpdir(), 'holdfast-holder-'))
const lines: string[] = []
const write = (message: string, fields?: unknown) => void lines.push(`${message} ${JSON.stringify(fields)}`)
let holder: Holder | undefined
afterEach(async () => {
  await holder?.close()
  lines.length = 0
  rmSync(base, { recursive: true, force: true })
})

async function serve(target: FakeTarget, dir = base): Promise<void> {
  const logger = { ...silentLogger, warn: write, error: write }
  holder = startHolder({ dir, lockToken: 'token', target, logger, ids: createIds(), inputBytesMax: 1_000 })
  await holder.ready
}

test('where no folder can be made, one warning is logged', async () => {
  rmSync(base, { recursive: true, force: true })
  await serve(new FakeTarget())
  expect(lines).toEqual([expect.stringContaining('The operator API could not be started. Tasks run as usual')])
  expect(lines[0]).toContain('ENOENT')
})

test('a handler that fails unexpectedly is answered with 500, and logged without its message', async () => {
  mkdirSync(base, { recursive: true })
  const stats = () => Promise.reject(new Error('a secret'))
  await serve(new FakeTarget({ stats }))
  const answer = await ask(holderOf(base), '/v1/stats')
  expect(answer).toMatchObject({ status: 500 })
  expect(JSON.stringify(answer.body)).not.toContain('a secret')
  expect(lines).toEqual([expect.stringContaining('A request to the operator API failed unexpectedly')])
  expect(lines[0]).not.toContain('a secret')
})

test('a client of the feed that stops reading is cut, and its listener is removed', async () => {
  mkdirSync(base, { recursive: true })
  const target = new FakeTarget()
  await serve(target)
  const { path, secret } = holderOf(base)
  const socket = connect({ path })
  socket.write(`GET /v1/events HTTP/1.1\r\nhost: x\r\nholdfast-protocol: 1\r\nauthorization: Bearer ${secret}\r\n\r\n`)
  await new Promise((resolve) => socket.once('readable', resolve))
  expect(target.listeners).toBe(1)
  // Nothing is read from here on. The buffers of the system fill, and then the queue.
  let published = 0
  while (target.listeners > 0 && published < 100_000) {
    for (let i = 0; i < 500; i++, published++) target.publish('task:progress', { message: 'x'.repeat(200) })
    await new Promise((resolve) => setImmediate(resolve))
  }
  expect(target.listeners).toBe(0)
  socket.destroy()
})

test('paths are measured in bytes, and the pipe of Windows has 128 random bits', async () => {
  expect(fitsSocket('x'.repeat(103))).toBe(true)
  expect(fitsSocket('ä'.repeat(52))).toBe(false)
  const [own] = socketPaths(`/${'ä'.repeat(60)}`, '0')
  expect(await own?.()).toBeUndefined()
  const { platform } = process
  Object.defineProperty(process, 'platform', { value: 'win32' })
  try {
    const [pipe] = socketPaths('C:\\store', 'ab'.repeat(16))
    expect(await pipe?.()).toBe(`\\\\.\\pipe\\holdfast-${'ab'.repeat(16)}`)
  } finally {
    Object.defineProperty(process, 'platform', { value: platform })
  }
})

test('the folder of a socket is only removed if it was made for one', async () => {
  mkdirSync(base, { recursive: true })
  const { removeSocketFolder } = await import('../../../../src/operator/server/holder-files.js')
  writeFileSync(join(base, 'kept'), 'x')
  await removeSocketFolder(join(base, 'socket'))
  rmSync(join(base, 'kept'))
})
