/** The services that some peers need: each is started in a folder of its own, with its settings as they are shipped. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

/** A service that runs. */
export interface Service {
  /** Addresses that the peer is given. */
  readonly addresses: Readonly<Record<string, string | number>>
  stop(): Promise<void>
}

/**
 * Starts a service with its files in a new folder below `dir`. `trace` goes before its command: the words of a tracer.
 * @throws Error if the service does not answer within a minute
 */
export type StartService = (dir: string, trace: readonly string[]) => Promise<Service>

const RESTATE_SERVER = fileURLToPath(
  new URL(
    `peers/node_modules/@restatedev/restate-server-${process.platform}-${process.arch}/bin/restate-server`,
    import.meta.url,
  ),
)

/** Restate's server. */
export const startRestate: StartService = async (parent, trace) => {
  const dir = mkdtempSync(join(parent, 'restate-'))
  const [ingress, admin, node, servicePort] = await freePorts(4)
  const child = begin([...trace, RESTATE_SERVER, '--no-logo', '--listen-mode', 'tcp'], {
    env: {
      RESTATE_BASE_DIR: dir,
      RESTATE_DISABLE_TELEMETRY: 'true',
      RESTATE_BIND_IP: '127.0.0.1',
      RESTATE_BIND_PORT: `${node}`,
      RESTATE_ADVERTISED_ADDRESS: `http://127.0.0.1:${node}/`,
      RESTATE_INGRESS__BIND_ADDRESS: `127.0.0.1:${ingress}`,
      RESTATE_ADMIN__BIND_ADDRESS: `127.0.0.1:${admin}`,
      RUST_LOG: 'error',
    },
  })
  const addresses = {
    ingress: `http://127.0.0.1:${ingress}`,
    admin: `http://127.0.0.1:${admin}`,
    servicePort: servicePort as number,
  }
  const isUp = async () => {
    const both = [`${addresses.admin}/health`, `${addresses.ingress}/restate/health`]
    return (await Promise.all(both.map((url) => fetch(url)))).every(({ ok }) => ok)
  }
  return upWhen(isUp, child, addresses, dir)
}

/** The folder of PostgreSQL's programs; `undefined` where it is not installed. */
export function postgresPrograms(): string | undefined {
  const debian = '/usr/lib/postgresql'
  const versions = existsSync(debian) ? readdirSync(debian).sort((one, other) => Number(other) - Number(one)) : []
  const folders = versions.map((version) => join(debian, version, 'bin'))
  return [...folders, ...(process.env['PATH'] ?? '').split(':')].find(
    (folder) => existsSync(join(folder, 'initdb')) && existsSync(join(folder, 'postgres')),
  )
}

/** PostgreSQL. It refuses to run as root, so root starts it as the user `postgres`. */
export const startPostgres: StartService = async (parent, trace) => {
  const programs = postgresPrograms()
  if (programs === undefined) throw new Error('PostgreSQL is not installed')
  const dir = mkdtempSync(join(parent, 'postgres-'))
  const as = process.getuid?.() === 0 ? idsOf('postgres') : undefined
  if (as) chownSync(dir, as.uid, as.gid)
  const data = join(dir, 'data')
  const initdb = ['-D', data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale', 'C']
  execFileSync(join(programs, 'initdb'), initdb, { ...as, stdio: 'ignore', cwd: dir })
  const [port] = await freePorts(1)
  const options = [
    '-D',
    data,
    '-p',
    `${port}`,
    '-k',
    dir,
    '-c',
    'listen_addresses=127.0.0.1',
    '-c',
    'log_min_messages=fatal',
  ]
  const child = begin([...trace, join(programs, 'postgres'), ...options], { ...as, cwd: dir })
  const isUp = async () => {
    execFileSync(join(programs, 'pg_isready'), ['-q', '-U', 'postgres', '-h', '127.0.0.1', '-p', `${port}`], {
      stdio: 'ignore',
    })
    return true
  }
  const addresses = { database: `postgresql://postgres@127.0.0.1:${port}/bench` }
  // SIGINT is PostgreSQL's fast shutdown: it ends its connections and does not wait for them.
  return upWhen(isUp, child, addresses, dir, 'SIGINT')
}

function idsOf(user: string): { uid: number; gid: number } {
  const id = (option: string) => Number(execFileSync('id', [option, user], { encoding: 'utf8' }))
  return { uid: id('-u'), gid: id('-g') }
}

function begin([command = '', ...options]: string[], how: { env?: object; uid?: number; gid?: number; cwd?: string }) {
  const { env, ...rest } = how
  // A group of its own: a tracer ignores signals while it runs a command, so that the command has to get them itself.
  const group = { detached: true, env: { ...process.env, ...env } }
  return spawn(command, options, { ...rest, ...group, stdio: ['ignore', 'ignore', 'pipe'] })
}

const UP_MS_MAX = 60_000

async function upWhen(
  isUp: () => Promise<boolean>,
  child: ChildProcess,
  addresses: Service['addresses'],
  dir: string,
  signal: NodeJS.Signals = 'SIGTERM',
): Promise<Service> {
  const send = (name: NodeJS.Signals) => {
    if (child.pid === undefined) return
    try {
      process.kill(-child.pid, name)
    } catch {
      // It has ended.
    }
  }
  const kill = () => send('SIGKILL')
  process.once('exit', kill)
  // What it says while it starts is of interest only if it does not come up.
  let words = ''
  child.stderr?.on('data', (chunk) => {
    words = `${words}${chunk}`.slice(-2_000)
  })
  const stop = async () => {
    process.off('exit', kill)
    if (child.exitCode === null && child.signalCode === null) {
      const ended = once(child, 'exit')
      send(signal)
      await Promise.race([ended, delay(10_000, undefined, { ref: false })])
      kill()
      await ended
    }
    rmSync(dir, { recursive: true, force: true, maxRetries: 5 })
  }
  const startedAt = Date.now()
  while (!(await isUp().catch(() => false))) {
    if (child.exitCode !== null || Date.now() - startedAt > UP_MS_MAX) {
      await stop()
      throw new Error(`The service ${child.spawnfile} did not come up: ${words}`)
    }
    await delay(50)
  }
  return { addresses, stop }
}

async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'))
  await Promise.all(servers.map((server) => once(server, 'listening')))
  const ports = servers.map((server) => (server.address() as { port: number }).port)
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}
