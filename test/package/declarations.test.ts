// Goal: an application that checks declarations of its packages, and has no types of Node, finds no error in ours.
// Method: the declarations are built as for publishing, and a program that exports all of each entry is checked by `tsc`.
import { execFileSync, spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, test } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))
const tsc = join(root, 'node_modules/typescript/bin/tsc')
const home = mkdtempSync(join(tmpdir(), 'holdfast-declarations-'))
afterAll(() => rmSync(home, { recursive: true, force: true }))

test('the declarations of every entry have no error without types of Node, checked as they are', () => {
  const ours = join(home, 'node_modules/holdfast')
  mkdirSync(ours, { recursive: true })
  for (const name of ['@modelcontextprotocol', 'zod']) {
    symlinkSync(join(root, 'node_modules', name), join(home, 'node_modules', name), 'dir')
  }
  const build = ['-p', join(root, 'tsconfig.build.json'), '--emitDeclarationOnly', '--outDir', join(ours, 'dist')]
  execFileSync(process.execPath, [tsc, ...build])
  cpSync(join(root, 'package.json'), join(ours, 'package.json'))

  const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { exports: object }
  const entries = Object.keys(exports).filter((entry) => !entry.endsWith('.json'))
  expect(entries).toHaveLength(4)
  const lines = entries.map((entry, n) => `export * as entry${n} from '${entry.replace('.', 'holdfast')}'`)
  writeFileSync(join(home, 'program.ts'), `${lines.join('\n')}\n`)
  const options = { target: 'ES2022', module: 'NodeNext', types: [], strict: true, skipLibCheck: false, noEmit: true }
  writeFileSync(join(home, 'tsconfig.json'), JSON.stringify({ compilerOptions: options, files: ['program.ts'] }))
  const { stdout } = spawnSync(process.execPath, [tsc, '-p', home], { encoding: 'utf8', cwd: home })
  // The SDK of 2026-07-28 has an error of its own, which shows that its declarations were read.
  const errors = stdout.split('\n').filter((line) => line.includes('error TS'))
  expect(errors.filter((line) => !line.includes('@modelcontextprotocol/server/'))).toEqual([])
  expect(errors.join()).toContain("Cannot find name 'Buffer'")
}, 120_000)
