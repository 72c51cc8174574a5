// Goal: a client verifies and copies the store of a running server. A job that nobody waits for ends, leaves no file, and holds no memory.
// Method: real stores and the real socket. A client that does not read keeps a backup of several MiB running.
import { once } from 'node:events'
import { createWriteStream, readdirSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { request } from 'node:http'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { setImmediate as turn } from 'node:timers/promises'
import { verifyAudit, verifyBackup } from 'holdfast/admin'
import { expect, test } from 'vitest'
import { createIds } from '../../../src/base/ids.js'
import { silentLogger } from '../../../src/base/logger.js'
import { defineTask, type Holdfast, HoldfastError } from '../../../src/index.js'
import { type OperatorClient, operatorHandler } from '../../../src/operator/index.js'
import { startHolder } from '../../../src/operator/server/holder.js'
import { afterTest, clientOf, holderOf, openStore, scratchDir, talk } from '../../helpers/operator.js'
import { FakeTarget } from '../../helpers/operator-target.js'
import { turns } from '../../helpers/turns.js'

const large = defineTask({ name: 'large' }, async (task) => {
  for (let step = 0; step < 8; step++) await task.step('add', () => String(step).repeat(1_000_000))
})

/** A store of 8 MB: more than the buffers between a server and its client. */
async function openLarge(): Promise<{ holdfast: Holdfast; dir: string }> {
  const opened = await openStore({ tasks: [large] })
  const { taskId } = await opened.holdfast.start(large, undefined)
  await opened.holdfast.result(taskId)
  return opened
}

const copiesIn = (dir: string) => readdirSync(dir).filter((name) => name.startsWith('db.links-'))
/** Waits, in turns of the event loop, until `isTrue`. */
const until = async (isTrue: () => boolean) => {
  while (!isTrue()) await turn()
}

/** A stream that never takes its first bytes. `begun` resolves when they come. */
function stuckStream(): { stream: Writable; begun: Promise<void> } {
  let begin = () => {}
  const begun = new Promise<void>((resolve) => {
    begin = resolve
  })
  return { stream: new Writable({ write: () => begin() }), begun }
}

/** Begins a backup that stays running, because its client does not read. */
async function stuckBackup(client: OperatorClient, signal?: AbortSignal) {
  const { stream, begun } = stuckStream()
  const failed = client.backup({ stream, signal }).catch((error: unknown) => error)
  await Promise.race([begun, failed])
  return { stream, failed }
}

test('a backup and a verification of a running store are those of `holdfast/admin`, with progress', async () => {
  const { holdfast, dir } = await openStore({ tasks: [talk] })
  const { taskId } = await holdfast.start(talk, undefined)
  await holdfast.steps(taskId)
  const client = clientOf(dir)
  const phases = new Set<string>()
  const onProgress = ({ phase }: { phase: string }) => void phases.add(phase)
  const report = await client.verify({ onProgress })
  expect(report).toMatchObject({ isSound: true, findings: [] })
  const file = join(dir, '../store.backup')
  const made = await client.backup({ stream: createWriteStream(file), onProgress })
  expect([...phases]).toEqual(['files', 'write'])
  expect(made).toMatchObject({ storeId: report.storeId, verification: { isSound: true } })
  const { sha256, records, commit } = await verifyBackup({ file })
  expect({ sha256, records, commit }).toEqual({ sha256: made.sha256, records: made.records, commit: made.commit })
  expect(copiesIn(dir)).toEqual([])
  expect((await holdfast.get(taskId)).status).not.toBe('failed')
})

test('the audit of a running store is verified and exported as by `holdfast/admin`', async () => {
  const { holdfast, dir } = await openStore({ tasks: [talk] })
  const { taskId } = await holdfast.start(talk, undefined)
  const client = clientOf(dir)
  const file = join(dir, '../audit.jsonl')
  const { head, isSound } = await client.exportAudit({ stream: createWriteStream(file) })
  expect(isSound).toBe(true)
  await holdfast.cancel(taskId)
  expect(await client.verifyAudit({ head })).toMatchObject({ isSound: true, findings: [] })
  expect(await verifyAudit({ file })).toMatchObject({ isSound: true, head })
  const forged = { commit: head?.commit as number, hash: 'a'.repeat(64) }
  const { findings } = await client.verifyAudit({ head: forged })
  expect(findings).toMatchObject([{ code: 'NOT_THE_HEAD', commit: head?.commit }])
  await expect(client.verifyAudit({ head: { commit: -1, hash: '' } })).rejects.toMatchObject({
    code: 'INVALID_REQUEST',
  })
  await expect(client.exportAudit({} as never)).rejects.toThrow(TypeError)
  expect(copiesIn(dir)).toEqual([])
})

test('the bytes of a large backup arrive whole', async () => {
  const { dir } = await openLarge()
  const file = join(dir, '../large.backup')
  const { sha256 } = await clientOf(dir).backup({ stream: createWriteStream(file) })
  expect((await verifyBackup({ file })).sha256).toBe(sha256)
  expect((await readFile(file)).length).toBeGreaterThan(8_000_000)
})

test('a second job is refused until the first has ended', async () => {
  const { dir } = await openLarge()
  const client = clientOf(dir)
  const aborter = new AbortController()
  const { failed } = await stuckBackup(client, aborter.signal)
  await expect(client.verify()).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED', details: { running: 'backup' } })
  aborter.abort(new Error('enough'))
  expect(await failed).toMatchObject({ message: 'enough' })
  // The job has ended a moment after its files were removed.
  let verified: unknown
  const verify = () => client.verify().catch((error: unknown) => error)
  do verified = await verify()
  while (verified instanceof HoldfastError && verified.code === 'LIMIT_EXCEEDED')
  expect(verified).toMatchObject({ isSound: true })
  expect(copiesIn(dir)).toEqual([])
})

test('a client that disconnects ends its job, and the files of the job are removed', async () => {
  const { dir } = await openLarge()
  const { path: socketPath, secret } = holderOf(dir)
  const headers = { authorization: `Bearer ${secret}`, 'holdfast-protocol': '1' }
  const sent = request({ socketPath, path: '/v1/backup', method: 'POST', headers })
  sent.on('error', () => {})
  const answered = new Promise((resolve) => sent.once('response', resolve))
  sent.end('{}')
  await answered
  expect(copiesIn(dir)).toHaveLength(1)
  sent.destroy()
  await until(() => copiesIn(dir).length === 0)
})

test('a close ends a running job with `CLOSED`, and removes its files first', async () => {
  const { holdfast, dir } = await openLarge()
  const { stream, failed } = await stuckBackup(clientOf(dir))
  await holdfast.close({ grace: 0 })
  expect(copiesIn(dir)).toEqual([])
  stream.destroy()
  // What waited in the buffers of a client that does not read may hide the last message.
  expect(await failed).toMatchObject({ code: expect.stringMatching(/^(CLOSED|BACKUP_FAILED|OPERATOR_UNAVAILABLE)$/) })
})

test('a stream that fails ends the backup with its reason', async () => {
  const { dir } = await openLarge()
  const client = clientOf(dir)
  const full = () => new Writable({ write: (_chunk, _encoding, done) => done(new Error('no space left on device')) })
  await expect(client.backup({ stream: full() })).rejects.toMatchObject({
    code: 'BACKUP_FAILED',
    message: expect.stringContaining('no space left on device'),
  })
  await expect(client.backup({ stream: {} as never })).rejects.toThrow(TypeError)
  await until(() => copiesIn(dir).length === 0)
})

test('a client that does not read stops the job at the bytes of the buffers', async () => {
  let written = 0
  let isBlocked = false
  const target = new FakeTarget(
    {},
    {
      backup: async (_request, { bytes, signal }) => {
        const chunk = Buffer.alloc(65_536)
        // An endless backup, with a drain event for each time that there is room.
        while (written < 1_000_000_000) {
          written += chunk.length
          if (bytes.write(chunk)) continue
          isBlocked = true
          await once(bytes as Writable, 'drain', { signal })
          isBlocked = false
        }
        throw new Error('the client read everything')
      },
    },
  )
  const dir = scratchDir()
  const holder = startHolder({
    dir,
    lockToken: 'token',
    target,
    logger: silentLogger,
    ids: createIds(),
    inputBytesMax: 1_000,
  })
  afterTest(() => holder.close())
  await holder.ready
  const { path: socketPath, secret } = holderOf(dir)
  const headers = { authorization: `Bearer ${secret}`, 'holdfast-protocol': '1' }
  const sent = request({ socketPath, path: '/v1/backup', method: 'POST', headers })
  sent.on('error', () => {})
  afterTest(() => sent.destroy())
  sent.end('{}')
  // A response that is not read.
  await new Promise((resolve) => sent.once('response', resolve))
  let before = -1
  while (!isBlocked || before !== written) {
    before = written
    await turns(200)
  }
  expect(written).toBeLessThan(16 * 1_048_576)
})

test('in an author’s server, a caller that may only read gets no job, and one that may not see values no backup', async () => {
  const { holdfast } = await openStore({ tasks: [talk] })
  const caller = { actor: 'web: ann', readOnly: true, showValues: false }
  const handler = operatorHandler(holdfast, { authorize: () => caller })
  const post = (path: string, body?: object) =>
    handler.fetch(
      new Request(`http://localhost${path}`, {
        method: 'POST',
        headers: { 'holdfast-protocol': '1', 'content-type': 'application/json' },
        body: JSON.stringify(body ?? {}),
      }),
    )
  expect((await post('/v1/verify')).status).toBe(403)
  caller.readOnly = false
  expect((await post('/v1/backup')).status).toBe(403)
  const { taskId } = await holdfast.start(talk, undefined)
  for (const redact of [undefined, false]) expect((await post('/v1/export', { taskId, redact })).status).toBe(403)
  const redacted = await (await post('/v1/export', { taskId, redact: true })).text()
  expect(redacted).toContain('"redacted":true')
  expect(redacted).toContain('"kind":"done"')
  const verified = await post('/v1/verify')
  expect(verified.headers.get('content-type')).toBe('application/octet-stream')
  expect(await verified.text()).toContain('"kind":"done"')
})
