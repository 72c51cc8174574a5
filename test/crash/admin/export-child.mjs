/**
 * The process that portable.test.ts kills: `node --import tsx export-child.mjs <module> <dir> <taskId> <file>` moves a task, and
 * prints a line for each step of that.
 */
import { existsSync } from 'node:fs'

const [, , module = '', dir = '', taskId = '', file = ''] = process.argv
/** @type {typeof import('holdfast/admin')} */
const { exportTask } = await import(module)
const print = (/** @type {string} */ line) => process.stdout.write(`${line}\n`)
print('begin')
const look = () => {
  if (existsSync(`${file}.partial`)) print('partial')
  if (existsSync(file)) return print('file')
  setImmediate(look)
}
look()
await exportTask({ dir, taskId, file, move: true })
print('end')
