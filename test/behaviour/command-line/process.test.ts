// Goal: the built program works as a process: its streams, its exit code, its feeds, and its MCP server.
// Method: `dist/cli/main.js`, which `npm test` has built, against a store of this process.
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js'
import { afterAll, afterEach, beforeEach, expect, test } from 'vitest'
import { defineTask, Holdfast, silentLogger } from '../../../src/index.js'

const program = fileURLToPath(new URL('../../../dist/cli/main.js', import.meta.url))
const base = mkdtempSync(join(tmpdir(), 'holdfast-cli-process-'))
afterAll(() => rmSync(base, { recursive: true, force: true }))

const listens = defineTask({ name: 'listens' }, async (task) => {
  await task.step('first', () => 'secret')
  return task.receive('go')
})
let dir = ''
let holdfast: Holdfast
let taskId = ''
beforeEach(async () => {
  dir = mkdtempSync(join(base, 'store-'))
  holdfast = await Holdfast.open({ dir, tasks: [listens], logger: silentLogger })
  taskId = (await holdfast.start(listens, undefined)).taskId
})
afterEach(() => holdfast.close({ grace: 0 }))

const env = () => ({ ...process.env, HOLDFAST_DIR: dir })

/** Runs the program to its end. */
function run(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [program, ...args], { env: env() }, (error, out, err) =>
      resolve({ code: error ? Number(error.code) : 0, out, err }),
    )
  })
}

test('the program prints to standard output, and ends with the code of the page', async () => {
  expect(await run('tasks', 'get', taskId)).toMatchObject({ code: 0, out: expect.stringContaining(taskId) })
  expect(await run('tasks', 'get', 'task-none')).toMatchObject({ code: 3, out: '' })
  await holdfast.close({ grace: 0 })
  expect(await run('tasks', 'get', taskId)).toMatchObject({ code: 0, out: expect.stringContaining(taskId) })
  expect(await run('tasks', 'resume', taskId)).toMatchObject({ code: 5, out: '' })
})

test('`tasks watch` ends when its task has settled', async () => {
  const child = spawn(process.execPath, [program, 'tasks', 'watch', taskId], { env: env() })
  const lines: string[] = []
  for await (const line of createInterface({ input: child.stdout })) {
    lines.push(line)
    if (lines.length === 1) await holdfast.send(taskId, 'go', 1)
  }
  if (child.exitCode === null) await once(child, 'exit')
  expect(child.exitCode).toBe(0)
  expect(lines[0]).toBe(`now\t${taskId}\trunning`)
  expect(lines.at(-1)).toMatch(/\ttask:settled\t.*status=completed/)
})

test('`tasks events` ends with 130 when it is interrupted', async () => {
  const child = spawn(process.execPath, [program, 'tasks', 'events', taskId, '--json'], { env: env() })
  const [first] = (await once(createInterface({ input: child.stdout }), 'line')) as [string]
  expect(JSON.parse(first)).toMatchObject({ schema: 1, event: 'snapshot' })
  child.kill('SIGINT')
  await once(child, 'exit')
  expect(child.exitCode).toBe(130)
})

test('`tasks watch` ends with 5 when the server closes the store', async () => {
  const child = spawn(process.execPath, [program, 'tasks', 'watch', taskId], { env: env() })
  await once(createInterface({ input: child.stdout }), 'line')
  // The command may end before the close does.
  const gone = once(child, 'exit')
  await holdfast.close({ grace: 0 })
  await gone
  expect(child.exitCode).toBe(5)
})

async function operatorTools(...more: string[]): Promise<Client> {
  const client = new Client({ name: 'test', version: '1' })
  const args = [program, 'mcp', '--dir', dir, ...more]
  await client.connect(new StdioClientTransport({ command: process.execPath, args, stderr: 'inherit' }))
  return client
}

test('`mcp` explains a task, with a server and without, and shows no values', async () => {
  const client = await operatorTools()
  const names = (await client.listTools()).tools.map(({ name }) => name)
  expect(names).toEqual(['list_tasks', 'get_task', 'explain_task', 'list_steps', 'health', 'recovery'])
  const call = async (name: string, args: object) =>
    JSON.stringify(await client.callTool({ name, arguments: { ...args } }))
  expect(await call('explain_task', { taskId })).toContain('waiting')
  expect(await call('list_steps', { taskId })).not.toContain('secret')
  expect(await call('get_task', { taskId: 'task-none' })).toContain('"isError":true')
  await holdfast.close({ grace: 0 })
  expect(await call('explain_task', { taskId })).toContain('no-server')
  expect(await call('health', {})).toContain('No process runs the tasks')
  await client.close()
})

test('`mcp --write` cancels a task, and the audit names the claim', async () => {
  const client = await operatorTools('--write')
  await client.callTool({ name: 'cancel_task', arguments: { taskId, reason: 'stuck' } })
  expect(await holdfast.get(taskId)).toMatchObject({ status: 'cancelled' })
  const entries = await holdfast.audit({ taskId })
  expect(entries.find(({ action }) => action === 'cancelled')?.by).toMatch(/^cli: /)
  await client.close()
})
