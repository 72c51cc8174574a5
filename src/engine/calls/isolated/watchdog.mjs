/**
 * A thread beside an isolated function, which goes on whatever the function does to the main thread. Every 100 ms it
 * says what the process uses. It ends the process past its limits, in case the parent is too busy to look; and when
 * nobody is there any more to be told: its parent was killed.
 */
import { writeSync } from 'node:fs'
import { workerData } from 'node:worker_threads'

const EVERY_MS = 100

/** @type {{ fd: number, memoryBytes: number, cpuMs: number | undefined }} */
const { fd, memoryBytes, cpuMs } = workerData
const cpuMsBefore = cpuMsNow()

setInterval(() => {
  const used = { memoryBytes: process.memoryUsage.rss(), cpuMs: cpuMsNow() }
  try {
    writeSync(fd, `${used.memoryBytes} ${used.cpuMs}\n`)
  } catch (error) {
    // Its reader is busy, and its buffer full. That is not the end of it.
    if (!(error instanceof Error && 'code' in error && error.code === 'EAGAIN')) endAll()
  }
  if (used.memoryBytes > memoryBytes || (cpuMs !== undefined && used.cpuMs - cpuMsBefore > cpuMs)) endAll()
}, EVERY_MS)

function cpuMsNow() {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1_000
}

// With whatever the function has started: the process leads a group of its own, except on Windows.
function endAll() {
  try {
    process.kill(-process.pid, 'SIGKILL')
  } catch {
    process.kill(process.pid, 'SIGKILL')
  }
}
