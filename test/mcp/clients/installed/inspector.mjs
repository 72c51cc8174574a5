/** The command line of @modelcontextprotocol/inspector: one process for each order. */
import { execFile } from 'node:child_process'
import { mkdtempSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { serve, textOf } from './adapter.mjs'

/** What the last line of its output says is wrong: mostly an object with the message in it. */
const complaint = (output) => {
  const line = output.trim().split('\n').at(-1)
  try {
    return JSON.parse(line).error.message
  } catch {
    return line
  }
}
const root = dirname(createRequire(import.meta.url).resolve('@modelcontextprotocol/inspector/package.json'))
const LAUNCHER = join(root, 'clients/launcher/build/index.js')

serve(async ({ url, token, command, args, speaks }) => {
  const home = mkdtempSync(join(tmpdir(), 'holdfast-inspector-'))
  const target = url ? ['--server-url', url, '--transport', 'http', '--header', `Authorization: Bearer ${token}`] : []
  const era = speaks === '2025-11-25' ? 'legacy' : 'auto'
  const children = new Set()
  process.on('exit', () => {
    for (const child of children) child.kill('SIGKILL')
  })
  const run = (...order) =>
    new Promise((resolve, reject) => {
      const all = [LAUNCHER, '--cli', ...(url ? [] : [command, ...args]), ...target, '--protocol-era', era, ...order]
      const child = execFile(
        process.execPath,
        all,
        { env: { ...process.env, HOME: home, MCP_CATALOG_PATH: join(home, 'mcp.json') }, maxBuffer: 1e8 },
        (error, stdout, stderr) => {
          children.delete(child)
          try {
            resolve(JSON.parse(stdout.slice(stdout.indexOf('{'))))
          } catch {
            reject(new Error(complaint(stderr || stdout || String(error))))
          }
        },
      )
      children.add(child)
    })
  return {
    era,
    list: async () => (await run('--method', 'tools/list')).tools.map(({ name }) => name),
    call: async (name, given) =>
      textOf(await run('--method', 'tools/call', '--tool-name', name, '--tool-args-json', JSON.stringify(given))),
    close: async () => {},
  }
})
