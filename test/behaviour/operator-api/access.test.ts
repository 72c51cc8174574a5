// Goal: only the user of the server reaches the operator API, and every other request is refused before anything is done.
// Method: raw requests over the socket of a real holder, and a process of another user where this one may start it.
import { spawnSync } from 'node:child_process'
import { chmodSync, cpSync, mkdirSync, statSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { ask, clientOf, holderOf, openStore, scratchDir, talk } from '../../helpers/operator.js'

const ROOT = fileURLToPath(new URL('../../..', import.meta.url))

async function served() {
  const { holdfast, dir } = await openStore({ tasks: [talk] })
  await clientOf(dir).info()
  return { holdfast, dir, holder: holderOf(dir) }
}

test('a request without the secret, or with another one, is refused', async () => {
  const { holder, holdfast } = await served()
  const body = JSON.stringify({ type: 'talk' })
  for (const authorization of [
    undefined,
    '',
    'Bearer',
    `Bearer ${'0'.repeat(64)}`,
    holder.secret,
    `Basic ${holder.secret}`,
  ]) {
    const answer = await ask(holder, '/v1/tasks', { method: 'POST', headers: { authorization }, body })
    expect(answer).toMatchObject({ status: 401, body: { error: { code: 'OPERATOR_REFUSED' } } })
  }
  expect((await holdfast.list()).tasks).toEqual([])
})

test('a request with an origin is refused, also with the secret', async () => {
  const { holder } = await served()
  for (const origin of ['http://localhost', 'null', 'https://example.com']) {
    const answer = await ask(holder, '/v1/stats', { headers: { origin } })
    expect(answer).toMatchObject({ status: 403, body: { error: { code: 'OPERATOR_REFUSED' } } })
  }
})

test.each([
  ['2', '/v1/stats', 'Update holdfast in the server'],
  ['0', '/v1/stats', 'Update the client'],
  ['1', '/v2/stats', 'Update holdfast in the server'],
  [undefined, '/v1/stats', 'header'],
  ['x', '/v1/stats', 'header'],
])('a client of version %s that calls %s gets a sentence with the side to update', async (version, path, sentence) => {
  const { holder } = await served()
  const answer = await ask(holder, path, { headers: { 'holdfast-protocol': version } })
  expect(answer).toMatchObject({ status: 400, headers: { 'holdfast-protocol': '1' } })
  expect(answer.body.error).toMatchObject({ code: 'OPERATOR_MISMATCH', message: expect.stringContaining(sentence) })
})

test('a body over the limit is refused, and the server continues', async () => {
  const { holder, holdfast } = await served()
  const body = Buffer.alloc(6 * 1024 * 1024, 0x20)
  const sent = await ask(holder, '/v1/tasks', { method: 'POST', body }).catch(
    (error: NodeJS.ErrnoException) => error.code,
  )
  // The server may close the connection while the client still sends.
  if (typeof sent !== 'string') expect(sent).toMatchObject({ status: 413, body: { error: { code: 'TOO_LARGE' } } })
  else expect(['EPIPE', 'ECONNRESET']).toContain(sent)
  const many = `{"type":"talk","input":[${'1,'.repeat(1_100_000)}1]}`
  const counted = await ask(holder, '/v1/tasks', { method: 'POST', body: many })
  expect(counted).toMatchObject({ status: 413, body: { error: { code: 'TOO_LARGE' } } })
  expect(await ask(holder, '/v1/stats')).toMatchObject({ status: 200 })
  expect((await holdfast.list()).tasks).toEqual([])
})

test('a path or a body that no route has is refused with a sentence', async () => {
  const { holder } = await served()
  const refusal = (message: string) => ({
    body: { error: { code: 'INVALID_REQUEST', message: expect.stringContaining(message) } },
  })
  expect(await ask(holder, '/v1/nothing')).toMatchObject({ status: 404, ...refusal('GET /v1/nothing') })
  expect(await ask(holder, '/')).toMatchObject({ status: 404, ...refusal('/v1/') })
  expect(await ask(holder, '/v1/stats', { method: 'PUT' })).toMatchObject({ status: 404, ...refusal('PUT') })
  expect(await ask(holder, '/v1/tasks/%E0%A4%A/steps')).toMatchObject({ status: 404 })
  expect(await ask(holder, '/v1/tasks?limit=0')).toMatchObject({ status: 400, ...refusal('limit') })
  const post = (body: string) => ask(holder, '/v1/tasks', { method: 'POST', body })
  expect(await post('{"type":')).toMatchObject({ status: 400, ...refusal('JSON') })
  expect(await post('[]')).toMatchObject({ status: 400, ...refusal('body') })
  expect(await post('{"type":"talk","prio":1}')).toMatchObject({ status: 400, ...refusal('prio') })
})

test('folder, socket and record are readable for the user of the server only', async () => {
  const { dir, holder } = await served()
  const modeOf = (path: string) => statSync(path).mode & 0o777
  expect(modeOf(join(dir, 'operator'))).toBe(0o700)
  expect(modeOf(join(dir, 'operator/holder.json'))).toBe(0o600)
  expect(holder.path).toBe(join(dir, 'operator/socket'))
})

test('a claimed actor cannot pass for an owner or the engine, and has no control characters', async () => {
  const { holder, holdfast } = await served()
  const byOf = async (actor: string | undefined) => {
    const headers = { 'holdfast-actor': actor }
    const { body } = await ask(holder, '/v1/tasks', { method: 'POST', body: '{"type":"talk"}', headers })
    return (await holdfast.audit({ taskId: String(body['taskId']) }))[0]?.by
  }
  expect(await byOf(encodeURIComponent('cli: Änne'))).toBe('cli: Änne')
  expect(await byOf('engine')).toBe('operator: engine')
  expect(await byOf(encodeURIComponent('cli: a\u202eb\n'))).toBe('cli: a b')
  expect(await byOf('%E0%A4%A')).toBe('operator: %E0%A4%A')
  expect(await byOf(undefined)).toBe('operator')
  expect((await byOf(`cli: ${'x'.repeat(1_000)}`))?.length).toBe(100)
})

const canChangeUser = process.getuid?.() === 0
if (!canChangeUser)
  console.error('Not run: another user cannot be tried, because this process may not change its user.')

test.runIf(canChangeUser)(
  'another user can neither read the store nor use the socket',
  async () => {
    const { dir, holder } = await served()
    const scratch = scratchDir()
    chmodSync(scratch, 0o755)
    chmodSync(join(dir, '..'), 0o755)
    // The sources, readable for every user.
    for (const name of ['src', 'test/helpers']) cpSync(join(ROOT, name), join(scratch, name), { recursive: true })
    for (const name of ['package.json', 'tsconfig.json']) cpSync(join(ROOT, name), join(scratch, name))
    symlinkSync(join(ROOT, 'node_modules'), join(scratch, 'node_modules'))
    mkdirSync(join(scratch, 'home'), { mode: 0o777 })
    const run = (...args: string[]) => {
      const env = { ...process.env, HOME: join(scratch, 'home'), TMPDIR: '/tmp' }
      const file = join(scratch, 'test/helpers/operator-holder.mjs')
      const { stdout, stderr } = spawnSync(process.execPath, [file, ...args], {
        uid: 65_534,
        gid: 65_534,
        cwd: scratch,
        env,
        encoding: 'utf8',
      })
      expect(stdout, stderr).not.toBe('')
      return JSON.parse(stdout) as Record<string, unknown>
    }
    expect(run('raw', holder.path)).toEqual({ uid: 65_534, read: 'EACCES', connect: 'EACCES' })
    expect(run('call', dir)).toMatchObject({ code: 'STORE_OF_ANOTHER_USER', message: expect.stringContaining('uid 0') })
    expect(await clientOf(dir).info()).toMatchObject({ pid: process.pid })
  },
  60_000,
)
