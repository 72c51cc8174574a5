/**
 * Goal: every TypeScript block of the README and of the pages is a program: its types are right, it runs to its end, and
 * prints what its comments say. The servers of the quickstart and of the README serve a client, and survive kill -9.
 * Method: each block is a file of its own, with the imports that it leaves out, and a small world (world.ts). The compiler reads
 * them all, and a process runs each. The pages about MCP are read by docs.test.ts.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { Client } from '@modelcontextprotocol/client'
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readSections } from '../../scripts/site/pages.js'
import * as library from '../../src/index.js'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'holdfast-snippets-'))

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

/** The pages whose blocks run. Those of mcp and deploy need clients, and the reference has declarations only. */
const PAGES = readSections(join(ROOT, 'docs'))
  .flatMap(({ pages }) => pages)
  .filter(({ path }) => !/^(mcp|deploy|reference)\//.test(path))

const snippets: Snippet[] = [
  { path: 'README.md', text: readFileSync(join(ROOT, 'README.md'), 'utf8') },
  ...PAGES.map(({ path, text }) => ({ path: `docs/${path}`, text })),
].flatMap(({ path, text }) =>
  [...text.matchAll(/```ts\n([\s\S]*?)```/g)].map((match, index) => {
    const code = match[1] as string
    const missing = Object.entries(IMPORTS).map(([from, names]) => {
      const used = names.filter(
        (name) =>
          new RegExp(`(?<![.\\w'])${name}\\b`).test(code) &&
          !new RegExp(`(const|import) (\\{[^}]*)?\\b${name}\\b`).test(code),
      )
      return used.length > 0 ? `import { ${used.join(', ')} } from '${from}'\n` : ''
    })
    const prints = [...code.matchAll(/console\.error\(.*\) \/\/ (.*)$/gm)].map(([, words]) => words as string)
    const heading = text
      .slice(0, match.index)
      .split('\n')
      .findLast((line) => line.startsWith('#'))
    const file = `${path.replace(/\W/g, '-')}-${index}.ts`
    // Without an import of its own it would not be a module.
    return { title: `${path}, ${heading}`, file, program: `${missing.join('')}${code}\nexport {}\n`, prints }
  }),
)
/** A server has no end to run to. */
const servers = snippets.filter(({ program }) => program.includes('.serveStdio('))
const programs = snippets.filter((snippet) => !servers.includes(snippet))

beforeAll(() => {
  const modules = join(folder, 'node_modules')
  mkdirSync(join(modules, '@types'), { recursive: true })
  symlinkSync(ROOT, join(modules, 'holdfast'))
  for (const name of ['zod', '@types/node', '@modelcontextprotocol', '@opentelemetry'])
    symlinkSync(join(ROOT, 'node_modules', name), join(modules, name))
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
  copyFileSync(join(ROOT, 'test/docs/world.ts'), join(folder, 'world.ts'))
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

describe('the blocks of the README and the pages', () => {
  test('are there', () => {
    expect(programs.length).toBeGreaterThan(15)
    expect(programs.filter(({ prints }) => prints.length > 0).length).toBeGreaterThan(10)
    expect(servers.length).toBeGreaterThan(0)
  })

  test('have the right types', async () => {
    const { code, out } = await run(folder, join(ROOT, 'node_modules/typescript/bin/tsc'), '-p', folder)
    expect(code, out).toBe(0)
  }, 60_000)

  test.concurrent.each(programs)(
    '$title runs, and prints what it says',
    { timeout: 60_000 },
    async ({ file, prints, title }) => {
      const cwd = join(folder, file.replace('.ts', ''))
      mkdirSync(cwd)
      copyFileSync(join(ROOT, 'test/docs/work.js'), join(folder, 'work.js'))
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

  test.each(servers)(
    'the server of $title survives kill -9: the same call joins its task',
    { timeout: 60_000 },
    async ({ file }) => {
      const cwd = mkdtempSync(join(folder, 'server-'))
      copyFileSync(join(folder, file), join(cwd, 'server.ts'))
      writeFileSync(join(cwd, 'package.json'), '{ "type": "module" }')
      const connect = async () => {
        const args = ['--import', import.meta.resolve('tsx'), join(cwd, 'server.ts')]
        const transport = new StdioClientTransport({ command: process.execPath, args, cwd, stderr: 'pipe' })
        const written: string[] = []
        createInterface(transport.stderr as Readable).on('line', (line) => written.push(line))
        const client = new Client({ name: 'docs', version: '1.0.0' })
        await client.connect(transport)
        return { client, transport, written }
      }
      const first = await connect()
      const { tools } = await first.client.listTools()
      const call = { name: tools[0]?.name as string, arguments: { pages: 4 } }
      // The progress of a page is reported after its step is recorded.
      let reported = 0
      await new Promise<void>((resolve) => {
        const onprogress = ({ progress }: { progress: number }) => {
          reported = progress
          if (progress === 2) process.kill(first.transport.pid as number, 'SIGKILL')
        }
        first.client.callTool(call, { onprogress }).catch(() => resolve())
      })
      const second = await connect()
      const result = await second.client.callTool(call)
      expect(result.content).toEqual([{ type: 'text', text: '4 pages' }])
      await second.client.close()
      const pages = (lines: string[]) =>
        lines.flatMap((line) => /^page (\d) is written$/.exec(line)?.[1] ?? []).map(Number)
      expect(pages(second.written).filter((page) => page <= reported)).toEqual([])
      expect(new Set([...pages(first.written), ...pages(second.written)])).toEqual(new Set([1, 2, 3, 4]))
    },
  )
})
