// Goal: the programs of the pages about MCP and deployment compile, their options are complete, and the servers of
// migrating.md run. The other pages are read by docs/snippets.test.ts, and links by docs/pages.test.ts.
// Method: each block of code is a module of its own, given what it uses and doesn't make; the compiler reads them all. The
// servers that migrating.md shows are called as a client would, and killed.
import { execFile } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js'
import { CallToolResultSchema } from '@modelcontextprotocol/sdk/types.js'
import { describe, expect, test } from 'vitest'
import { readSections } from '../../scripts/site/pages.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
const read = (path: string) => readFileSync(join(root, path), 'utf8')
const docs = readSections(join(root, 'docs'))
  .flatMap(({ pages }) => pages.map(({ path }) => path))
  .filter((path) => /^(mcp|deploy)\//.test(path))
const blocks = (text: string, language: string) =>
  [...text.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)].flatMap(([, is, code]) =>
    is === language ? [code as string] : [],
  )

/** What the blocks use and don't make: names of the block before, or of the reader's own program. */
const GIVEN: Record<string, string> = {
  z: `import { z } from 'zod'`,
  defineTask: `import { defineTask } from 'holdfast'`,
  durableTasks: `import { durableTasks } from 'holdfast/mcp/2025-11-25'`,
  StdioServerTransport: `import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js'`,
  McpServer: `import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'`,
  Holdfast: `import { Holdfast } from 'holdfast'`,
  holdfast: `declare const holdfast: import('holdfast').Holdfast`,
  durable: `declare const durable: import('holdfast/mcp/2025-11-25').DurableTasks`,
  importFlights: `declare const importFlights: import('holdfast').TaskDefinition<{ rows: number }, { rows: number }>`,
  info: `const info = { name: 'flights', version: '1.0.0' }`,
  instructions: `const instructions = ''`,
  createServer: `declare const createServer: import('holdfast/mcp/2025-11-25').CreateServer`,
  modernEra: `import * as modernEra from 'holdfast/mcp/2026-07-28'`,
  legacyEra: `import * as legacyEra from 'holdfast/mcp/2025-11-25'`,
  createModern: `declare const createModern: import('holdfast/mcp/2026-07-28').CreateServer`,
  createLegacy: `declare const createLegacy: import('holdfast/mcp/2025-11-25').CreateServer`,
  server: `declare const server: import('@modelcontextprotocol/sdk/server/mcp.js').McpServer`,
  client: `declare const client: import('@modelcontextprotocol/sdk/client/index.js').Client`,
  verifier: `declare const verifier: import('@modelcontextprotocol/sdk/server/auth/provider.js').OAuthTokenVerifier`,
  verified: `declare const verified: (request: Request) => import('@modelcontextprotocol/sdk/server/auth/types.js').AuthInfo`,
  transport: `declare const transport: import('@modelcontextprotocol/sdk/server/streamableHttp.js').StreamableHTTPServerTransport`,
  req: `declare const req: import('node:http').IncomingMessage & { auth: import('@modelcontextprotocol/sdk/server/auth/types.js').AuthInfo; body?: unknown }`,
  res: `declare const res: import('node:http').ServerResponse`,
}

function moduleOf(block: string): string {
  const isMade = (name: string) =>
    new RegExp(
      `^import [^'\\n]*\\b${name}\\b(?! as)|^(export )?(const|let|function|class) (\\{[^}]*)?\\b${name}\\b`,
      'm',
    ).test(block)
  const given = Object.entries(GIVEN).filter(
    ([name]) => new RegExp(`(?<![\\w.'"-])${name}\\b(?!['":/-])`).test(block) && !isMade(name),
  )
  return `${given.map(([, declared]) => declared).join('\n')}\n${block}\nexport {}\n`
}

describe('the code in docs', () => {
  test('compiles', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'holdfast-docs-'))
    try {
      symlinkSync(join(root, 'node_modules'), join(dir, 'node_modules'))
      const source = (path: string) => [join(root, 'src', path)]
      const config = {
        extends: join(root, 'tsconfig.json'),
        compilerOptions: {
          noUnusedLocals: false,
          noUnusedParameters: false,
          typeRoots: [join(root, 'node_modules/@types')],
          paths: {
            holdfast: source('index.ts'),
            'holdfast/mcp/2025-11-25': source('mcp/rev-2025-11-25/index.ts'),
            'holdfast/mcp/2026-07-28': source('mcp/rev-2026-07-28/index.ts'),
          },
        },
        include: ['*.ts'],
      }
      writeFileSync(join(dir, 'tsconfig.json'), JSON.stringify(config))
      writeFileSync(join(dir, 'package.json'), '{ "type": "module" }')
      let count = 0
      for (const name of docs) {
        // Its programs are files, which the project's own check of types reads.
        if (['mcp/migrating.md', 'mcp/hosts.md'].includes(name)) continue
        blocks(read(`docs/${name}`), 'ts').forEach((block, index) => {
          count++
          writeFileSync(join(dir, `${name.replaceAll('/', '-')}-${index + 1}.ts`), moduleOf(block))
        })
      }
      expect(count).toBeGreaterThan(8)
      const said = await promisify(execFile)(join(root, 'node_modules/.bin/tsc'), ['-p', dir]).then(
        () => '',
        ({ stdout }: { stdout: string }) => stdout,
      )
      expect(said).toBe('')
    } finally {
      rmSync(dir, { recursive: true, force: true })
    }
  }, 60_000)

  test('of migrating.md is the files beside it, all of them', () => {
    const files = readdirSync(join(root, 'docs/mcp/migrating')).filter((name) => name !== 'report.ts')
    expect(files).toHaveLength(4)
    expect(blocks(read('docs/mcp/migrating.md'), 'ts').sort()).toEqual(
      files.map((name) => read(`docs/mcp/migrating/${name}`)).sort(),
    )
  })

  test('that is JSON is JSON, with absolute paths', () => {
    const configs = docs.flatMap((name) => blocks(read(`docs/${name}`), 'json'))
    expect(configs.length).toBeGreaterThan(0)
    for (const text of configs) {
      const { mcpServers, servers } = JSON.parse(text)
      expect(Object.keys(mcpServers ?? servers)).toHaveLength(1)
    }
    expect(configs.join()).toContain('"--stdio", "--dir", "/absolute/')
  })
})

test.each([
  ['DurableOptions', 'src/mcp/access/options.ts'],
  ['TtlOptions', 'src/mcp/access/options.ts'],
  ['McpLimits', 'src/mcp/access/options.ts'],
  ['ToolOptions', 'src/mcp/tools/tool.ts'],
  ['CommonHttpOptions', 'src/mcp/http/options.ts'],
  ['HttpOptions', 'src/mcp/rev-2025-11-25/http/options.ts'],
  ['StdioLifeOptions', 'src/mcp/stdio/options.ts', 'docs/mcp/stdio.md'],
])('every option of %s stands in its page', (name, path, page = 'docs/mcp/2025-11-25.md') => {
  const [, body = ''] = new RegExp(`interface ${name}\\b[^{]*\\{\\n([\\s\\S]*?)\\n\\}`).exec(read(path)) ?? []
  const options = [...body.matchAll(/^ {2}readonly (\w+)\??:/gm)].map(([, option]) => option as string)
  expect(options.length).toBeGreaterThan(3)
  const text = read(page)
  const rows = text.split('\n').filter((line) => line.startsWith('|'))
  expect(options.filter((option) => !rows.some((row) => new RegExp(`[\`{ ]${option}[\`:]`).test(row)))).toEqual([])
})

describe('the servers of migrating.md', () => {
  const connect = async (name: string, dir: string) => {
    const client = new Client({ name: 'docs', version: '1.0.0' })
    const args = ['--import', import.meta.resolve('tsx'), join(root, 'docs/mcp/migrating', `${name}.ts`), dir]
    const transport = new StdioClientTransport({
      command: process.execPath,
      args,
      stderr: 'inherit',
      cwd: dirname(dir),
    })
    await client.connect(transport)
    return { client, transport }
  }
  const storeDir = () => join(mkdtempSync(join(tmpdir(), 'holdfast-migrating-')), 'store')
  const report = Array.from({ length: 30 }, (_, page) => `May, page ${page + 1}`).join('\n')
  const args = { month: 'May', pages: 30 }

  test.each(['task-store.before', 'task-store.after'])('%s serves its task', async (name) => {
    const { client } = await connect(name, storeDir())
    const seen: string[] = []
    const stream = client.experimental.tasks.callToolStream(
      { name: 'make_report', arguments: args },
      CallToolResultSchema,
      { task: {} },
    )
    for await (const message of stream) {
      seen.push(message.type)
      if (message.type === 'result') expect(message.result.content).toEqual([{ type: 'text', text: report }])
    }
    expect([seen[0], seen.at(-1)]).toEqual(['taskCreated', 'result'])
    await client.close()
  })

  test('task-store.after: after kill -9 what was unfinished says so, and what was done is there', async () => {
    const dir = storeDir()
    const first = await connect('task-store.after', dir)
    const start = async (pages: number) => {
      const stream = first.client.experimental.tasks.callToolStream(
        { name: 'make_report', arguments: { month: 'May', pages } },
        CallToolResultSchema,
        { task: {} },
      )
      const { value } = await stream.next()
      return (value as { task: { taskId: string } }).task.taskId
    }
    const short = await start(1)
    await first.client.experimental.tasks.getTaskResult(short, CallToolResultSchema)
    const long = await start(500)
    process.kill(first.transport.pid as number, 'SIGKILL')
    const second = await connect('task-store.after', dir)
    const { tasks } = second.client.experimental
    expect(await tasks.getTask(short)).toMatchObject({ status: 'completed' })
    expect(await tasks.getTaskResult(short, CallToolResultSchema)).toMatchObject({ content: [{ text: 'May, page 1' }] })
    expect(await tasks.getTask(long)).toMatchObject({
      status: 'failed',
      statusMessage: expect.stringContaining('restarted'),
    })
    await second.client.close()
  })

  test('start-and-status.before answers by polling', async () => {
    const { client } = await connect('start-and-status.before', storeDir())
    const { content } = (await client.callTool({ name: 'start_report', arguments: args })) as never as {
      content: [{ text: string }]
    }
    const look = async () => {
      const { content: said } = await client.callTool({ name: 'get_report_status', arguments: { id: content[0].text } })
      return JSON.parse((said as [{ text: string }])[0].text)
    }
    while ((await look()).status === 'working') await delay(100)
    expect(await look()).toMatchObject({ status: 'done', text: report })
    await client.close()
  })

  test('start-and-status.after: after kill -9 the task goes on where it was', async () => {
    const dir = storeDir()
    const first = await connect('start-and-status.after', dir)
    const { structuredContent } = await first.client.callTool({ name: 'start_report', arguments: args })
    const { taskId } = structuredContent as { taskId: string }
    const look = async ({ client }: typeof first) =>
      (await client.callTool({ name: 'get_task_status', arguments: { taskId } })).structuredContent as {
        status: string
        statusMessage?: string
      }
    while (!/^\d+ of 30$/.test((await look(first)).statusMessage ?? '')) await delay(20)
    process.kill(first.transport.pid as number, 'SIGKILL')
    const second = await connect('start-and-status.after', dir)
    const waited = await second.client.callTool({ name: 'wait_for_task', arguments: { taskId, seconds: 20 } })
    expect(waited.structuredContent).toMatchObject({ taskId, status: 'completed', text: [report] })
    await second.client.close()
  })
})
