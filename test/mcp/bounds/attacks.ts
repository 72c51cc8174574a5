/** Ways in which one client can try to make a server keep or compute too much. Each goes on until its time is over. */
import { request as httpRequest } from 'node:http'

/** How an attack reaches the server. */
export interface Target {
  readonly url: URL
  /** True while the attack goes on. */
  readonly goesOn: () => boolean
  /** The hostile client's token; `undefined` without authentication. */
  readonly sub: string | undefined
}

/** One way to attack. */
export interface Attack {
  readonly name: string
  readonly access: 'principal' | 'open'
  /** Bytes that the documented budgets let one client's attack keep on disk, above an idle store. */
  readonly diskBytesMax: number
  readonly run: (target: Target) => Promise<void>
}

const KIB = 1024
const MIB = KIB * KIB
// The chain of commits, LevelDB's logs, and files that wait for a compaction.
const IDLE_BYTES = 40 * MIB
const AT_ONCE = 4

interface Sent {
  readonly session?: string | undefined
  readonly headers?: Record<string, string>
  readonly signal?: AbortSignal
  readonly method?: string
}

const HEADERS = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' }

/** Sends one request. The answer's body is read unless it is a stream that stays open. Never rejects. */
async function send({ url, sub }: Target, body: unknown, { session, headers, signal, method = 'POST' }: Sent = {}) {
  try {
    const response = await fetch(url, {
      method,
      signal: signal ?? AbortSignal.timeout(5_000),
      headers: {
        ...HEADERS,
        ...(sub ? { authorization: `Bearer ${sub}` } : {}),
        ...(session ? { 'mcp-session-id': session } : {}),
        ...headers,
      },
      ...(method === 'GET' ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    })
    return { status: response.status, headers: response.headers, text: await response.text() }
  } catch {
    return undefined
  }
}

let ids = 0
const rpc = (method: string, params: unknown = {}) => ({ jsonrpc: '2.0', id: ++ids, method, params })
const call = (name: string, args: unknown, more: object = {}) => rpc('tools/call', { name, arguments: args, ...more })

export const initialize = (padding = '') => ({
  jsonrpc: '2.0',
  id: 'init',
  method: 'initialize',
  params: {
    protocolVersion: '2025-11-25',
    capabilities: { elicitation: {} },
    clientInfo: { name: 'hostile', version: `1${padding}` },
  },
})

/** Begins a session. `undefined` if the server refuses one. */
export async function begin(target: Target): Promise<string | undefined> {
  const answer = await send(target, initialize())
  const session = answer?.headers.get('mcp-session-id') ?? undefined
  if (session) await send(target, { jsonrpc: '2.0', method: 'notifications/initialized' }, { session })
  return session
}

/** A session of a server that lives. */
async function session(target: Target): Promise<string> {
  const begun = await begin(target)
  if (begun === undefined) throw new Error('The hostile client got no session to begin with')
  return begun
}

/** Does something again and again, a few at once. */
async function flood({ goesOn }: Target, act: (n: number) => Promise<unknown>, atOnce = AT_ONCE): Promise<void> {
  let n = 0
  const worker = async () => {
    while (goesOn()) await act(n++)
  }
  await Promise.all(Array.from({ length: atOnce }, worker))
}

/** Sends a request and hangs up a moment later. */
async function hangUp(target: Target, body: unknown, sent: Sent = {}, afterMs = 20): Promise<void> {
  await send(target, body, { ...sent, signal: AbortSignal.timeout(afterMs) })
}

const META = {
  'io.modelcontextprotocol/protocolVersion': '2026-07-28',
  'io.modelcontextprotocol/clientInfo': { name: 'hostile', version: '1' },
  'io.modelcontextprotocol/clientCapabilities': { extensions: { 'io.modelcontextprotocol/tasks': {} } },
}

/** A request of 2026-07-28, which has no sessions. */
function modern(target: Target, method: string, params: Record<string, unknown>, sent: Sent = {}) {
  const name = params['name'] ?? params['taskId']
  const headers = {
    'mcp-protocol-version': '2026-07-28',
    'mcp-method': method,
    ...(typeof name === 'string' ? { 'mcp-name': name } : {}),
  }
  const given = params['_meta'] as object | undefined
  return send(target, rpc(method, { ...params, _meta: { ...META, ...given } }), { ...sent, headers })
}

async function taskOf(target: Target, session: string): Promise<string> {
  const answer = await send(target, call('never', {}, { task: { ttl: 3_600_000 } }), { session })
  return /"taskId":"(task-\w+)"/.exec(answer?.text ?? '')?.[1] ?? 'none'
}

/** A POST whose body never comes to its end. */
function halfUpload({ url, sub }: Target): Promise<void> {
  return new Promise((resolve) => {
    const headers = {
      ...HEADERS,
      'content-length': 4 * MIB,
      ...(sub ? { authorization: `Bearer ${sub}` } : {}),
    }
    const upload = httpRequest(url, { method: 'POST', headers })
    upload.on('error', () => resolve())
    upload.on('response', (response) => response.resume().on('end', () => resolve()))
    upload.write(Buffer.alloc(2 * MIB, 'x'))
    setTimeout(() => upload.destroy(), 100)
    upload.on('close', () => resolve())
  })
}

const wide = `[${'[],'.repeat(1_300_000)}[]]`
const almostWide = `[${'[],'.repeat(45_000)}[]]`
const deep = `${'['.repeat(50_000)}${']'.repeat(50_000)}`
const long = 'x'.repeat(3_900_000)
const raw = (method: string, params: string) =>
  `{"jsonrpc":"2.0","id":${++ids},"method":"${method}","params":{${params}}}`

/** Every attack. */
export const ATTACKS: readonly Attack[] = [
  {
    name: 'initialize',
    access: 'open',
    // `sessionBytesMax`.
    diskBytesMax: 64 * MIB + IDLE_BYTES,
    run: (target) => flood(target, (n) => send(target, initialize('x'.repeat(n % 3 === 0 ? 3_900_000 : 15_000)))),
  },
  {
    name: 'sessions',
    access: 'open',
    diskBytesMax: 64 * MIB + IDLE_BYTES,
    run: (target) => flood(target, () => begin(target)),
  },
  {
    name: 'open requests',
    access: 'principal',
    // `openRequestsPerOwnerMax` of 1 KiB.
    diskBytesMax: MIB + IDLE_BYTES,
    run: async (target) => {
      const id = await session(target)
      const taskId = await taskOf(target, id)
      await flood(target, (n) => {
        const junk = n % 10 === 0 ? long : 'junk'
        return hangUp(target, rpc('tasks/result', { taskId, junk, _meta: { progressToken: n } }), { session: id })
      })
    },
  },
  {
    name: 'subscriptions',
    access: 'principal',
    diskBytesMax: IDLE_BYTES,
    run: async (target) => {
      const id = await session(target)
      const taskId = await taskOf(target, id)
      const open: Promise<unknown>[] = []
      const end = new AbortController()
      await flood(target, async (n) => {
        const taskIds = n % 5 === 0 ? Array.from({ length: 1_000 }, (_, k) => `task-${k}-${n}`) : [taskId]
        open.push(modern(target, 'subscriptions/listen', { notifications: { taskIds } }, { signal: end.signal }))
        await new Promise((resolve) => setTimeout(resolve, 5))
      })
      end.abort()
      await Promise.all(open)
    },
  },
  {
    name: 'streams',
    access: 'principal',
    diskBytesMax: IDLE_BYTES,
    run: async (target) => {
      const id = await session(target)
      const end = new AbortController()
      const open: Promise<unknown>[] = []
      await flood(target, async () => {
        open.push(send(target, '', { session: id, method: 'GET', signal: end.signal }))
        await new Promise((resolve) => setTimeout(resolve, 5))
      })
      end.abort()
      await Promise.all(open)
    },
  },
  {
    name: 'checkpoints',
    access: 'principal',
    // `checkpointsPerTaskMax` of `stateBytesMax` for one task; the states are random, so that nothing is compressed.
    diskBytesMax: 100 * 256 * KIB + IDLE_BYTES,
    run: async (target) => {
      const id = await session(target)
      const made = await send(target, rpc('sessions/createTask', {}), { session: id })
      const taskId = /"taskId":"(task-\w+)"/.exec(made?.text ?? '')?.[1]
      const text = Buffer.from(Array.from({ length: 180_000 }, () => Math.random() * 256)).toString('base64')
      await flood(target, (n) =>
        send(
          target,
          rpc(n % 2 ? 'sessions/restoreCheckpoint' : 'sessions/saveCheckpoint', { taskId, state: { text, n } }),
          {
            session: id,
          },
        ),
      )
    },
  },
  {
    name: 'events',
    access: 'principal',
    // `eventBytesMax` of one session, and 1.5 KB for each task that `ratePerOwner` lets in within a minute.
    diskBytesMax: 16 * MIB + 600 * 150 * KIB + IDLE_BYTES,
    run: async (target) => {
      const id = await session(target)
      await flood(target, (n) =>
        hangUp(target, call('progress', { n }, { _meta: { progressToken: n } }), { session: id }, 50),
      )
    },
  },
  {
    name: 'idempotency keys',
    access: 'principal',
    diskBytesMax: 600 * 20 * KIB + IDLE_BYTES,
    run: async (target) => {
      const id = await session(target)
      await flood(target, (n) =>
        send(target, call('double', { n }, { _meta: { 'holdfast/idempotencyKey': `${n}${'k'.repeat(150)}` } }), {
          session: id,
        }),
      )
    },
  },
  {
    name: 'messages',
    access: 'principal',
    diskBytesMax: IDLE_BYTES,
    run: async (target) => {
      const id = await session(target)
      await flood(target, (n) =>
        n % 2
          ? send(target, { jsonrpc: '2.0', method: 'notifications/hostile', params: { long } }, { session: id })
          : send(target, { jsonrpc: '2.0', id: `made up ${n}`, result: { long } }, { session: id }),
      )
    },
  },
  {
    name: 'uploads',
    access: 'principal',
    diskBytesMax: IDLE_BYTES,
    run: (target) => flood(target, () => halfUpload(target), 20),
  },
  {
    name: 'unknown tools',
    access: 'principal',
    diskBytesMax: IDLE_BYTES,
    run: async (target) => {
      const id = await session(target)
      await flood(target, (n) =>
        n % 2
          ? send(target, call(`tool ${n}`, {}), { session: id })
          : modern(target, 'tools/call', { name: `tool ${n}` }),
      )
    },
  },
  {
    name: 'wide and deep JSON',
    access: 'principal',
    diskBytesMax: 600 * 250 * KIB + IDLE_BYTES,
    run: async (target) => {
      const id = await session(target)
      const values = [wide, almostWide, deep]
      await flood(target, (n) => {
        const args = `"name":"double","arguments":{"n":1,"pad":${values[n % values.length]}}`
        if (n % 2) return send(target, raw('tools/call', args), { session: id })
        const headers = { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/call', 'mcp-name': 'double' }
        return send(target, raw('tools/call', `${args},"_meta":${JSON.stringify(META)}`), { headers })
      })
    },
  },
  {
    name: 'refused calls',
    access: 'principal',
    diskBytesMax: IDLE_BYTES,
    run: async (target) => {
      const id = await session(target)
      const bad = [{ n: 'no number' }, { n: 1, pad: long }, { n: 'x', pad: 'y'.repeat(900_000) }]
      await flood(target, (n) =>
        n % 2
          ? send(target, call('double', bad[n % bad.length]), { session: id })
          : modern(target, 'tools/call', { name: 'double', arguments: bad[n % bad.length] }),
      )
    },
  },
  {
    name: 'huge _meta and progress tokens',
    access: 'principal',
    diskBytesMax: 600 * 20 * KIB + 16 * MIB + IDLE_BYTES,
    run: async (target) => {
      const id = await session(target)
      await flood(target, (n) =>
        n % 2
          ? send(target, call('double', { n }, { _meta: { progressToken: long, other: 'x' } }), { session: id })
          : send(target, call('double', { n }, { _meta: { progressToken: n, junk: long } }), { session: id }),
      )
    },
  },
]
