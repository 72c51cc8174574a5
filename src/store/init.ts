/**
 * Inspects a directory before anything in it is opened, and creates a new store.
 *
 * - Files that are not ours are not touched: nothing is written, deleted or locked before the inspection is over.
 * - A database is created under another name, closed, synced, and renamed (store-3): LevelDB cannot open one that a
 *   power cut left incomplete. `holdfast.json` is written first, so that a folder with an incomplete store is
 *   recognised as ours.
 * - A store that was used (it has an anchor) and has no database is damaged. It is never created again.
 */
import { constants } from 'node:fs'
import { access, mkdir, readdir, rename, rm, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { HoldfastError } from '../base/errors.js'
import type { Ids } from '../base/ids.js'
import { writeBatch } from './commit.js'
import { databaseBroken, explain, repairCommand } from './disk/damage.js'
import {
  ANCHOR_FILE,
  DATABASE_DIR,
  DIRECTORY_MODE,
  fsyncDirectory,
  IDENTITY_FILE,
  isMissing,
  LOCK_FILE,
  OPENING_FILE,
  readIfPresent,
  writeFileAtomically,
} from './disk/files.js'
import type { Operation } from './disk/layout.js'
import { FORMAT_VERSION, META_FORMAT } from './disk/layout.js'
import type { Level, OpenLevel } from './disk/level.js'
import { seal, unsealJson } from './integrity/envelope.js'

/** Identity of a store. */
export interface Identity {
  readonly format: number
  readonly storeId: string
  readonly createdAt: number
  /** Origin of a store that was restored from a backup: the store, its newest commit then, and the instant of the restore. */
  readonly restoredFrom?: { readonly storeId: string; readonly commit: number; readonly at: number } | undefined
  /** True while a backup is being restored into the directory. */
  readonly restoring?: true | undefined
  /** Set once the store was moved into a backup: the instant, and the file of the backup then. */
  readonly moved?: { readonly at: number; readonly file: string } | undefined
  /** Set while a repaired database takes the place of the damaged one: the folders in the directory, and the new commit. */
  readonly repairing?: { readonly work: string; readonly kept: string; readonly commit: number } | undefined
}

export const DATABASE_ASIDE = `${DATABASE_DIR}.new`

// The file system keeps this folder in the root of a volume.
const FILE_SYSTEMS_OWN = ['lost+found']
// Files that a process may have left in an otherwise empty folder, if it was killed while it created a store or took a
// lock.
const OUR_LEFTOVERS = [IDENTITY_FILE, `${IDENTITY_FILE}.new`, LOCK_FILE, DATABASE_ASIDE]
const OUR_LEFTOVER_PREFIXES = [`${LOCK_FILE}.new-`, `${LOCK_FILE}.taken-`, 'probe-']

/**
 * Reads the identity of the store in `dir`. Returns `undefined` if a new store can be created there.
 * @throws HoldfastError `STORE_UNUSABLE`, `STORE_TOO_NEW`, `STORE_TOO_OLD`, `STORE_INCOMPLETE`, `STORE_MOVED`, `STORE_DAMAGED`
 */
export async function inspectDirectory(dir: string): Promise<Identity | undefined> {
  let names: string[]
  try {
    names = await readdir(dir)
    await access(dir, constants.R_OK | constants.W_OK | constants.X_OK)
  } catch (cause) {
    if (isMissing(cause)) return undefined
    throw unusableStore(dir, (await isFile(dir)) ? 'it is a file, not a directory' : explain(cause), cause)
  }
  const text = await readIfPresent(join(dir, IDENTITY_FILE)).catch((cause: unknown) => {
    throw unusableStore(dir, explain(cause), cause)
  })
  if (text === undefined) {
    const foreign = names.find((name) => !isOurs(name))
    if (foreign === undefined) return undefined
    throw unusableStore(
      dir,
      `it is not empty and not a Holdfast store (it holds '${foreign}'); name an empty or a new one`,
    )
  }
  const identity = parseIdentity(dir, text)
  if (names.includes(DATABASE_DIR)) return identity
  if (!names.includes(ANCHOR_FILE)) return undefined
  throw databaseBroken(`the folder '${DATABASE_DIR}' is gone`, dir)
}

/**
 * Checks that a command of an operator may open the directory: there is a store, and it belongs to the user of this
 * process. Files that another user makes there could not be read by the server.
 * @throws HoldfastError `STORE_NOT_FOUND`, `STORE_OF_ANOTHER_USER`
 */
export async function checkOperable(dir: string, found: Identity | undefined): Promise<void> {
  if (!found) {
    throw new HoldfastError(
      'STORE_NOT_FOUND',
      `There is no store in ${dir}. Name the directory that the server opens as \`dir\`.`,
      { details: { dir } },
    )
  }
  const self = process.geteuid?.()
  const { uid } = await stat(join(dir, IDENTITY_FILE))
  if (self === undefined || uid === self) return
  throw new HoldfastError(
    'STORE_OF_ANOTHER_USER',
    `The store ${dir} belongs to the user with the number ${uid}, and this process runs as ${self}. Run it as uid ${uid}, such as with \`sudo -u '#${uid}'\`, so that the server can read every file afterwards.`,
    { details: { dir, uid } },
  )
}

function isOurs(name: string): boolean {
  return (
    [...OUR_LEFTOVERS, ...FILE_SYSTEMS_OWN].includes(name) ||
    OUR_LEFTOVER_PREFIXES.some((prefix) => name.startsWith(prefix))
  )
}

function parseIdentity(dir: string, text: string): Identity {
  let identity: Partial<Identity> | null
  try {
    identity = JSON.parse(text) as Partial<Identity> | null
  } catch (cause) {
    throw unusableStore(dir, `${IDENTITY_FILE} is not readable as JSON`, cause)
  }
  const { format, storeId } = identity ?? {}
  if (typeof format !== 'number' || typeof storeId !== 'string') {
    throw unusableStore(dir, `${IDENTITY_FILE} is not a Holdfast store's`)
  }
  if (format > FORMAT_VERSION) {
    throw new HoldfastError(
      'STORE_TOO_NEW',
      `The store ${dir} has format ${format}; this version of holdfast reads up to ${FORMAT_VERSION}. Upgrade holdfast; nothing was changed.`,
      { details: { dir, format, formatMax: FORMAT_VERSION } },
    )
  }
  // From format 2 on, an older format is migrated (docs/internals/on-disk-format.md).
  if (format < FORMAT_VERSION) {
    throw new HoldfastError(
      'STORE_TOO_OLD',
      `The store ${dir} has format ${format}, which only builds before the first release wrote; no release reads it. Use an empty directory, or let the build that wrote the store finish its tasks first. Nothing was changed.`,
      { details: { dir, format, formatMin: FORMAT_VERSION } },
    )
  }
  if (identity?.moved) throw movedAway(dir, identity.moved)
  if (identity?.restoring) {
    throw new HoldfastError(
      'STORE_INCOMPLETE',
      `The restore of a backup into ${dir} was interrupted, so the store is not whole. Restore the backup again, with the same \`dir\`. Nothing was changed.`,
      { details: { dir } },
    )
  }
  if (identity?.repairing) {
    throw new HoldfastError(
      'STORE_INCOMPLETE',
      `The repair of the store ${dir} was interrupted while it put the repaired database in the place of the damaged one. Run ${repairCommand(dir)} again, which ends it.`,
      { details: { dir } },
    )
  }
  return identity as Identity
}

/**
 * Creates `dir` and its missing parents, one folder at a time: Node's own recursive `mkdir` never returns if a parent
 * such as `/proc` refuses.
 * @returns the folders that were created, innermost first
 */
export async function makeDirectory(dir: string): Promise<string[]> {
  const missing: string[] = []
  for (let path = resolve(dir); ; path = dirname(path)) {
    try {
      if ((await stat(path)).isDirectory()) break
      throw unusableStore(dir, `'${path}' is a file, not a directory`)
    } catch (cause) {
      if (!isMissing(cause)) throw cause instanceof HoldfastError ? cause : unusableStore(dir, explain(cause), cause)
      missing.push(path)
    }
  }
  for (const path of missing.toReversed()) {
    await mkdir(path, { mode: DIRECTORY_MODE }).catch((cause: NodeJS.ErrnoException) => {
      if (cause.code !== 'EEXIST') throw unusableStore(dir, explain(cause), cause)
    })
    await fsyncDirectory(dirname(path))
  }
  return missing
}

/** Creates a store in `dir`, which exists, is empty and is locked by us. */
export async function createStore(dir: string, openLevel: OpenLevel, ids: Ids, now: number): Promise<Identity> {
  const identity: Identity = { format: FORMAT_VERSION, storeId: ids.seed(), createdAt: now }
  const aside = join(dir, DATABASE_ASIDE)
  try {
    await rm(aside, { recursive: true, force: true })
    await writeFileAtomically(join(dir, IDENTITY_FILE), JSON.stringify(identity))
    await mkdir(aside, { mode: DIRECTORY_MODE })
    const level = await openLevel(aside, { create: true })
    try {
      await writeBatch(level, [identityOperation(identity)], true)
    } finally {
      await level.close()
    }
    await fsyncDirectory(aside)
    await rename(aside, join(dir, DATABASE_DIR))
    await fsyncDirectory(dir)
    return identity
  } catch (cause) {
    await rm(aside, { recursive: true, force: true }).catch(() => {})
    throw unusableStore(dir, explain(cause), cause)
  }
}

/** Operation that writes the identity into the database. */
export function identityOperation(identity: Identity): Operation {
  return { key: META_FORMAT, value: seal(META_FORMAT, 0, JSON.stringify(identity)) }
}

/** Removes a store that was just created and never opened, so that the next attempt finds an empty folder. */
export async function removeStore(dir: string): Promise<void> {
  for (const name of [DATABASE_DIR, DATABASE_ASIDE, IDENTITY_FILE, ANCHOR_FILE, OPENING_FILE]) {
    await rm(join(dir, name), { recursive: true, force: true }).catch(() => {})
  }
}

/**
 * Compares the identity in the database with the one in `holdfast.json`.
 * @returns a sentence about an identity that cannot be read
 * @throws HoldfastError `STORE_UNUSABLE` if the database belongs to another store, `STORE_DAMAGED` if it lacks the
 * identity
 */
export async function checkIdentity(dir: string, level: Level, identity: Identity): Promise<string | undefined> {
  const text = await level.get(META_FORMAT)
  if (text === undefined) {
    throw databaseBroken(`it lacks the record ${META_FORMAT}, which every store has, so it lost more than that`, dir)
  }
  let inside: Identity
  try {
    inside = unsealJson<Identity>(META_FORMAT, text)
  } catch (error) {
    return (error as Error).message
  }
  if (inside.storeId === identity.storeId) return undefined
  throw unusableStore(dir, `its database belongs to another store than its ${IDENTITY_FILE}; put the two back together`)
}

/** Creates the refusal of a store that was moved. */
function movedAway(dir: string, { at, file }: NonNullable<Identity['moved']>): HoldfastError {
  const when = new Date(at).toJSON()
  return new HoldfastError(
    'STORE_MOVED',
    `The store ${dir} was moved into the backup ${file} on ${when}, so it accepts no open. Use the store that was restored from that backup. Nothing was changed.`,
    { details: { dir, file, at: when } },
  )
}

/** Creates the refusal of a directory, with the reason. */
export function unusableStore(dir: string, why: string, cause?: unknown): HoldfastError {
  return new HoldfastError('STORE_UNUSABLE', `The directory ${dir} cannot be a store: ${why}. Nothing was changed.`, {
    cause,
    details: { dir },
  })
}

async function isFile(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isFile(),
    () => false,
  )
}
