/** W4, first part: fills a store with settled tasks, half of them swept, and waits until LevelDB has done its work on it. */
import { mkdirSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { ClassicLevel } from 'classic-level'
import { parameters, say } from './common.mjs'
import { fillStore } from './w4-copies.mjs'
import { TEMPLATE_TASKS } from './w4-template.mjs'

const given = parameters()
const settled = given.settled ?? 0
const dir = join(given.dir, 'store')
mkdirSync(given.dir, { recursive: true })
const startedAt = performance.now()
const filled =
  settled === 0
    ? { kept: 0, swept: 0, records: 0 }
    : await fillStore(dir, settled, Math.min(TEMPLATE_TASKS, Math.ceil(settled / 10)))
if (settled > 0) await untilCompacted(join(dir, 'db'))
say({ ...filled, fillSeconds: (performance.now() - startedAt) / 1_000 })

/** Keeps the database open until its files have stayed the same for 3 s. @param {string} db */
async function untilCompacted(db) {
  const level = new ClassicLevel(db)
  await level.open({ createIfMissing: false })
  const files = () =>
    readdirSync(db)
      .filter((name) => name.endsWith('.ldb'))
      .map((name) => `${name} ${statSync(join(db, name), { throwIfNoEntry: false })?.size}`)
      .join()
  for (let before = '', same = 0; same < 3; ) {
    await new Promise((resolve) => setTimeout(resolve, settled < 10_000 ? 50 : 1_000))
    const now = files()
    same = now === before ? same + 1 : 0
    before = now
  }
  await level.close()
}
