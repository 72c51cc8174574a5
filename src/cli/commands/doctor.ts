/** `holdfast doctor`: checks the machine and the directory of a store, with advice. Opens nothing and changes nothing. */
import { constants } from 'node:fs'
import { access, mkdtemp, readFile, rm, stat, statfs, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { IDENTITY_FILE, LOCK_FILE } from '../../store/disk/files.js'
import { FORMAT_VERSION } from '../../store/disk/layout.js'
import type { Identity } from '../../store/init.js'
import { describeSelf, judge, parseHolder } from '../../store/lock/lock-judge.js'
import { commandContext, type Terminal } from '../terminal/context.js'
import { CommandError } from '../terminal/exit-codes.js'
import { instantText } from '../terminal/output.js'
import type { Command } from '../terminal/packages.js'

/** Result of one check. `advice` is what to do if the check is not `ok`. */
export interface Check {
  readonly check: string
  readonly result: 'ok' | 'warning' | 'failed'
  readonly found: string
  readonly advice?: string
}

/** Adds the command. */
export function addDoctor(program: Command, terminal: Terminal): void {
  program
    .command('doctor')
    .description('Check this machine and the directory of a store. Exit code 0 if nothing failed, else 1.')
    .action(async (_options: unknown, command: Command) => {
      const { dir, output } = commandContext(terminal, command)
      const checks = await examine(resolve(dir), terminal.now())
      output.rows(checks, [
        { title: 'CHECK', text: ({ check }) => check },
        { title: 'RESULT', text: ({ result }) => result },
        { title: 'FOUND', text: ({ found }) => found },
        { title: 'WHAT TO DO', text: ({ advice }) => advice },
      ])
      if (checks.some(({ result }) => result === 'failed')) throw new CommandError(1, 'A check failed.')
    })
}

/** Runs every check on a directory. */
export async function examine(dir: string, now: number): Promise<Check[]> {
  const checks = [checkNode(process.versions.node), await checkNativeBuild(), checkClock(now)]
  const folder = await stat(dir).catch(() => undefined)
  if (!folder?.isDirectory()) {
    const advice = 'Name the directory that the server opens as `dir`; a server makes it at its first start.'
    return [...checks, { check: 'directory', result: 'failed', found: `${dir} is no directory`, advice }]
  }
  return [
    ...checks,
    await checkAccess(dir, folder.uid, folder.mode),
    await checkFileSystem(dir),
    await checkSpace(dir),
    await checkStore(dir),
    await checkHolder(dir),
  ]
}

function checkNode(version: string): Check {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const isSupported = (major === 20 && minor >= 15) || (major === 22 && minor >= 2) || major > 22
  const check = { check: 'node', found: `Node ${version}` }
  return isSupported
    ? { ...check, result: 'ok' }
    : { ...check, result: 'failed', advice: 'Use Node 20.15 or later, or 22.2 or later.' }
}

async function checkNativeBuild(): Promise<Check> {
  const platform = `${process.platform}-${process.arch}`
  try {
    await import('classic-level')
    return { check: 'native build', result: 'ok', found: `classic-level loads on ${platform}` }
  } catch (error) {
    const advice =
      'Run `npm rebuild classic-level`; on a platform without a prebuilt file that needs Python and a C++ compiler.'
    const found = `classic-level does not load on ${platform}: ${(error as Error).message.split('\n')[0]}`
    return { check: 'native build', result: 'failed', found, advice }
  }
}

// Instants of a store lie after its first release. A clock before that was never set.
const EARLIEST = Date.UTC(2026, 0, 1)

function checkClock(now: number): Check {
  const found = new Date(now).toISOString()
  return now >= EARLIEST
    ? { check: 'clock', result: 'ok', found }
    : {
        check: 'clock',
        result: 'failed',
        found,
        advice: 'Set the clock of this machine: deadlines and timeouts follow it.',
      }
}

async function checkAccess(dir: string, uid: number, mode: number): Promise<Check> {
  const self = process.geteuid?.() ?? uid
  const found = `owner uid ${uid}, mode ${(mode & 0o777).toString(8)}, this process uid ${self}`
  try {
    await access(dir, constants.R_OK | constants.W_OK | constants.X_OK)
  } catch {
    const advice = `Run the server and this command as uid ${uid}, or give this user the directory.`
    return { check: 'permissions', result: 'failed', found, advice }
  }
  const identity = await stat(join(dir, IDENTITY_FILE)).catch(() => undefined)
  if (identity && identity.uid !== self) {
    const advice = `Run commands as uid ${identity.uid}, which made the store.`
    return { check: 'permissions', result: 'failed', found, advice }
  }
  return (mode & 0o007) === 0
    ? { check: 'permissions', result: 'ok', found }
    : {
        check: 'permissions',
        result: 'warning',
        found,
        advice: `Other users can enter the directory: chmod 700 ${dir}`,
      }
}

// Numbers of `statfs` for file systems that lose locks or syncs (statfs(2)).
const NETWORK: Readonly<Record<number, string>> = {
  26985: 'nfs',
  4283649346: 'cifs',
  4266872130: 'smb2',
  16914839: '9p',
  1702057286: 'fuse',
}
const MEMORY: Readonly<Record<number, string>> = { 16914836: 'tmpfs', 2240043254: 'ramfs' }

async function checkFileSystem(dir: string): Promise<Check> {
  const { type } = await statfs(dir)
  const number = type >>> 0
  const network = NETWORK[number]
  const memory = MEMORY[number]
  const check = { check: 'file system' }
  if (memory) {
    const advice = 'Use a directory on a disk: this one is empty after a restart of the machine.'
    return { ...check, result: 'warning', found: memory, advice }
  }
  if (network) {
    const advice = 'Use a local disk: locks and syncs of network file systems depend on their server.'
    return { ...check, result: 'warning', found: network, advice }
  }
  const probe = await mkdtemp(join(dir, 'probe-doctor-')).catch(() => undefined)
  if (!probe) {
    return {
      ...check,
      result: 'failed',
      found: 'no folder can be made',
      advice: 'Make the directory writable for this user.',
    }
  }
  try {
    await writeFile(join(probe, 'file'), 'x', { mode: 0o600, flush: true })
    return { ...check, result: 'ok', found: `type 0x${number.toString(16)}, writes and syncs` }
  } catch (error) {
    const advice = 'Free space, or mount the file system for writing.'
    return { ...check, result: 'failed', found: (error as Error).message, advice }
  } finally {
    await rm(probe, { recursive: true, force: true })
  }
}

const FREE_BYTES_MIN = 256 * 1_048_576

async function checkSpace(dir: string): Promise<Check> {
  const { bavail, bsize } = await statfs(dir)
  const free = bavail * bsize
  const found = `${Math.floor(free / 1_048_576)} MiB free`
  return free >= FREE_BYTES_MIN
    ? { check: 'free space', result: 'ok', found }
    : { check: 'free space', result: 'warning', found, advice: 'Free at least 256 MiB: a full disk pauses every task.' }
}

async function checkStore(dir: string): Promise<Check> {
  const text = await readFile(join(dir, IDENTITY_FILE), 'utf8').catch(() => undefined)
  const check = { check: 'store' }
  if (text === undefined) {
    const advice = 'Name the directory that the server opens as `dir`.'
    return { ...check, result: 'failed', found: `no ${IDENTITY_FILE}`, advice }
  }
  try {
    const { format, storeId, moved, restoredFrom } = JSON.parse(text) as Partial<Identity>
    const origin = restoredFrom
      ? `, restored from commit ${restoredFrom.commit} of store ${restoredFrom.storeId} on ${instantText(restoredFrom.at)}`
      : ''
    const found = `format ${String(format)}, store ${String(storeId)}${origin}`
    if (moved) {
      const advice = `It accepts no open. Use the store that was restored from ${moved.file}.`
      return { ...check, result: 'failed', found: `${found}, moved on ${instantText(moved.at)}`, advice }
    }
    return format === FORMAT_VERSION
      ? { ...check, result: 'ok', found }
      : {
          ...check,
          result: 'failed',
          found,
          advice: `This release reads format ${FORMAT_VERSION}; use the release that wrote it.`,
        }
  } catch {
    const advice = 'Restore a backup, or run `holdfast repair`.'
    return { ...check, result: 'failed', found: `${IDENTITY_FILE} is not readable`, advice }
  }
}

async function checkHolder(dir: string): Promise<Check> {
  const text = await readFile(join(dir, LOCK_FILE), 'utf8').catch(() => undefined)
  const check = { check: 'holder' }
  if (text === undefined) return { ...check, result: 'ok', found: 'no process holds the store' }
  const holder = parseHolder(text)
  const { dev, ino } = await stat(dir, { bigint: true })
  const verdict = judge(holder, describeSelf(`${dev}:${ino}`, '', 0))
  const name = holder ? `process ${holder.pid} on ${holder.host}` : 'a garbled lock file'
  if (verdict === 'held') return { ...check, result: 'ok', found: `${name} holds the store` }
  if (verdict === 'gone') return { ...check, result: 'ok', found: `${name} has ended; the next start takes the store` }
  const advice =
    "The next start finds out by LevelDB's own lock. If it refuses, make sure that no process uses the store, and delete the file `lock`."
  return { ...check, result: 'warning', found: `${name}, which may or may not run`, advice }
}
