/**
 * Power cuts on a file system that keeps no more than POSIX promises: the bytes of a file as they were when it was synced
 * last, and the names in a directory as they were when the directory was synced last.
 *
 * `recordCalls` runs a program under `strace`, `statesOf` replays what it recorded, and gives what a power cut would leave
 * directly before each sync.
 */
import { spawn } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const CALLS = 'openat,write,pwrite64,fsync,fdatasync,rename,unlink,unlinkat,mkdir,link,rmdir,ftruncate'

/** Runs a program of Node, and writes its system calls on files to `trace`. */
export async function recordCalls(trace: string, args: readonly string[]): Promise<void> {
  // Only directories are synced by `fsync`. A slower sync gives the program time to go on with a name that is not durable.
  const slower = ['-e', 'inject=fsync:delay_enter=20000']
  const options = [
    '-f',
    '--seccomp-bpf',
    '-qq',
    '-y',
    '-xx',
    '-s',
    '10000000',
    '-e',
    `trace=${CALLS}`,
    ...slower,
    '-o',
    trace,
  ]
  const child = spawn('strace', [...options, process.execPath, ...args], {
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  const code = await new Promise((resolve) => child.on('close', resolve))
  if (code !== 0) throw new Error(`strace ended with ${code}`)
}

// --- the calls -------------------------------------------------------------------------------------------------------

interface Call {
  readonly name: string
  /** The arguments as strace writes them. */
  readonly args: string
  readonly result: number
}

/** A call begins at one line of the trace and ends at another, where other threads come between. */
type Step = { readonly at: 'begin' | 'end'; readonly call: Call }

function* stepsOf(trace: string): Generator<Step> {
  const begun = new Map<string, { call: { name: string; args: string; result: number } }>()
  for (const line of readFileSync(trace, 'latin1').split('\n')) {
    const [, pid = '', rest = ''] = /^(\d+) +(.*)$/.exec(line) ?? []
    const resumed = /^<\.\.\. \w+ resumed>(.*)\) += (-?\d+)/.exec(rest)
    if (resumed) {
      const step = begun.get(pid)
      if (!step) continue
      begun.delete(pid)
      // The arguments may be cut in two as well.
      step.call.args += resumed[1] ?? ''
      step.call.result = Number(resumed[2])
      yield { at: 'end', call: step.call }
      continue
    }
    const [, name = '', args = '', result] = /^(\w+)\((.*?)(?: <unfinished \.\.\.>|\) += (-?\d+).*)$/.exec(rest) ?? []
    if (name === '') continue
    const call = { name, args, result: Number(result) }
    yield { at: 'begin', call }
    if (result === undefined) begun.set(pid, { call })
    else yield { at: 'end', call }
  }
}

/** The text of a string of strace's, all of whose characters are `\x..`. */
function decode(text: string): Buffer {
  return Buffer.from(text.replaceAll('\\x', ''), 'hex')
}

/** The strings of a call, and the paths of its file descriptors. */
function partsOf({ args }: Call): { strings: Buffer[]; descriptor: string } {
  const strings = [...args.matchAll(/"((?:\\x[0-9a-f]{2})*)"/g)].map(([, text = '']) => decode(text))
  const path = /^\d+<([^>]*)>/.exec(args)?.[1] ?? ''
  return { strings, descriptor: path.includes('\\x') ? decode(path).toString() : path }
}

// --- the file system -------------------------------------------------------------------------------------------------

class File {
  bytes = Buffer.alloc(0)
  synced = Buffer.alloc(0)
  /** Number of the sync that made `synced` durable. Syncs are numbered as they begin. */
  syncedBy = 0

  write(bytes: Buffer, at: number): void {
    const grown = Buffer.alloc(Math.max(this.bytes.length, at + bytes.length))
    this.bytes.copy(grown)
    bytes.copy(grown, at)
    this.bytes = grown
  }
}

class Directory {
  names = new Map<string, File | Directory>()
  synced = new Map<string, File | Directory>()
  syncedBy = 0
}

/** What a power cut leaves, and how many commits were acknowledged by then. */
export interface State {
  readonly acknowledged: number
  /** Writes it to a new directory. */
  restore(dir: string): void
}

/** What is durable of a directory, now. */
function durable(directory: Directory): (dir: string) => void {
  const steps = [...directory.synced].map(([name, node]) => {
    if (node instanceof Directory) {
      const inner = durable(node)
      return (dir: string) => inner(join(dir, name))
    }
    const { synced } = node
    return (dir: string) => writeFileSync(join(dir, name), synced)
  })
  return (dir) => {
    mkdirSync(dir, { mode: 0o700 })
    for (const step of steps) step(dir)
  }
}

/** The states that power cuts leave of the directory `root`; one before each sync, and the last one. */
export function* statesOf(trace: string, root: string, acknowledgements: string): Generator<State> {
  const top = new Directory()
  let acknowledged = 0
  const state = (): State => ({ acknowledged, restore: durable(top) })
  const syncs = new Map<Call, () => void>()
  let begun = 0
  for (const { at, call } of stepsOf(trace)) {
    const { strings, descriptor } = partsOf(call)
    if (at === 'begin') {
      if (call.name === 'write' && descriptor === acknowledgements) acknowledged++
      // What a sync makes durable is what was there when it began; that it did, is so when it ends.
      if (/sync$/.test(call.name)) syncs.set(call, syncing(find(top, root, descriptor), ++begun))
      continue
    }
    if (call.result < 0 || !Number.isFinite(call.result)) continue
    const sync = syncs.get(call)
    syncs.delete(call)
    if (sync) {
      yield state()
      sync()
    } else {
      apply(top, root, call, descriptor, strings)
    }
  }
  yield state()
}

/** Notes what a sync makes durable. One that began earlier and ends later than another takes nothing back. */
function syncing(node: File | Directory | undefined, number: number): () => void {
  const durableNow = node instanceof Directory ? new Map(node.names) : node?.bytes
  return () => {
    if (!node || !durableNow || node.syncedBy > number) return
    node.syncedBy = number
    if (node instanceof Directory) node.synced = durableNow as Directory['synced']
    else node.synced = durableNow as Buffer<ArrayBuffer>
  }
}

function apply(top: Directory, root: string, { name, args, result }: Call, descriptor: string, strings: Buffer[]) {
  const [first = '', second = ''] = strings.map(String)
  if (name === 'openat') {
    if (/O_CREAT|O_TRUNC/.test(args)) made(top, root, first, /O_TRUNC/.test(args))
  } else if (name === 'mkdir') {
    put(top, root, first, new Directory())
  } else if (name === 'rename' || name === 'link') {
    const node = find(top, root, first)
    if (node) put(top, root, second, node)
    if (node && name === 'rename') remove(top, root, first)
  } else if (/^(unlink|unlinkat|rmdir)$/.test(name)) {
    remove(top, root, first)
  } else {
    const file = find(top, root, descriptor)
    if (!(file instanceof File)) return
    if (name === 'ftruncate') throw new Error('ftruncate is not replayed')
    const offset = name === 'pwrite64' ? Number(/, (\d+)$/.exec(args)?.[1]) : file.bytes.length
    file.write((strings[0] ?? Buffer.alloc(0)).subarray(0, result), offset)
  }
}

function made(top: Directory, root: string, path: string, isEmptied: boolean): void {
  const found = find(top, root, path)
  if (found === undefined) put(top, root, path, new File())
  else if (found instanceof File && isEmptied) found.bytes = Buffer.alloc(0)
}

function partsBelow(root: string, path: string): string[] | undefined {
  if (path === root) return []
  return path.startsWith(`${root}/`) ? path.slice(root.length + 1).split('/') : undefined
}

function find(top: Directory, root: string, path: string): File | Directory | undefined {
  let node: File | Directory | undefined = top
  const parts = partsBelow(root, path)
  if (parts === undefined) return undefined
  for (const part of parts) node = node instanceof Directory ? node.names.get(part) : undefined
  return node
}

function parentOf(top: Directory, root: string, path: string): [Directory, string] | undefined {
  const at = path.lastIndexOf('/')
  const parent = find(top, root, path.slice(0, at))
  return parent instanceof Directory ? [parent, path.slice(at + 1)] : undefined
}

function put(top: Directory, root: string, path: string, node: File | Directory): void {
  if (path === root) return
  const [parent, name] = parentOf(top, root, path) ?? []
  if (parent && name !== undefined) parent.names.set(name, node)
}

function remove(top: Directory, root: string, path: string): void {
  const [parent, name] = parentOf(top, root, path) ?? []
  if (parent && name !== undefined) parent.names.delete(name)
}
