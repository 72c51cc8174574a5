/**
 * `npm run clients`: real clients of other authors against a server that is killed. Installs them in `installed` if they are
 * not there, and runs every trial; then writes data/clients.json and the tables of docs/mcp/clients.md. With names of adapters
 * (`npm run clients -- sdk ai-sdk`) only those are tried, and nothing is written.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { ROWS, type Row, versionOf } from './rows.js'
import { type ClientsRun, type Seen, tablesOf } from './table.js'
import { run, type Trial } from './trial.js'

const INSTALLED = fileURLToPath(new URL('./installed', import.meta.url))
const RECORD = fileURLToPath(new URL('../../../data/clients.json', import.meta.url))
const PAGE = fileURLToPath(new URL('../../../docs/mcp/clients.md', import.meta.url))
const NODE_22 = `${INSTALLED}/node_modules/node/bin/node`
// The clients' own limit for a call is 60 s.
const PATIENCE_MS = 66_000
const OUTAGES_S = [0, 5, 10, 15]
// Most of a trial is waiting.
const AT_ONCE = Number(process.env['CLIENTS_AT_ONCE'] ?? 4)

if (!existsSync(NODE_22)) {
  const npm = (...args: string[]) => execFileSync('npm', args, { cwd: INSTALLED, stdio: 'inherit' })
  npm('ci', '--no-audit', '--no-fund')
  // Where npm runs no install scripts by itself, the one that fetches Node has to be asked for.
  if (!existsSync(NODE_22)) npm('rebuild', 'node')
}

const names = process.argv.slice(2)
const rows = ROWS.filter(({ client }) => names.length === 0 || names.includes(client))
const results = new Map<string, Seen['stdio']>()
const keyOf = ({ client, speaks }: Row, transport: string, seconds: number) =>
  [client, speaks, transport, seconds].join(' ')
const trials = rows.flatMap((row) => [
  { row, transport: 'stdio' as const, seconds: 0 },
  ...OUTAGES_S.map((seconds) => ({ row, transport: 'http' as const, seconds })),
])
const queue = [...trials]
let failures = 0
await Promise.all(
  Array.from({ length: AT_ONCE }, async () => {
    for (let next = queue.shift(); next; next = queue.shift()) {
      const { row, transport, seconds } = next
      const trial: Trial = {
        client: row.client,
        transport,
        speaks: row.speaks,
        outageMs: seconds * 1_000,
        patienceMs: PATIENCE_MS,
      }
      const seen = await run(trial).catch((error: unknown) => ({ failed: String(error) }))
      if ('failed' in seen || 'error' in seen.call) failures++
      results.set(keyOf(row, transport, seconds), seen)
      process.stdout.write(`${keyOf(row, transport, seconds)}: ${JSON.stringify(seen)}\n`)
    }
  }),
)

const record: ClientsRun = {
  node: execFileSync(NODE_22, ['--version'], { encoding: 'utf8' }).trim(),
  patienceMs: PATIENCE_MS,
  rows: rows.map((row) => ({
    ...row,
    version: versionOf(row.package),
    stdio: results.get(keyOf(row, 'stdio', 0)) as Seen['stdio'],
    http: Object.fromEntries(
      OUTAGES_S.map((seconds) => [seconds, results.get(keyOf(row, 'http', seconds)) as Seen['stdio']]),
    ),
  })),
}
process.stdout.write(`${tablesOf(record)}\n`)
if (names.length === 0) {
  writeFileSync(RECORD, `${JSON.stringify(record, null, 1)}\n`)
  const page = readFileSync(PAGE, 'utf8')
  const [BEGIN, END] = ['<!-- made by npm run clients -->', '<!-- end -->']
  const [before, after] = [page.indexOf(BEGIN) + BEGIN.length, page.indexOf(END)]
  writeFileSync(PAGE, `${page.slice(0, before)}\n${tablesOf(record)}\n${page.slice(after)}`)
}
if (failures > 0) process.stderr.write(`${failures} of ${trials.length} trials did not get as far as the kill\n`)
process.exit(failures > 0 ? 1 : 0)
