/**
 * What an isolated step uses: resident memory and CPU time. On Linux the kernel says so (/proc), whatever the step does,
 * and the processes of its group are counted in. Elsewhere the process says so itself, from a thread of its own
 * (watchdog.mjs), for itself alone.
 *
 * A process that was started detached leads a group of its own: nothing in /proc tells whose it is.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { platform } from 'node:process'

/** What processes use. */
export interface ProcessUsage {
  readonly memoryBytes: number
  readonly cpuMs: number
  /** How many processes have that memory. One that has ended and was not waited for has none. */
  readonly processes: number
}

// What the kernel counts in, for programs, on every architecture that Node is built for.
const TICKS_PER_SECOND = 100
// Counted behind the name of the program, which may hold spaces and brackets.
const FIELD = { group: 2, userTicks: 11, systemTicks: 12, childUserTicks: 13, childSystemTicks: 14, residentPages: 21 }
// The members are measured each time, and looked for every fourth time: a listing of /proc takes some 70 µs.
const LOOK_EVERY = 4

let pageBytes: number | undefined

/**
 * Measures the group of a process that has just been started as its leader: what the kernel says of it, of the processes
 * that it has started, and of theirs. Pages that they share are counted for each.
 * @returns measures; `undefined` where the kernel says nothing, or the leader is gone
 */
export function groupMeasure(leader: number): () => ProcessUsage | undefined {
  if (platform !== 'linux') return () => undefined
  // What was there before belongs to others; only what came later has to be looked at. The kernel counts upwards.
  let others: ReadonlySet<number> = new Set([...listed()].filter((pid) => pid <= leader))
  let members: readonly number[] = []
  let calls = 0
  const look = () => {
    const found = listed()
    const known = new Set([leader, ...members])
    members = [...members, ...[...found].filter((pid) => !others.has(pid) && !known.has(pid))]
    others = found
  }
  return () => {
    if (calls++ % LOOK_EVERY === 0) look()
    const own = processUsageOf(leader)
    if (!own) return undefined
    const theirs = members.map((pid) => ({ pid, usage: processUsageOf(pid, leader) }))
    members = theirs.filter(({ usage }) => usage !== undefined).map(({ pid }) => pid)
    return theirs.reduce((sum, { usage }) => (usage ? plus(sum, usage) : sum), own)
  }
}

/** What the kernel says of a process; `undefined` if it says nothing, or the process is gone or in no such group. */
export function processUsageOf(pid: number, group?: number): ProcessUsage | undefined {
  if (platform !== 'linux') return undefined
  const fields = statOf(pid)
  if (!fields || (group !== undefined && Number(fields[FIELD.group]) !== group)) return undefined
  pageBytes ??= findPageBytes()
  const { userTicks, systemTicks, childUserTicks, childSystemTicks, residentPages } = FIELD
  const ticks = [userTicks, systemTicks, childUserTicks, childSystemTicks].map((field) => Number(fields[field]))
  const cpuMs = (ticks.reduce((sum, part) => sum + part) * 1_000) / TICKS_PER_SECOND
  const memoryBytes = Number(fields[residentPages]) * pageBytes
  const usage = { memoryBytes, cpuMs, processes: memoryBytes > 0 ? 1 : 0 }
  return Number.isFinite(usage.cpuMs + usage.memoryBytes) ? usage : undefined
}

function plus(one: ProcessUsage, other: ProcessUsage): ProcessUsage {
  return {
    memoryBytes: one.memoryBytes + other.memoryBytes,
    cpuMs: one.cpuMs + other.cpuMs,
    processes: one.processes + other.processes,
  }
}

/** The numbers of the processes that /proc shows. */
function listed(): ReadonlySet<number> {
  try {
    return new Set(readdirSync('/proc').map(Number).filter(Number.isInteger))
  } catch {
    return new Set()
  }
}

function statOf(pid: number): string[] | undefined {
  try {
    // It lies in memory and takes 30 µs; in the thread pool it would wait behind whatever the server is reading.
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return text.slice(text.lastIndexOf(')') + 2).split(' ')
  } catch {
    return undefined
  }
}

// Node doesn't tell the size of a page; its own memory in bytes and in pages does. It is a power of two from 4 KiB on.
function findPageBytes(): number {
  const pages = Number(statOf(process.pid)?.[FIELD.residentPages])
  const ratio = process.memoryUsage.rss() / pages
  return Number.isFinite(ratio) ? 2 ** Math.max(12, Math.round(Math.log2(ratio))) : 4_096
}
