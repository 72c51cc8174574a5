/**
 * The process that repair.test.ts kills: `node --import tsx repair-child.mjs <module> <dir> <n>` repairs a store, and ends
 * itself before its n-th rename.
 */
import promises from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'

const [, , module = '', dir = '', last = ''] = process.argv
const { rename } = promises
let renames = 0
promises.rename = async (from, to) => {
  if (++renames === Number(last)) process.kill(process.pid, 'SIGKILL')
  return rename(from, to)
}
syncBuiltinESMExports()
/** @type {typeof import('holdfast/admin')} */
const { repair } = await import(module)
await repair({ dir })
