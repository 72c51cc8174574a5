// Goal: the script of docs/internals/debugging.md reads a store as the page says.
// Method: a real store with one task, copied while it is closed, and the script as a process of its own.
import { execFileSync } from 'node:child_process'
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { defineTask, Holdfast, silentLogger } from '../../src/index.js'

test('the script prints the keys and bodies below a prefix', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'holdfast-read-'))
  try {
    const task = defineTask({ name: 'double' }, (context, n: number) => context.step('times-two', () => n * 2))
    const holdfast = await Holdfast.open({ dir: join(dir, 'data'), tasks: [task], logger: silentLogger })
    const { taskId } = await holdfast.start(task, 21)
    expect(await holdfast.result(taskId)).toBe(42)
    await holdfast.close()
    cpSync(join(dir, 'data'), join(dir, 'copy'), { recursive: true })
    const script = fileURLToPath(new URL('../../docs/internals/read-store.mjs', import.meta.url))
    const read = (prefix: string) =>
      execFileSync(process.execPath, [script, join(dir, 'copy'), prefix], { encoding: 'utf8' })
        .trim()
        .split('\n')
    const [line, ...values] = read('done/')
    expect(values).toEqual(['{"kind":"result","result":42}'])
    const [fixed = '', input] = read('task/')
    expect(JSON.parse(fixed.slice(`task/${taskId} `.length))).toMatchObject({ type: 'double', hasInput: true })
    expect(input).toBe('21')
    expect(line?.startsWith(`done/${taskId} ["completed",`)).toBe(true)
    expect(read(`log/${taskId}/`).join('\n')).toContain('times-two')
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
})
