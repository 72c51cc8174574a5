/**
 * Goal: every TypeScript snippet of the README is a program: its types are right, it runs to its end, and prints what its
 * comments say.
 * Method: each goes into a file of its own, with the imports that it leaves out, beside a small world (readme/world.ts);
 * the compiler reads them all, and a process runs each.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import * as library from '../src/index.js'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'holdfast-readme-'))

/** Where what a snippet names, and doesn't make, comes from. */
const IMPORTS: Readonly<Record<string, readonly string[]>> = {
  holdfast: Object.keys(library),
  zod: ['z'],
  './world.js': ['holdfast', 'bank', 'agency', 'shop'],
}

interface Snippet {
  readonly title: string
  readonly file: string
  readonly program: string
  /** What it prints, as it says itself behind `console.error(…)`. */
  readonly prints: readonly string[]
}

// A server over stdio has no end to run to: docs.test.ts reads that section.
const readme = readFileSync(join(ROOT, 'README.md'), 'utf8').replace(/^## MCP servers\n[\s\S]*?(?=^## )/m, '')
const snippets: Snippet[] = [...readme.matchAll(/```ts\n([\s\S]*?)```/g)].map((match, index) => {
  const code = match[1] as string
  const title = readme
    .slice(0, match.index)
    .split('\n')
    .findLast((line) => line.startsWith('#')) as string
  const missing = Object.entries(IMPORTS).map(([from, names]) => {
    const used = names.filter(
      (name) =>
        new RegExp(`(?<![.\\w'])${name}\\b`).test(code) &&
        !new RegExp(`(const|import) (\\{[^}]*)?\\b${name}\\b`).test(code),
    )
    return used.length > 0 ? `import { ${used.join(', ')} } from '${from}'\n` : ''
  })
  const prints = [...code.matchAll(/console\.error\(.*\) \/\/ (.*)$/gm)].map(([, words]) => words as string)
  // Without an import of its own it would not be a module.
  return { title, file: `snippet-${index}.ts`, program: `${missing.join('')}${code}\nexport {}\n`, prints }
})

beforeAll(() => {
  const modules = join(folder, 'node_modules')
  mkdirSync(join(modules, '@types'), { recursive: true })
  symlinkSync(ROOT, join(modules, 'holdfast'))
  for (const name of ['zod', '@types/node']) symlinkSync(join(ROOT, 'node_modules', name), join(modules, name))
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
  copyFileSync(join(ROOT, 'test/readme/world.ts'), join(folder, 'world.ts'))
  for (const { file, program } of snippets) writeFileSync(join(folder, file), program)
  const compilerOptions = {
    ...{ target: 'ES2022', module: 'NodeNext', moduleResolution: 'NodeNext', types: ['node'] },
    ...{ strict: true, exactOptionalPropertyTypes: true, noUnusedLocals: true, skipLibCheck: true, noEmit: true },
  }
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['*.ts'] }))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

async function run(cwd: string, ...args: string[]) {
  const running = spawn(process.execPath, args, { cwd, timeout: 60_000, env: { ...process.env, HOLDFAST_LOG: 'warn' } })
  const [out, err, [code]] = await Promise.all([text(running.stdout), text(running.stderr), once(running, 'close')])
  return { code: code as number | null, out, err }
}

describe('the snippets of the README', () => {
  test('are there', () => {
    expect(snippets.length).toBeGreaterThan(10)
    expect(snippets.filter(({ prints }) => prints.length > 0).length).toBeGreaterThan(5)
  })

  test('have the right types', async () => {
    const { code, out } = await run(folder, join(ROOT, 'node_modules/typescript/bin/tsc'), '-p', folder)
    expect(code, out).toBe(0)
  }, 60_000)

  test.concurrent.each(snippets)(
    '$title runs, and prints what it says',
    { timeout: 60_000 },
    async ({ file, prints, title }) => {
      const cwd = join(folder, file.replace('.ts', ''))
      mkdirSync(cwd)
      copyFileSync(join(ROOT, 'test/readme/work.js'), join(folder, 'work.js'))
      // What a listener prints may come after the last line.
      const program = [
        `let lines = 0; const { error } = console; console.error = (...words) => { lines++; error(...words) }`,
        `const { holdfast } = await import(${JSON.stringify(join(folder, 'world.ts'))})`,
        `await import(${JSON.stringify(join(folder, file))})`,
        `while (lines < ${prints.length}) await new Promise((resolve) => setTimeout(resolve, 10))`,
        'await holdfast.close({ grace: 0 })',
      ].join('\n')
      const { code, err } = await run(cwd, '--import', import.meta.resolve('tsx'), '--input-type=module', '-e', program)
      expect(code, `${title}\n${err}`).toBe(0)
      if (prints.length > 0) expect(err.trimEnd().split('\n')).toEqual(prints)
    },
  )
})
