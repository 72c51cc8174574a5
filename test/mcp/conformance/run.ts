/**
 * Runs the official conformance suite's scenarios of the tasks extension, and of input in rounds, against fixture-server.ts, once as it is and
 * once with the server killed after every task it creates.
 *
 *   npm run conformance               both
 *   npm run conformance -- plain      without kills
 *   npm run conformance -- killed     with
 */
import { execFile } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { killingProxy, ServerUnderTest } from '../../helpers/mcp/killing-proxy.js'
import { freePort } from '../../helpers/mcp/server-process.js'
import { NODE_22, SUITE } from './suite.js'

const FIXTURE = fileURLToPath(new URL('./fixture-server.ts', import.meta.url))

const SCENARIOS = [
  'tasks-lifecycle',
  'tasks-capability-negotiation',
  'tasks-wire-fields',
  'tasks-request-state-removal',
  'tasks-mrtr-input',
  'tasks-request-headers',
  'tasks-dispatch-and-envelope',
  'tasks-required-task-error',
  'tasks-mrtr-composition',
  'tasks-status-notifications',
  'input-required-result-basic-elicitation',
  'input-required-result-basic-sampling',
  'input-required-result-basic-list-roots',
  'input-required-result-request-state',
  'input-required-result-multiple-input-requests',
  'input-required-result-multi-round',
  'input-required-result-missing-input-response',
  'input-required-result-non-tool-request',
  'input-required-result-result-type',
  'input-required-result-unsupported-methods',
  'input-required-result-tampered-state',
  'input-required-result-capability-check',
  'input-required-result-ignore-extra-params',
  'input-required-result-validate-input',
]
// tasks-status-notifications is one check that the suite itself skips.
const SCORED = 81

interface Check {
  readonly id: string
  readonly status: string
  readonly errorMessage?: string
}

const modes = process.argv.length > 2 ? process.argv.slice(2) : ['plain', 'killed']
let failed = false
for (const mode of modes) failed = !(await run(mode)) || failed
process.exit(failed ? 1 : 0)

async function run(mode: string): Promise<boolean> {
  const home = mkdtempSync(join(tmpdir(), 'holdfast-conformance-'))
  const port = await freePort()
  const store = join(home, 'store')
  const server = new ServerUnderTest([
    process.execPath,
    '--import',
    import.meta.resolve('tsx'),
    FIXTURE,
    `${port}`,
    store,
  ])
  await server.start()
  const entry = mode === 'killed' ? await freePort() : port
  const proxy = mode === 'killed' ? await killingProxy(server, entry, port) : undefined
  const began = Date.now()
  const tally: Record<string, number> = {}
  for (const scenario of SCENARIOS) {
    for (const { id, status, errorMessage } of await checksOf(scenario, entry, join(home, scenario))) {
      tally[status] = (tally[status] ?? 0) + 1
      if (status === 'FAILURE' || status === 'WARNING') process.stdout.write(`  ${scenario}: ${id}: ${errorMessage}\n`)
    }
  }
  proxy?.close()
  const { kills } = server
  await server.kill()
  rmSync(home, { recursive: true, force: true })
  const { SUCCESS = 0, FAILURE = 0, SKIPPED = 0 } = tally
  const seconds = Math.round((Date.now() - began) / 1_000)
  const passed = `${SUCCESS} of ${SCORED} scored checks passed, ${FAILURE} failed, ${SKIPPED} skipped`
  process.stdout.write(`${mode}: ${passed} (${seconds} s, ${kills} kills) ${JSON.stringify(tally)}\n`)
  return SUCCESS === SCORED && FAILURE === 0
}

// Not waited for in place: the proxy works in this process.
function spawned(file: string, args: string[]): Promise<{ stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    execFile(file, args, { maxBuffer: 64 * 1024 * 1024 }, (_error, stdout, stderr) => resolve({ stdout, stderr }))
  })
}

async function checksOf(scenario: string, port: number, out: string): Promise<Check[]> {
  const args = [SUITE, 'server', '--url', `http://127.0.0.1:${port}/mcp`, '--scenario', scenario, '-o', out]
  const { stdout, stderr } = await spawned(NODE_22, args)
  const folder = existsSync(out) ? readdirSync(out)[0] : undefined
  if (folder === undefined) throw new Error(`${scenario} did not run: ${stdout}${stderr}`)
  return JSON.parse(readFileSync(join(out, folder, 'checks.json'), 'utf8')) as Check[]
}
