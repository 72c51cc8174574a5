// Goal: the files of docs/deploy run as the pages say: as a service, as process 1 of a container, in a pod, and from clients.
// Method: each file is parsed with a parser of its format. What it starts is started here, from a copy of the folder, with
// the same command and environment; it is called, stopped with the signals of its page, killed and started again.
import { execFileSync, spawnSync } from 'node:child_process'
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { DockerfileParser } from 'dockerfile-ast'
import { validate } from 'dockerfile-utils'
import { parse as parseToml } from 'smol-toml'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import { parseAllDocuments } from 'yaml'
import { authorFolder, FlightSource, ROOT } from '../../helpers/mcp/host-process.js'
import { freePort } from '../../helpers/mcp/server-process.js'
import { StdioServer } from '../../helpers/mcp/stdio-process.js'
import { HttpServer } from './http-server.js'

const DEPLOY = join(ROOT, 'docs/deploy')
const read = (name: string) => readFileSync(join(DEPLOY, name), 'utf8')
const files = readdirSync(DEPLOY).filter((name) => !name.endsWith('.md'))
const pages = readdirSync(DEPLOY).filter((name) => name.endsWith('.md'))
const blocksOf = (page: string, language: string) =>
  [...read(page).matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)].flatMap(([, is, text = '']) =>
    is === language ? [text] : [],
  )

const folder = authorFolder()
for (const name of files) copyFileSync(join(DEPLOY, name), join(folder, name))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

let source: FlightSource
let dir: string
beforeEach(async () => {
  source = await new FlightSource().start()
  dir = mkdtempSync(join(tmpdir(), 'holdfast-deploy-'))
})
afterEach(async () => {
  await source.close()
  rmSync(dir, { recursive: true, force: true })
})

const call = (pages: number) => ({ name: 'import_flights', arguments: { pages } })

test('each file stands on a page, word for word', () => {
  const blocks = pages.flatMap((page) => ['js', 'ini', 'yaml', 'dockerfile'].flatMap((is) => blocksOf(page, is)))
  expect(files).toHaveLength(6)
  expect(blocks.sort()).toEqual(files.map(read).sort())
})

test('each link of the pages leads to a file', () => {
  const links = pages.flatMap((page) =>
    [...read(page).matchAll(/\]\((?!https?:|#)([^)#]+)/g)].map(([, link = '']) => link),
  )
  expect(links.length).toBeGreaterThan(3)
  for (const link of links) expect(() => readFileSync(join(DEPLOY, link)), link).not.toThrow(/ENOENT/)
})

describe('the systemd unit', () => {
  const unit = read('flights.service')
  const value = (key: string) => new RegExp(`^${key}=(.*)$`, 'm').exec(unit)?.[1] ?? ''
  const hasSystemd = spawnSync('systemd-analyze', ['--version']).status === 0

  test.skipIf(!hasSystemd)('has no error that `systemd-analyze verify` finds', () => {
    const path = join(dir, 'flights.service')
    // It looks for the program.
    writeFileSync(path, unit.replace('/usr/bin/node', process.execPath))
    const { status, stderr } = spawnSync('systemd-analyze', ['verify', path], { encoding: 'utf8' })
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
  })

  test('gives the close more time than steps get, and restarts within what a call survives', () => {
    expect(unit).toMatch(/^\[Unit\]$[\s\S]*^\[Service\]$[\s\S]*^\[Install\]$/m)
    expect(value('Restart')).toBe('always')
    expect(value('StateDirectory')).toBe('flights')
    expect(Number(value('TimeoutStopSec'))).toBeGreaterThan(5)
    expect(Number(value('RestartSec'))).toBeLessThan(15)
    expect(value('ExecStart')).toBe(`/usr/bin/node ${value('WorkingDirectory')}/http-server.mjs`)
  })

  test('a waiting call is answered after a kill -9, and SIGTERM during a step ends the process with code 0', async () => {
    const [, script = ''] = value('ExecStart').split(' ')
    const environment = Object.fromEntries(
      value('Environment')
        .split(' ')
        .map((text) => text.split('=')),
    )
    const server = new HttpServer([process.execPath, script.replace(value('WorkingDirectory'), folder)], {
      ...environment,
      STATE_DIRECTORY: dir,
      PORT: String(await freePort()),
      FLIGHTS_URL: source.url,
    })
    await server.start()
    const client = await server.connect()
    const held = source.hold(3)
    const pending = client.callTool(call(4))
    await held
    await server.kill()
    source.release()
    await server.start()
    expect((await pending).structuredContent).toEqual({ flights: 10 })
    expect(source.fetched).toEqual([3, 4])

    const heldAgain = source.hold(2)
    const next = client.callTool(call(2))
    await heldAgain
    expect(await server.stop()).toBe(0)
    source.release()
    await server.start()
    expect((await next).structuredContent).toEqual({ flights: 3 })
    expect(source.fetched).toEqual([2])
    await client.close()
    expect(await server.stop()).toBe(0)
  }, 120_000)
})

describe('the Dockerfile', () => {
  const text = read('Dockerfile')
  const instructions = DockerfileParser.parse(text).getInstructions()
  const argumentsOf = (keyword: string) =>
    instructions.filter((each) => each.getKeyword() === keyword).map((each) => each.getArgumentsContent() ?? '')
  const unshare = ['unshare', '--pid', '--fork', '--mount-proc', '--kill-child']
  const canUnshare = spawnSync('unshare', [...unshare.slice(1), 'true']).status === 0

  test('has no error that a parser finds, and copies files that are there', () => {
    expect(validate(text)).toEqual([])
    const copied = argumentsOf('COPY').flatMap((line) => line.split(/\s+/).slice(0, -1))
    for (const name of copied.filter((name) => !name.startsWith('package'))) expect(files).toContain(name)
    expect(copied).toContain('stdio-server.mjs')
    expect(argumentsOf('USER')).toEqual(['node'])
    expect(argumentsOf('ENV')).toContain(`DIR=${argumentsOf('VOLUME')[0]}`)
  })

  const serve = () => {
    const [, script] = JSON.parse(argumentsOf('CMD')[0] as string) as [string, string]
    const env = ['env', `DIR=${join(dir, 'store')}`, `FLIGHTS_URL=${source.url}`, 'HOLDFAST_LOG=error']
    const command = [...unshare, ...env, process.execPath, join(folder, script)]
    return new StdioServer(command as [string, ...string[]], '2026-07-28')
  }
  /** The process that is process 1 in its namespace. */
  const first = (server: StdioServer) =>
    Number(readFileSync(`/proc/${server.child.pid}/task/${server.child.pid}/children`, 'utf8'))

  test.skipIf(!canUnshare).each(['SIGTERM', 'end of stdin'])(
    'as process 1 it ends with code 0 at %s, during a step',
    async (how) => {
      const server = serve()
      await server.connect()
      expect((await server.request('tools/list')).result.tools).toHaveLength(1)
      const held = source.hold(1)
      expect((await server.call('import_flights', { pages: 1 })).result.resultType).toBe('task')
      await held
      if (how === 'SIGTERM') process.kill(first(server), 'SIGTERM')
      else server.child.stdin.end()
      expect(await server.exit).toEqual({ code: 0, signal: null })
    },
  )

  test.skipIf(!canUnshare)(
    'as process 1, after a kill -9 the next process 1 opens the store and continues the task',
    async () => {
      const killed = serve()
      await killed.connect()
      const held = source.hold(3)
      const { taskId } = (await killed.call('import_flights', { pages: 4 })).result
      await held
      process.kill(first(killed), 'SIGKILL')
      await killed.exit
      source.release()
      const next = serve()
      await next.connect()
      let task = (await next.request('tasks/get', { taskId })).result
      while (task.status === 'working') {
        await delay(20)
        task = (await next.request('tasks/get', { taskId })).result
      }
      expect(task).toMatchObject({ status: 'completed', result: { structuredContent: { flights: 10 } } })
      expect(source.fetched).toEqual([3, 4])
      next.child.stdin.end()
      expect(await next.exit).toEqual({ code: 0, signal: null })
    },
  )
})

describe('the Kubernetes manifest', () => {
  const documents = parseAllDocuments(read('flights.yaml'))
  // biome-ignore lint/suspicious/noExplicitAny: the fields that are checked are those of the page
  const [claim, deployment, service] = documents.map((document) => document.toJS()) as any[]
  const pod = deployment.spec.template.spec
  const [container] = pod.containers

  test('is YAML, and runs one pod per volume with time to close', () => {
    expect(documents.flatMap(({ errors, warnings }) => [...errors, ...warnings])).toEqual([])
    expect([claim.kind, deployment.kind, service.kind]).toEqual(['PersistentVolumeClaim', 'Deployment', 'Service'])
    expect(claim.spec.accessModes).toEqual(['ReadWriteOncePod'])
    expect(deployment.spec).toMatchObject({ replicas: 1, strategy: { type: 'Recreate' } })
    expect(deployment.spec.selector.matchLabels).toEqual(deployment.spec.template.metadata.labels)
    expect(service.spec.selector).toEqual(deployment.spec.selector.matchLabels)
    expect(pod.terminationGracePeriodSeconds).toBeGreaterThan(5)
    expect(pod.volumes[0].persistentVolumeClaim.claimName).toBe(claim.metadata.name)
    expect(container.volumeMounts[0].name).toBe(pod.volumes[0].name)
    const { periodSeconds, failureThreshold } = container.startupProbe
    // A start may wait for the lock for a minute.
    expect(periodSeconds * failureThreshold).toBeGreaterThan(60)
  })

  test('a second process waits for the lock, and serves once the first has ended', async () => {
    const environment = Object.fromEntries(
      container.env.map(({ name, value }: Record<string, string>) => [name, value]),
    )
    expect(environment['DIR']).toBe(container.volumeMounts[0].mountPath)
    const [, script] = container.command
    const start = async () =>
      new HttpServer([process.execPath, join(folder, script)], {
        ...environment,
        DIR: dir,
        HOST: '127.0.0.1',
        ALLOWED_HOSTS: `${environment['ALLOWED_HOSTS']},127.0.0.1`,
        PORT: String(await freePort()),
        FLIGHTS_URL: source.url,
        HOLDFAST_LOG: 'warn',
      })
    const first = await start()
    await first.start()
    expect(await (await fetch(new URL('/healthz', first.url))).text()).toBe('ok')
    const second = await start()
    const isServing = second.start()
    await second.said(/STORE_LOCKED|lock/i)
    await expect(fetch(second.url)).rejects.toThrow()
    expect(await first.stop()).toBe(0)
    await isServing
    const client = await second.connect()
    expect((await client.callTool(call(2))).structuredContent).toEqual({ flights: 3 })
    await client.close()
    expect(await second.stop()).toBe(0)
  }, 60_000)
})

describe('the entries for clients', () => {
  interface Entry {
    readonly command: string
    readonly args: readonly string[]
    readonly env: Record<string, string>
  }
  const page = 'stdio-clients.md'
  const words = (line: string) =>
    execFileSync('sh', ['-c', `printf '%s\\n' ${line}`], { encoding: 'utf8' })
      .trim()
      .split('\n')
  const claudeCode = (): Entry => {
    const [line = ''] = blocksOf(page, 'sh').filter((text) => text.startsWith('claude mcp add'))
    const [, , , ...rest] = words(line.replaceAll('\\\n', ' '))
    const split = rest.indexOf('--')
    const options = rest.slice(0, split)
    expect(options.filter((word) => word.startsWith('-'))).toEqual(['--transport', '--env'])
    expect(options[options.indexOf('--transport') + 1]).toBe('stdio')
    const [name = '', value = ''] = (options[options.indexOf('--env') + 1] ?? '').split('=')
    const [command = '', ...args] = rest.slice(split + 1)
    return { command, args, env: { [name]: value } }
  }
  const json = (key: string) => {
    const found = blocksOf(page, 'json')
      .map((text) => JSON.parse(text))
      .find((config) => key in config)
    return found[key].flights as Entry
  }
  const codex = () => {
    const { mcp_servers: servers } = parseToml(blocksOf(page, 'toml')[0] ?? '') as never as {
      mcp_servers: { flights: Entry }
    }
    return servers.flights
  }
  const start = ({ command, args, env }: Entry, revision: '2025-11-25' | '2026-07-28') => {
    expect(command).toBe('node')
    expect(args).toHaveLength(1)
    expect(env['DIR']).toMatch(/^\//)
    const script = (args[0] as string).replace(/^\/absolute\/path\/to/, folder)
    expect(script.startsWith(folder)).toBe(true)
    const environment = [`DIR=${join(dir, 'store')}`, `FLIGHTS_URL=${source.url}`, 'HOLDFAST_LOG=error']
    return new StdioServer(['env', ...environment, process.execPath, script], revision)
  }

  test.each([
    ['Claude Code', claudeCode, '2026-07-28', 'Claude Code'],
    ['VS Code', () => json('servers'), '2025-11-25', 'VS Code'],
    ['Codex', codex, '2025-11-25', 'Codex'],
    ['Claude Desktop', () => json('mcpServers'), '2025-11-25', 'SDK clients'],
  ] as const)(
    '%s: lists, calls, and after its stop during a step the task continues',
    async (_, entry, revision, how) => {
      const server = start(entry(), revision)
      await server.connect()
      expect((await server.request('tools/list')).result.tools).toHaveLength(1)
      const held = source.hold(3)
      const first = server.call('import_flights', { pages: 4 }).catch(() => ({ result: undefined }))
      await held
      expect(await server.stop(how)).toEqual({ code: 0, signal: null })
      const { result: answered } = await first
      source.release()
      const next = start(entry(), revision)
      await next.connect()
      if (revision === '2026-07-28') {
        // Claude Code has the task's ID, and polls.
        let task = answered
        while (task.status === 'working') {
          await delay(20)
          task = (await next.request('tasks/get', { taskId: answered.taskId })).result
        }
        expect(task.result.structuredContent).toEqual({ flights: 10 })
      } else {
        // The call was answered with an error, or not at all. The same call joins the task.
        expect(answered?.isError ?? true).toBe(true)
        expect((await next.call('import_flights', { pages: 4 })).result.structuredContent).toEqual({ flights: 10 })
      }
      expect(source.fetched).toEqual([3, 4])
      expect(await next.stop(how)).toEqual({ code: 0, signal: null })
    },
    60_000,
  )

  test('Claude Desktop starts two copies: the second lists, its calls name the first, and work once that has ended', async () => {
    const entry = json('mcpServers')
    const [one, two] = [start(entry, '2025-11-25'), start(entry, '2025-11-25')]
    await one.connect()
    expect((await one.call('import_flights', { pages: 2 })).result.structuredContent).toEqual({ flights: 3 })
    await two.connect()
    expect((await two.request('tools/list')).result.tools).toHaveLength(1)
    const refused = (await two.call('import_flights', { pages: 3 })).result
    expect(refused.isError).toBe(true)
    expect(refused.content[0].text).toMatch(
      new RegExp(
        `^Another copy of this server \\(process ${one.child.pid}, started \\d\\d:\\d\\d\\) uses these tasks\\.`,
      ),
    )
    one.child.stdin.end()
    expect(await one.exit).toEqual({ code: 0, signal: null })
    expect((await two.call('import_flights', { pages: 3 })).result.structuredContent).toEqual({ flights: 6 })
    two.child.stdin.end()
    expect(await two.exit).toEqual({ code: 0, signal: null })
  }, 60_000)
})
