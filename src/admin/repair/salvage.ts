/**
 * Makes a database of what is whole in the files of a damaged one, without LevelDB's own repair: that one aborts at some
 * damage, drops a whole table for one bad block, and brings back values that were deleted or replaced.
 *
 * salvage-1. Every version of a key has the number of its write. So the newest whole version of each key counts, regardless of
 *   the file in which it is.
 * salvage-2. A sound MANIFEST names the tables that count. Others are results of a merge that did not end, which have no other
 *   content, or inputs of one that did, which would bring back deleted values. With a damaged or an old MANIFEST, all count.
 * - The versions go through a scratch database, so that the memory does not depend on the size of the store.
 */
import { mkdir, readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { writeBatch } from '../../store/commit.js'
import { DIRECTORY_MODE, hasCode, isMissing } from '../../store/disk/files.js'
import type { Operation } from '../../store/disk/layout.js'
import { type Level, openClassicLevel } from '../../store/disk/level.js'
import { pages } from '../../store/disk/pages.js'
import { salvageLogFile } from '../../store/files/log-format.js'
import { type DatabaseFiles, readManifest } from '../../store/files/manifest.js'
import { salvageTable, type Version } from '../../store/files/salvage-table.js'
import { versionsIn } from '../../store/files/write-batch.js'

/** A part of a file that was lost. */
export interface LostPart {
  /** Name of the file. */
  readonly file: string
  readonly part: string
  /** True if newer values may be lost with it. */
  readonly mayHideNewer: boolean
}

/** Folders of a salvage. */
export interface SalvageFolders {
  /** Folders with files of the database. A file of an earlier folder has precedence over one of the same name. */
  readonly from: readonly string[]
  readonly scratch: string
  readonly to: string
}

const OPERATIONS_PER_BATCH = 1_000
const BYTES_PER_BATCH = 1024 * 1024
const SEQUENCE_DIGITS = 14

/**
 * Makes a database of the newest whole version of each key.
 * @param onProgress called with the number of versions that were read or written
 */
export async function salvage(
  { from, scratch, to }: SalvageFolders,
  onProgress: (records: number) => void,
): Promise<LostPart[]> {
  const lost: LostPart[] = []
  await mkdir(scratch, { mode: DIRECTORY_MODE })
  await mkdir(to, { mode: DIRECTORY_MODE })
  const versions = await openClassicLevel(scratch, { create: true })
  const target = await openClassicLevel(to, { create: true })
  try {
    const read = new Writer(versions, false, onProgress)
    for (const file of await filesOf(from, lost)) {
      for (const version of await versionsOf(file, lost)) await read.put(operationOf(version))
    }
    await read.end()
    const written = new Writer(target, true, onProgress)
    let before: string | undefined
    for await (const page of pages(versions, { gte: '', lt: '\uffff' })) {
      for (const [versionKey, text] of page) {
        const key = versionKey.slice(0, versionKey.length - SEQUENCE_DIGITS - 1)
        // The newest version of a key is the first.
        if (key === before) continue
        before = key
        if (text !== '') await written.put({ key, value: text.slice(1) })
      }
    }
    await written.end()
  } finally {
    await versions.close()
    await target.close()
  }
  await rm(scratch, { recursive: true, force: true })
  return lost
}

/** An entry of the scratch database: the newest version of a key sorts first. Keys of a store have no character 0. */
function operationOf({ key, sequence, value }: Version): Operation {
  const order = (Number.MAX_SAFE_INTEGER - sequence).toString(16).padStart(SEQUENCE_DIGITS, '0')
  return { key: `${key}\u0000${order}`, value: value === undefined ? '' : `=${value}` }
}

/** Writes operations in batches. */
class Writer {
  #batch: Operation[] = []
  #bytes = 0
  #count = 0

  constructor(
    private readonly level: Level,
    private readonly sync: boolean,
    private readonly onProgress: (records: number) => void,
  ) {}

  async put(operation: Operation): Promise<void> {
    this.#batch.push(operation)
    this.#bytes += operation.value?.length ?? 0
    if (this.#batch.length >= OPERATIONS_PER_BATCH || this.#bytes >= BYTES_PER_BATCH) await this.end()
  }

  async end(): Promise<void> {
    if (this.#batch.length > 0) await writeBatch(this.level, this.#batch, this.sync)
    this.#count += this.#batch.length
    this.#batch = []
    this.#bytes = 0
    this.onProgress(this.#count)
  }
}

interface DatabaseFile {
  readonly name: string
  readonly path: string
}

/** The tables and logs that count (salvage-2). Notes those that are missing. */
async function filesOf(folders: readonly string[], lost: LostPart[]): Promise<DatabaseFile[]> {
  const found = new Map<string, string>()
  for (const folder of folders) {
    for (const name of await readdir(folder)) if (!found.has(name)) found.set(name, join(folder, name))
  }
  const manifest = await trustedManifest(found, lost)
  const files: DatabaseFile[] = []
  for (const [name, path] of [...found].sort()) {
    const number = Number.parseInt(name, 10)
    const isTable = /^\d+\.(ldb|sst)$/.test(name)
    const isLog = /^\d+\.log$/.test(name)
    if (isTable && (!manifest || manifest.tables.has(number))) files.push({ name, path })
    if (isLog && (!manifest || number >= manifest.firstLog)) files.push({ name, path })
  }
  for (const number of manifest?.tables.keys() ?? []) {
    const base = String(number).padStart(6, '0')
    if (!found.has(`${base}.ldb`) && !found.has(`${base}.sst`))
      lost.push({ file: `${base}.ldb`, part: 'the file is missing', mayHideNewer: true })
  }
  return files
}

/** The newest MANIFEST, if it is whole and no table is newer than it. Notes its damage. */
async function trustedManifest(
  found: ReadonlyMap<string, string>,
  lost: LostPart[],
): Promise<DatabaseFiles | undefined> {
  const [name] = [...found.keys()]
    .filter((each) => /^MANIFEST-\d+$/.test(each))
    .sort()
    .reverse()
  const bytes = name === undefined ? undefined : await readIfReadable(found.get(name) as string)
  if (name === undefined || !bytes) {
    lost.push({
      file: 'MANIFEST',
      part: 'it is missing; every table and log of the folder was read',
      mayHideNewer: false,
    })
    return undefined
  }
  const manifest = readManifest(bytes)
  const isOld = [...found.keys()].some(
    (each) => /\.(ldb|sst)$/.test(each) && Number.parseInt(each, 10) >= manifest.nextFile,
  )
  if (manifest.damage === undefined && manifest.nextFile > 0 && !isOld) return manifest
  const damage = manifest.damage ?? 'a table is newer than it'
  lost.push({ file: name, part: `${damage}; every table and log of the folder was read`, mayHideNewer: false })
  return undefined
}

async function versionsOf({ name, path }: DatabaseFile, lost: LostPart[]): Promise<Version[]> {
  const bytes = await readIfReadable(path)
  if (!bytes) {
    lost.push({ file: name, part: 'the file cannot be read', mayHideNewer: true })
    return []
  }
  if (!name.endsWith('.log')) {
    const table = salvageTable(bytes)
    for (const part of table.lost) lost.push({ file: name, part, mayHideNewer: true })
    return [...table.versions]
  }
  const log = salvageLogFile(bytes)
  let unreadable = log.lost
  const versions = log.payloads.flatMap((payload) => {
    try {
      return versionsIn(payload)
    } catch {
      unreadable++
      return []
    }
  })
  if (unreadable > 0) lost.push({ file: name, part: `commits at ${unreadable} places`, mayHideNewer: true })
  return versions
}

/** Bytes of a file. `undefined` if it is missing, is no file, or the disk cannot read it. */
async function readIfReadable(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path)
  } catch (error) {
    if (isMissing(error) || hasCode(error, 'EIO', 'EISDIR')) return undefined
    throw error
  }
}
