/**
 * Finds tables that abort the process. LevelDB asserts what it reads of a table, so damage of one can abort every start
 * of a server, also from its compaction thread, and no error can be caught.
 *
 * - The file `opening` counts the openings that ended within 10 seconds without a close. It is not synced: a process that
 *   aborts loses no written file.
 * - After two of them, each table is read and compared with its checksums before LevelDB opens it. A sound check begins
 *   the count again, so a server that others kill early is checked at every third start only.
 * - An opening to operate reads the count and leaves it as it is.
 */
import { rmSync } from 'node:fs'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from '../../base/clock.js'
import { HoldfastError } from '../../base/errors.js'
import type { Logger } from '../../base/logger.js'
import { repairCommand } from '../disk/damage.js'
import { DATABASE_DIR, FILE_MODE, OPENING_FILE, readIfPresent } from '../disk/files.js'
import { checkFiles } from './check-files.js'

const SHORT_MS = 10_000
const SHORT_OPENINGS_MAX = 2

/** An opening that is counted as short until it ends. */
export interface CountedOpening {
  /** Forgets the opening, once it lasted long enough or is closed. The directory must still be this process's. */
  end(): void
}

interface Parts {
  readonly clock: Clock
  readonly logger: Logger
  /** True if this opening is counted. */
  readonly counts: boolean
  /** Throws once another process may hold the directory. */
  readonly assertHeld: () => void
}

/**
 * Counts an opening of the store in `dir`, which this process holds. The database must not be open.
 * @throws HoldfastError `STORE_DAMAGED` if the last openings were short and a table is damaged. Nothing was changed.
 */
export async function countOpening(dir: string, { clock, logger, counts, assertHeld }: Parts): Promise<CountedOpening> {
  const path = join(dir, OPENING_FILE)
  let short = await readCount(path)
  if (short >= SHORT_OPENINGS_MAX) {
    logger.info('The last openings of the store ended within 10 seconds. Its tables are checked before this one.', {
      dir,
    })
    await assertTables(dir)
    short = 0
  }
  if (!counts) return { end: () => {} }
  // Without the count, the store opens as before. A disk without space must not keep the server from its start.
  await rm(path, { force: true }).catch(() => {})
  await writeFile(path, `${JSON.stringify({ short: short + 1 })}\n`, { mode: FILE_MODE, flag: 'wx' }).catch(() => {})
  let ended = false
  const end = () => {
    if (ended) return
    ended = true
    disarm()
    try {
      rmSync(path, { force: true })
    } catch {
      // The file stays, and the next opening counts this one as short.
    }
  }
  const lasted = () => {
    try {
      assertHeld()
    } catch {
      // The file may be that of another process by now.
      return
    }
    end()
  }
  const disarm = clock.setTimer(clock.now() + SHORT_MS, lasted, { background: true, elapsed: true })
  return { end }
}

/** Number of short openings since the last one that was closed or lasted. A file that cannot be read counts none. */
async function readCount(path: string): Promise<number> {
  try {
    const { short } = JSON.parse((await readIfPresent(path)) ?? '{}') as { short?: unknown }
    return typeof short === 'number' ? short : 0
  } catch {
    return 0
  }
}

async function assertTables(dir: string): Promise<void> {
  const tables = (await checkFiles(join(dir, DATABASE_DIR), () => {})).filter(({ kind }) => kind === 'table')
  const [first] = tables
  if (!first) return
  const more = tables.length > 1 ? `, and ${tables.length - 1} more` : ''
  throw new HoldfastError(
    'STORE_DAMAGED',
    `The store ${dir} is damaged: the table ${DATABASE_DIR}/${first.name} is not as it was written: ${first.damage}${more}. The last openings of the store ended within 10 seconds, so reading it may abort the process. Run ${repairCommand(dir)} to keep what is whole, or restore a backup; \`acceptDamage\` does not help here. Nothing was changed.`,
    { details: { dir, damage: first.damage, tables: tables.map(({ name }) => name) } },
  )
}
