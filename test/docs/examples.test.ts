/**
 * Goal: the examples do what docs/examples.md says, and would notice if Holdfast did not.
 * Method: run each as a user does, in a process of its own, and compare what it prints with the page; then hand their
 * checker a claim that is wrong (negative control).
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { describe, expect, test, vi } from 'vitest'
import { checkClaims } from '../../examples/shared/demo.js'

async function run(example: string, ...args: string[]) {
  const script = fileURLToPath(new URL(`../../examples/${example}/demo.ts`, import.meta.url))
  const running = spawn(process.execPath, ['--import', 'tsx', script, ...args])
  const [out, err, [code]] = await Promise.all([text(running.stdout), text(running.stderr), once(running, 'close')])
  return { code: code as number | null, out, err, ok: out.match(/^ {2}ok {2}/gm)?.length ?? 0 }
}

const page = readFileSync(new URL('../../docs/examples.md', import.meta.url), 'utf8')
/** As the page shows it: IDs are another one each time. */
const shown = (out: string) => `\`\`\`text\n${out.trim().replace(/task-[0-9A-Z]+/g, 'task-01…')}\n\`\`\``

describe('the support conversation', () => {
  test('is left, killed and resumed, and all its claims hold', async () => {
    const { code, out, err, ok } = await run('support-conversation')
    expect(code, out + err).toBe(0)
    expect(out).not.toContain('FAILED')
    expect(out.match(/kill -9/g)).toHaveLength(1)
    expect(out.match(/\d lines restored/g)).toEqual(['0', '2', '4', '6'].map((lines) => `${lines} lines restored`))
    expect(ok).toBe(8)
    expect(page).toContain(shown(out))
  }, 60_000)
})

describe('the trade', () => {
  test.each([
    ['30 simulated minutes', []],
    ['3 real seconds', ['--timeout', '3s']],
  ])(
    'is killed, times out after %s and is undone; another is not placed twice',
    async (_, args) => {
      const { code, out, err, ok } = await run('trade', ...args)
      expect(code, out + err).toBe(0)
      expect(out).not.toContain('FAILED')
      expect(out.match(/kill -9/g)).toHaveLength(3)
      expect(out).toContain('failed (TIMEOUT), clean-up: done')
      expect(out).toContain("task asks: Step 'place order' began at")
      expect(ok).toBe(10)
      if (args.length === 0) expect(page).toContain(shown(out))
    },
    60_000,
  )

  test('refuses a time-out it cannot read with exit code 2', async () => {
    const { code, out, err } = await run('trade', '--timeout', 'soon')
    expect([code, out]).toEqual([2, ''])
    expect(err).toContain('Expected 1s to 99s')
  })
})

test('the checker says which claim failed, and sets the exit code', () => {
  const log = vi.spyOn(console, 'log').mockImplementation(() => {})
  try {
    checkClaims([
      ['one', [1], [1]],
      ['two', { times: 2 }, { times: 1 }],
    ])
    expect(process.exitCode).toBe(1)
    expect(log.mock.calls.flat()).toEqual([
      '\nThe claims:',
      '  ok  one',
      '  FAILED  two: {"times":2} instead of {"times":1}',
    ])
  } finally {
    process.exitCode = 0
    log.mockRestore()
  }
})
