/**
 * Writes the golden damaged stores: `npx tsx test/golden/make-damaged.ts`. Each folder of data/damaged has a store with
 * one damage, what `verify` reports of it, and what `repair` does. Written once; later versions prove that they report the same.
 */
import { cp, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ClassicLevel } from 'classic-level'
import { Holdfast, silentLogger } from 'holdfast'
import { repair, verify } from '../../src/admin/index.js'
import { fill, storeTasks } from '../helpers/stores.js'
import { DAMAGED, DAMAGES, repairOf, verificationOf } from './damaged.js'

const scratch = await mkdtemp(join(tmpdir(), 'holdfast-damaged-'))
const whole = join(scratch, 'whole')

const open = () => Holdfast.open({ dir: whole, tasks: Object.values(tasks), logger: silentLogger, operator: false })
const tasks = storeTasks()
let holdfast = await open()
const ids = await fill(holdfast, tasks)
await holdfast.close()
// The older records are in a table, and the newest commits in the log.
const level = new ClassicLevel(join(whole, 'db'))
await level.open()
await level.compactRange('a', 'z')
await level.close()
holdfast = await open()
await holdfast.send(ids.waiting, 'news', { of: 'tomorrow' })
await holdfast.close()

await rm(DAMAGED, { recursive: true, force: true })
for (const [name, harm] of Object.entries(DAMAGES)) {
  const store = join(DAMAGED, name, 'store')
  await mkdir(join(DAMAGED, name), { recursive: true })
  await cp(whole, store, { recursive: true })
  await harm(store, ids)
  for (const file of await readdir(join(store, 'db'))) if (/^LO(CK|G)/.test(file)) await rm(join(store, 'db', file))
  const copy = join(scratch, name)
  await cp(store, copy, { recursive: true })
  const write = (file: string, report: object) =>
    writeFile(join(DAMAGED, name, file), `${JSON.stringify(report, null, 2)}\n`)
  await write('verify.json', verificationOf(await verify({ dir: copy })))
  await write('repair.json', repairOf(await repair({ dir: copy })))
}
await rm(scratch, { recursive: true })
process.stdout.write(`${DAMAGED}\n`)
