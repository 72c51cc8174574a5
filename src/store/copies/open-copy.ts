/**
 * Opens a linked copy of a database with LevelDB. A linked copy is opened by this function only.
 *
 * open-copy-1. A table that the MANIFEST of the copy does not name may still be written by the process that has the original
 *   open. LevelDB gives the number of such a table to the next table of the copy, and truncates the file of that name, which is the
 *   file of the original. So these links are removed before LevelDB opens the copy. LevelDB writes no other file that has a
 *   link: a new table has a higher number than each table of the MANIFEST, and a new log than each log of the folder.
 */
import { readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { isMissing, readIfPresent } from '../disk/files.js'
import { type Level, openClassicLevel } from '../disk/level.js'
import { manifestNameIn, readManifest } from '../files/manifest.js'

/**
 * Opens the copy in `path`, to read or to change it. The original stays as it is.
 * @throws an error of LevelDB, such as for a MANIFEST that is missing or damaged; a system error
 */
export async function openCopy(path: string): Promise<Level> {
  await removeUnnamedTables(path)
  return openClassicLevel(path, { create: false })
}

async function removeUnnamedTables(path: string): Promise<void> {
  const named = await tablesOf(path)
  for (const name of await readdir(path)) {
    const number = /^(\d+)\.(?:ldb|sst)$/.exec(name)?.[1]
    if (number !== undefined && !named.has(Number(number))) await rm(join(path, name), { force: true })
  }
}

/** Numbers of the tables that the MANIFEST names; none if there is no MANIFEST. LevelDB opens no such database. */
async function tablesOf(path: string): Promise<ReadonlySet<number>> {
  const manifest = manifestNameIn(await readIfPresent(join(path, 'CURRENT')))
  if (manifest === undefined) return new Set()
  try {
    return new Set(readManifest(await readFile(join(path, manifest))).tables.keys())
  } catch (error) {
    if (isMissing(error)) return new Set()
    throw error
  }
}
