// Goal: the IDs of the tasks that an open finds do not keep the keys in memory that they were read from.
// Method: a process opens a store with sleeping tasks, and looks for their keys in a snapshot of its heap.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const pathOf = (file: string) => fileURLToPath(new URL(file, import.meta.url))
const TASKS = 40

test('an open keeps the IDs of its tasks, and not their keys', () => {
  const dir = mkdtempSync(join(tmpdir(), 'kept-keys-'))
  try {
    const child = pathOf('kept-keys-child.mjs')
    const module = new URL('../../../src/index.ts', import.meta.url).href
    const keys = execFileSync(process.execPath, ['--import', 'tsx', child, module, join(dir, 'store'), String(TASKS)])
    // The last key of the read may still be in use.
    expect(Number(keys)).toBeLessThan(TASKS / 10)
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}, 60_000)
