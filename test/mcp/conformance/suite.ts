/**
 * The official conformance suite and the Node 22 that it wants, in a folder of their own: the project's own `npm ci` must do
 * on Node 20. Installed when this file is loaded and they are not there.
 */
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const RUNNER = fileURLToPath(new URL('./runner', import.meta.url))

export const NODE_22 = join(RUNNER, 'node_modules/node/bin/node')
export const SUITE = join(RUNNER, 'node_modules/@modelcontextprotocol/conformance/dist/index.js')

if (!existsSync(NODE_22) || !existsSync(SUITE)) {
  const npm = (...args: string[]) => execFileSync('npm', args, { cwd: RUNNER, stdio: 'inherit' })
  npm('ci', '--no-audit', '--no-fund')
  // Where npm runs no install scripts by itself, the one that fetches Node has to be asked for.
  if (!existsSync(NODE_22)) npm('rebuild', 'node')
}
