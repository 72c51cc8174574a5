/** The damages of the golden damaged stores, and the parts of their reports that are the same in each run. */
import { readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { RepairReport, VerifyReport } from 'holdfast/admin'
import { type Alterable, alter, type Filled } from '../helpers/stores.js'

/** Folder of the golden damaged stores. */
export const DAMAGED = fileURLToPath(new URL('../../data/damaged', import.meta.url))

const fileOf = async (dir: string, pattern: RegExp) => {
  const name = (await readdir(join(dir, 'db'))).filter((file) => pattern.test(file)).sort()[0]
  if (name === undefined) throw new Error(`No file of ${dir} fits ${pattern}`)
  return join(dir, 'db', name)
}

async function flip(path: string, at: number): Promise<void> {
  const bytes = await readFile(path)
  bytes.writeUInt8(bytes.readUInt8(at) ^ 4, at)
  await writeFile(path, bytes)
}

const record = (harm: (database: Alterable, ids: Filled) => unknown) => (dir: string, ids: Filled) =>
  alter(dir, async (database) => harm(database, ids))

/** Each damage by the name of its folder. */
export const DAMAGES: Readonly<Record<string, (dir: string, ids: Filled) => Promise<unknown>>> = {
  'table-flipped': async (dir) => flip(await fileOf(dir, /\.ldb$/), 40),
  'table-cut': async (dir) => truncate(await fileOf(dir, /\.ldb$/), 2_000),
  'table-missing': async (dir) => rm(await fileOf(dir, /\.ldb$/)),
  'log-flipped': async (dir) => flip(await fileOf(dir, /\.log$/), 100),
  'log-missing': async (dir) => rm(await fileOf(dir, /\.log$/)),
  'manifest-flipped': async (dir) => flip(await fileOf(dir, /^MANIFEST/), 20),
  'current-missing': (dir) => rm(join(dir, 'db', 'CURRENT')),
  'anchor-garbled': (dir) => writeFile(join(dir, 'anchor'), 'rot'),
  'head-rot': record((database, ids) => database.put(`live/${ids.waiting}`, 'rot')),
  'head-part-missing': record((database, ids) => database.del(`live/${ids.waiting}`)),
  'log-record-missing': record((database, ids) => database.del(database.first(`log/${ids.waiting}/`))),
  'input-missing': record((database, ids) => database.del(`input/${ids.sent}`)),
  'index-entry-missing': record((database, ids) => database.del(`ix/t/echo/c/${ids.large}`)),
  'audit-entry-changed': record((database) =>
    database.change(database.first('audit/'), (body) => body.replace('created', 'removed')),
  ),
}

/** What `verify` reports of a store at each place. */
export const verificationOf = ({ isSound, commit, findings, findingCounts }: VerifyReport) =>
  plain({ isSound, commit, findings, findingCounts })

/** What `repair` reports of a store at each place and time. */
export const repairOf = ({ isWhole, changes, failedTaskIds, held }: RepairReport) =>
  plain({ isWhole, changes, failedTaskIds, isHeld: held !== undefined })

/** The report as it is in JSON, without the place of the store. */
const plain = (report: object): object =>
  JSON.parse(JSON.stringify(report).replace(/(?<=[\s"])\/[^\s:"]+/g, '<path>')) as object
