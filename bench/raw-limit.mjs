/**
 * The limit of the disk: how often a second a process can append 1 KiB to a file and have it on disk. It is measured
 * beside every repetition, because a ratio to it survives another machine, and a busy one, better than a bare figure.
 */
import { randomBytes } from 'node:crypto'
import { closeSync, fdatasyncSync, openSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'

const BLOCK_BYTES = 1024
// The first writes pay for the new file's metadata.
const WARM_UP_WRITES = 20
const WRITES = 2_000
// A disk that takes 5 ms to sync would need 10 s for them.
const MS_MAX = 500

/**
 * @param {string} dir on the disk that the stores are on
 * @param {number} scale
 * @returns {number} appends a second, each synced
 */
export function measureLimit(dir, scale) {
  const path = join(dir, 'raw-limit')
  const file = openSync(path, 'ax', 0o600)
  const block = randomBytes(BLOCK_BYTES)
  const append = () => {
    writeSync(file, block)
    fdatasyncSync(file)
  }
  try {
    for (let write = 0; write < WARM_UP_WRITES; write++) append()
    const wanted = Math.max(50, Math.round(WRITES * scale))
    const startedAt = performance.now()
    let written = 0
    let ms = 0
    while (written < wanted && ms < MS_MAX) {
      append()
      written++
      ms = performance.now() - startedAt
    }
    return (written / ms) * 1_000
  } finally {
    closeSync(file)
    rmSync(path)
  }
}
