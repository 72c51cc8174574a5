// Goal: the README stays short, and what it says is so: its transcript, its commands, its versions.
// Method: its first program runs, is killed after the second page, and runs again; what it prints is the transcript.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))
const readme = readFileSync(join(root, 'README.md'), 'utf8')

test('has at most 10,240 bytes', () => {
  expect(Buffer.byteLength(readme)).toBeLessThanOrEqual(10_240)
})

test('begins with a program of at most 20 lines, and the quickstart shows the same two programs', () => {
  const programs = (text: string) => [...text.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, code]) => code as string)
  const [first = ''] = programs(readme)
  expect(first.trimEnd().split('\n').length).toBeLessThanOrEqual(20)
  expect(programs(readFileSync(join(root, 'docs/quickstart.md'), 'utf8'))).toEqual(programs(readme))
})

test('the transcript of a kill and a resume is what its program prints', async () => {
  const [, program = ''] = /```ts\n([\s\S]*?)```/.exec(readme) ?? []
  const [, transcript = ''] = /```console\n([\s\S]*?)```/.exec(readme) ?? []
  const [before = [], after = []] = transcript
    .split(/^\$ .*\n/m)
    .slice(1)
    .map((lines) => lines.trimEnd().split('\n'))
  const dir = mkdtempSync(join(tmpdir(), 'holdfast-readme-'))
  try {
    mkdirSync(join(dir, 'node_modules'))
    symlinkSync(root, join(dir, 'node_modules/holdfast'))
    writeFileSync(join(dir, 'package.json'), '{ "type": "module" }')
    writeFileSync(join(dir, 'first.ts'), program)
    const run = async (killAfter?: string) => {
      const running = spawn(process.execPath, ['--import', import.meta.resolve('tsx'), 'first.ts'], { cwd: dir })
      const exit = once(running, 'exit')
      const lines: string[] = []
      for await (const line of createInterface(running.stderr)) {
        lines.push(line)
        if (line === killAfter) setTimeout(() => running.kill('SIGKILL'), 500)
      }
      return { lines, exit: await exit }
    }
    const killed = await run(before.at(-1))
    expect(killed).toEqual({ lines: before, exit: [null, 'SIGKILL'] })
    expect(await run()).toEqual({ lines: after, exit: [0, null] })
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}, 60_000)

test('names the two commands that do everything', () => {
  expect(readme).toContain('npm ci && npm run demo')
  expect(readme).toContain('npm ci && npm test')
})

test('names the versions of Node in package.json, and so does the lock file', () => {
  const nodeOf = (name: string) => /"engines": \{\s*"node": "([^"]+)"/.exec(readFileSync(`${root}${name}`, 'utf8'))?.[1]
  const range = '^20.15 || >=22.2'
  expect([nodeOf('package.json'), nodeOf('package-lock.json')]).toEqual([range, range])
  expect(readme).toContain(`Node.js \`${range}\``)
})
