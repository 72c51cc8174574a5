/**
 * The process of move.test.ts that kills itself: `node --import tsx move-child.mjs <module> <dir> <file> <point>` moves a store
 * into a backup, and ends at a point of that.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const [, , module = '', dir = '', file = '', point = ''] = process.argv
/** @type {typeof import('holdfast/admin')} */
const { createBackup } = await import(module)
/** @type {Record<string, () => boolean>} */
const POINTS = {
  'the links are made': () => readdirSync(dir).some((name) => name.startsWith('db.links-')),
  'the file is written': () => existsSync(`${file}.partial`),
  'the file is whole': () => existsSync(file),
  'the mark is written': () => existsSync(join(dir, 'holdfast.json.new')),
  'the mark is in place': () => readFileSync(join(dir, 'holdfast.json'), 'utf8').includes('"moved"'),
}
const look = () => {
  if (POINTS[point]?.()) process.kill(process.pid, 'SIGKILL')
  setImmediate(look)
}
look()
await createBackup({ dir, file, move: true })
process.exit()
