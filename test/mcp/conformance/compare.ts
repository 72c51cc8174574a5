/**
 * Runs every server scenario of the official suite against a bare SDK server and against the same server behind Holdfast
 * with default options, for both revisions, and lists each check that differs.
 *
 *   npm run conformance:compare
 *
 * Fails where a check passes with the bare server and fails, or does not run, with Holdfast.
 */
import { execFile } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ServerUnderTest } from '../../helpers/mcp/killing-proxy.js'
import { freePort } from '../../helpers/mcp/server-process.js'
import { NODE_22, SUITE } from './suite.js'

const SERVER = fileURLToPath(new URL('./everything-server.ts', import.meta.url))

interface Check {
  readonly id: string
  readonly status: string
  readonly errorMessage?: string
}

let lost = 0
for (const revision of ['2025-11-25', '2026-07-28']) {
  const bare = await statusesOf(revision, 'bare')
  const ours = await statusesOf(revision, 'holdfast')
  const passed = (statuses: Map<string, string>) =>
    [...statuses.values()].filter((status) => status === 'SUCCESS').length
  console.log(`${revision}: ${passed(bare)} checks pass with the bare server, ${passed(ours)} with Holdfast`)
  for (const check of new Set([...bare.keys(), ...ours.keys()])) {
    const [before = 'not run', after = 'not run'] = [bare.get(check), ours.get(check)]
    if (before === after) continue
    // INFO: there was nothing to check. Quick requests are answered as JSON, and the suite checks streams only.
    if (before === 'SUCCESS' && after !== 'INFO') lost++
    console.log(`  ${check}: ${before} → ${after}`)
  }
}
console.log(lost === 0 ? 'No check is lost.' : `${lost} checks are lost.`)
process.exit(lost === 0 ? 0 : 1)

/** The status of each check, by scenario and name. */
async function statusesOf(revision: string, kind: 'bare' | 'holdfast'): Promise<Map<string, string>> {
  const home = mkdtempSync(join(tmpdir(), 'holdfast-compare-'))
  const port = await freePort()
  const command = [process.execPath, '--import', import.meta.resolve('tsx'), SERVER, `${port}`, revision, kind]
  const server = new ServerUnderTest([...command, join(home, 'store')])
  await server.start()
  const out = join(home, 'out')
  const args = [SUITE, 'server', '--url', `http://127.0.0.1:${port}/mcp`, '--suite', 'all', '-o', out]
  await new Promise<void>((resolve) => {
    execFile(NODE_22, [...args, '--spec-version', revision], { maxBuffer: 64 * 1024 * 1024 }, () => resolve())
  })
  await server.kill()
  const statuses = new Map<string, string>()
  for (const folder of existsSync(out) ? readdirSync(out) : []) {
    const scenario = folder.replace(/^server-/, '').replace(/-\d{4}-.*$/, '')
    const checks = JSON.parse(readFileSync(join(out, folder, 'checks.json'), 'utf8')) as Check[]
    const counts = new Map<string, number>()
    for (const { id, status } of checks) {
      const count = (counts.get(id) ?? 0) + 1
      counts.set(id, count)
      statuses.set(`${scenario} › ${id}${count === 1 ? '' : ` (${count})`}`, status)
    }
  }
  rmSync(home, { recursive: true, force: true })
  if (statuses.size === 0) throw new Error(`The suite ran no scenario against the ${kind} server of ${revision}`)
  return statuses
}
