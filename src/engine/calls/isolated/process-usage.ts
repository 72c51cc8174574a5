/**
 * Measures the resident memory and the CPU time of an isolated step. On Linux, the values come from /proc and include
 * all processes of the group. On other systems, a thread of the process (watchdog.mjs) reports the values of that
 * process alone.
 *
 * A process that was started detached has a group of its own. /proc does not show that it belongs to the step.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { platform } from 'node:process'

/** Memory and CPU time of one or more processes. */
export interface ProcessUsage {
  readonly memoryBytes: number
  readonly cpuMs: number
  /** Number of processes with memory. A process that has ended and was not reaped has none. */
  readonly processes: number
}

// Unit of CPU time in /proc, the same on every architecture that Node is built for.
const TICKS_PER_SECOND = 100
// Index of each field in /proc/<pid>/stat after the name of the program, which may contain spaces and brackets.
const FIELD = { group: 2, userTicks: 11, systemTicks: 12, childUserTicks: 13, childSystemTicks: 14, residentPages: 21 }
// The known processes are measured each time. New ones are searched every fourth time: listing /proc takes about 70 µs.
const LOOK_EVERY = 4

let pageBytes: number | undefined

/**
 * Measures the process group of a process that was just started as its leader. The group includes the processes that
 * it starts, and theirs. Pages that they share count for each.
 * @returns a function that measures. It returns `undefined` without /proc, or if the leader has ended
 */
export function groupMeasure(leader: number): () => ProcessUsage | undefined {
  if (platform !== 'linux') return () => undefined
  // Processes that existed before the leader do not belong to it. Process numbers grow, so their numbers are lower.
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

/** Usage of one process. `undefined` without /proc, or if the process has ended or is not in `group`. */
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

/** The process numbers in /proc. */
function listed(): ReadonlySet<number> {
  try {
    return new Set(readdirSync('/proc').map(Number).filter(Number.isInteger))
  } catch {
    return new Set()
  }
}

function statOf(pid: number): string[] | undefined {
  try {
    // Synchronous: the file is in memory and takes 30 µs. An asynchronous read would wait behind reads of the server.
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return text.slice(text.lastIndexOf(')') + 2).split(' ')
  } catch {
    return undefined
  }
}

// The page size, from the memory of this process in bytes and in pages. It is a power of two, at least 4 KiB.
function findPageBytes(): number {
  const pages = Number(statOf(process.pid)?.[FIELD.residentPages])
  const ratio = process.memoryUsage.rss() / pages
  return Number.isFinite(ratio) ? 2 ** Math.max(12, Math.round(Math.log2(ratio))) : 4_096
}
