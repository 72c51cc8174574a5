/**
 * Goal: a stdio server ends with its client, whichever way the client stops it, gives the store back, and no task is
 * blamed for it.
 * Method: real processes over real directories, stopped by the sequences of four clients. One crash parks a
 * task here, so the second start shows whether the first stop counted as one. `HOLDFAST_STOPS=7` stops each seven times.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { Client } from '@modelcontextprotocol/client'
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio'
import { afterEach, describe, expect, test } from 'vitest'
import { Place, type Revision, STOP_SEQUENCES } from '../../helpers/mcp/stdio-process.js'

const REVISIONS: Revision[] = ['2025-11-25', '2026-07-28']
const STOPS = Number(process.env['HOLDFAST_STOPS'] ?? 2)
const places: Place[] = []
const place = () => {
  const made = new Place()
  places.push(made)
  return made
}
afterEach(async () => {
  for (const made of places.splice(0)) await made.remove()
})

// biome-ignore lint/suspicious/noExplicitAny: the two revisions show a task in different words
const statusIn = ({ result }: any): string => result.status ?? result.structuredContent?.status

describe.each(STOP_SEQUENCES)('stopped as by %s', (how) => {
  test.each([
    ['a step runs', 'work', '2025-11-25'],
    ['a step runs', 'work', '2026-07-28'],
    ['a task waits for input', 'book', '2025-11-25'],
    ['a task waits for input', 'book', '2026-07-28'],
    ['it is idle', undefined, '2025-11-25'],
    ['it is idle', undefined, '2026-07-28'],
  ] as const)(
    `the server ends each time while %s, frees the store for the next, which waits for nothing, and blames no task (%s, %s)`,
    async (_, tool, revision) => {
      const here = place()
      let taskId: string | undefined
      // Claude Code leaves 500 ms, which a loaded machine may not give: then a kill comes before the first write, and counts.
      const maximumRecoveries = how === 'Claude Code' ? 5 : 1
      for (let stop = 1; stop <= STOPS; stop++) {
        const server = here.start(revision, { maximumRecoveries })
        expect((await server.connect()).error).toBeUndefined()
        // The store is opened by this call at the latest.
        if (tool && !taskId) taskId = await server.start(tool)
        else expect((await server.call('quick', { n: stop })).error).toBeUndefined()
        if (taskId) {
          let answer = await server.request('tasks/get', { taskId })
          // A body that was resumed asks a little later.
          while (tool === 'book' && statusIn(answer) === 'working') {
            await delay(10)
            answer = await server.request('tasks/get', { taskId })
          }
          expect(statusIn(answer), JSON.stringify(answer)).toBe(tool === 'book' ? 'input_required' : 'working')
          expect(JSON.stringify(answer)).not.toContain('POISONED')
        }
        if (tool === 'work') await here.until('step', stop)
        // A refused open would be called again after a wait. So each process got the store with its first look at the lock.
        expect(here.count('open'), server.stderr).toBe(stop)
        expect(here.count('opened'), server.stderr).toBe(stop)
        const closes = here.count('closed')
        const exit = await server.stop(how)
        // With the file gone, the next open neither judges a holder nor starts a probe process. A loaded machine may not close the
        // store before the watchdog exits.
        if (here.count('closed') > closes) expect(here.isLocked()).toBe(false)
        if (how === 'Claude Code' && exit.signal === 'SIGKILL') continue
        expect(exit, server.stderr).toEqual({ code: 0, signal: null })
      }
    },
    120_000,
  )
})

test.each(REVISIONS)(
  'after a signal an open call is answered with a tool error that names the task (%s)',
  async (revision) => {
    const here = place()
    const server = here.start(revision)
    await server.connect()
    const calling =
      revision === '2025-11-25' ? server.call('work') : server.request('tools/call', { name: 'work', arguments: {} })
    await here.until('step', 1)
    if (revision === '2026-07-28') await calling // answered with a task, which a client asks for later
    server.child.kill('SIGTERM')
    if (revision === '2025-11-25') {
      const { result } = await calling
      expect(result.isError).toBe(true)
      expect(result.content[0].text).toMatch(
        /^The server was stopped before task task-\S+ ended\. The task is not lost: it continues at the next start of the server\.$/,
      )
    }
    expect(await server.exit).toEqual({ code: 0, signal: null })
  },
  60_000,
)

test.each([
  ['SIGTERM', 'book', '2025-11-25'],
  ['SIGTERM', undefined, '2026-07-28'],
  ['SIGINT', 'book', '2026-07-28'],
  ['end of input', undefined, '2025-11-25'],
  ['end of input', 'book', '2026-07-28'],
] as const)(
  'after %s the store is closed and the lock released before the process exits (%s, %s)',
  async (sign, tool, revision) => {
    const here = place()
    // Nothing runs, so nothing waits for the grace. The watchdog is far away.
    const server = here.start(revision, { options: { grace: '1m' } })
    await server.connect()
    if (tool) await server.start(tool)
    else await server.call('quick', { n: 1 })
    expect(here.isLocked()).toBe(true)
    if (sign === 'end of input') server.child.stdin.end()
    else server.child.kill(sign)
    expect(await server.exit).toEqual({ code: 0, signal: null })
    expect(here.count('closed')).toBe(1)
    expect(here.isLocked()).toBe(false)
  },
  60_000,
)

test('after the end of input nothing is written, and no EPIPE is unhandled', async () => {
  const here = place()
  const server = here.start('2025-11-25')
  await server.connect()
  void server.call('work').catch(() => {})
  await here.until('step', 1)
  const before = server.answers.length
  server.child.stdout.destroy()
  server.child.stdin.end()
  expect(await server.exit).toEqual({ code: 0, signal: null })
  expect(server.answers).toHaveLength(before)
  expect(server.stderr).not.toContain('EPIPE')
}, 60_000)

test.each(REVISIONS)(
  'input that has ended before the server begins ends it too (%s)',
  async (revision) => {
    const here = place()
    const server = here.start(revision)
    server.child.stdin.end()
    expect(await server.exit).toEqual({ code: 0, signal: null })
    expect(here.count('open')).toBe(0)
  },
  60_000,
)

test('with `exit: false` the process goes on, and `ended` gives the reason', async () => {
  const here = place()
  const server = here.start('2025-11-25', { options: { exit: false } })
  await server.connect()
  await server.call('quick', { n: 1 })
  server.child.kill('SIGINT')
  server.child.kill('SIGTERM')
  expect((await server.exit).code).toBe(7)
  // Two signals that are sent together may be delivered in either order. The first to arrive is the reason.
  expect(here.count('ended SIGINT') + here.count('ended SIGTERM')).toBe(1)
}, 60_000)

test.each(REVISIONS)(
  'with `signals: false` a signal is left to the author (%s)',
  async (revision) => {
    const here = place()
    const server = here.start(revision, { options: { signals: false } })
    await server.connect()
    await server.call('quick', { n: 1 })
    server.child.kill('SIGTERM')
    expect(await server.exit).toEqual({ code: null, signal: 'SIGTERM' })
  },
  60_000,
)

test.each(REVISIONS)(
  'a low-level server lists and answers durable tools and its own, and continues its tasks (%s)',
  async (revision) => {
    const here = place()
    const first = here.start(revision, { lowLevel: true })
    await first.connect()
    const { result } = await first.request('tools/list')
    expect(result.tools.map(({ name }: { name: string }) => name).sort()).toEqual(
      ['book', 'plain', 'quick', 'start_book', 'start_work', 'work'].sort(),
    )
    expect((await first.call('plain')).result.content[0].text).toBe('plain')
    const taskId = await first.start('work')
    await here.until('step', 1)
    expect(await first.stop('Codex')).toEqual({ code: 0, signal: null })
    const second = here.start(revision, { lowLevel: true })
    await second.connect()
    expect(statusIn(await second.request('tasks/get', { taskId }))).toBe('working')
    await here.until('step', 2)
    await second.stop('Codex')
  },
  60_000,
)

test.each(REVISIONS)(
  'with `console: keep` a line of console.log goes to standard output (%s)',
  async (revision) => {
    const here = place()
    const server = here.start(revision, { prints: true, options: { console: 'keep' } })
    await server.connect()
    await server.call('plain')
    await server.stop('Codex')
    expect(server.broken).toEqual(['not a message'])
    expect(server.stderr).not.toContain('console.log was called')
  },
  60_000,
)

test.each(REVISIONS)(
  'a line of console.log goes to standard error, with one warning (%s)',
  async (revision) => {
    const here = place()
    const server = here.start(revision, { prints: true })
    await server.connect()
    for (let call = 0; call < 2; call++) expect((await server.call('plain')).result.content[0].text).toBe('plain')
    await server.stop('Codex')
    expect(server.broken).toEqual([])
    expect(server.stderr.match(/not a message/g)).toHaveLength(2)
    expect(server.stderr.match(/console\.log was called in a stdio server/g)).toHaveLength(1)
  },
  60_000,
)

test.each(REVISIONS)(
  'a probe opens no store, `open: at-start` opens it (%s)',
  async (revision) => {
    const here = place()
    const probe = here.start(revision)
    await probe.connect()
    await probe.stop('Codex')
    expect(here.count('open')).toBe(0)
    const eager = here.start(revision, { options: { open: 'at-start' } })
    await here.until('open', 1)
    await eager.stop('Codex')
  },
  60_000,
)

test.each(REVISIONS)(
  'of two copies both connect and list; the second says who holds the store, and works once the first has ended (%s)',
  async (revision) => {
    const here = place()
    const first = here.start(revision)
    await first.connect()
    await first.call('quick', { n: 1 })
    const second = here.start(revision)
    await second.connect()
    const { result } = await second.request('tools/list')
    expect(result.tools.map(({ name }: { name: string }) => name)).toContain('quick')
    expect((await second.call('plain')).result.content[0].text).toBe('plain')
    const refused = await second.call('quick', { n: 2 })
    expect(refused.result.isError).toBe(true)
    expect(refused.result.content[0].text).toMatch(
      new RegExp(
        `^Another copy of this server \\(process ${first.child.pid}, started \\d\\d:\\d\\d\\) uses these tasks\\. Close it, or give this copy a directory of its own\\.$`,
      ),
    )
    await first.stop('Codex')
    const answered = await second.call('quick', { n: 2 })
    expect(answered.result.isError ?? false, JSON.stringify(answered)).toBe(false)
    await second.stop('Codex')
  },
  60_000,
)

test('ten connects of client 2.4 in mode `auto`, with its probe processes, count no crash and begin no step', async () => {
  const here = place()
  const begin = here.start('2026-07-28')
  await begin.connect()
  const taskId = await begin.start('work')
  await here.until('step', 1)
  await begin.stop('SDK clients')
  const [command, ...args] = here.command('2026-07-28')
  for (let connect = 1; connect <= 10; connect++) {
    const client = new Client({ name: 'auto', version: '1' }, { versionNegotiation: { mode: 'auto' } })
    await client.connect(new StdioClientTransport({ command, args, stderr: 'ignore' }))
    // Needs the store, so this process resumes the task. Its probe must not have.
    await client.callTool({ name: 'quick', arguments: { n: connect } })
    await here.until('step', 1 + connect)
    expect(here.count('step')).toBe(1 + connect)
    // One for the call of each process that served a client, and none for `server/discover`.
    expect(here.count('open for a message')).toBeLessThanOrEqual(1 + connect)
    await client.close()
  }
  const last = here.start('2026-07-28')
  await last.connect()
  const answer = await last.request('tasks/get', { taskId })
  expect(answer.result.status, JSON.stringify(answer)).toBe('working')
  await last.stop('Codex')
}, 180_000)
