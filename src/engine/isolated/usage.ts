/**
 * What a process uses: resident memory and CPU time. On Linux the kernel says so (/proc), whatever the process does;
 * the CPU time of processes that it started and waited for is counted in. Elsewhere the process says so itself, from a
 * thread of its own (watchdog.mjs).
 */
import { readFileSync } from 'node:fs'
import { platform } from 'node:process'

/** What a process uses. */
export interface Usage {
  readonly memoryBytes: number
  readonly cpuMs: number
}

// What the kernel counts in, for programs, on every architecture that Node is built for.
const TICKS_PER_SECOND = 100
// Counted behind the name of the program, which may hold spaces and brackets.
const FIELD = { userTicks: 11, systemTicks: 12, childUserTicks: 13, childSystemTicks: 14, residentPages: 21 }

let pageBytes: number | undefined

/** What the kernel says of a process; `undefined` where it says nothing, or the process is gone. */
export function usageOf(pid: number): Usage | undefined {
  if (platform !== 'linux') return undefined
  const fields = statOf(pid)
  if (!fields) return undefined
  pageBytes ??= findPageBytes()
  const { userTicks, systemTicks, childUserTicks, childSystemTicks, residentPages } = FIELD
  const ticks = [userTicks, systemTicks, childUserTicks, childSystemTicks].map((field) => Number(fields[field]))
  const cpuMs = (ticks.reduce((sum, part) => sum + part) * 1_000) / TICKS_PER_SECOND
  const usage = { memoryBytes: Number(fields[residentPages]) * pageBytes, cpuMs }
  return Number.isFinite(usage.cpuMs + usage.memoryBytes) ? usage : undefined
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
