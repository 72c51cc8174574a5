/**
 * A thread of the process of an isolated step. It runs even if the function blocks the main thread. Every 100 ms it
 * reports the usage of the process to the parent. It ends the process at its limits, in case the parent is too busy to
 * measure, and if the parent was killed.
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
    // EAGAIN means that the parent is busy and the pipe is full. Every other error means that the parent has ended.
    if (!(error instanceof Error && 'code' in error && error.code === 'EAGAIN')) endAll()
  }
  if (used.memoryBytes > memoryBytes || (cpuMs !== undefined && used.cpuMs - cpuMsBefore > cpuMs)) endAll()
}, EVERY_MS)

function cpuMsNow() {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1_000
}

// Ends all processes that the function has started too. The process leads a group of its own, except on Windows.
function endAll() {
  try {
    process.kill(-process.pid, 'SIGKILL')
  } catch {
    process.kill(process.pid, 'SIGKILL')
  }
}
