/** Checks the files of a database against the checksums in them, without LevelDB, which aborts at some damage. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isMissing } from '../disk/files.js'
import { readLogFile } from './log-format.js'
import { manifestNameIn, readManifest } from './manifest.js'
import { tableDamage } from './table.js'

/** Damage of one file. */
export interface DamagedFile {
  readonly name: string
  readonly kind: 'table' | 'log' | 'manifest'
  readonly damage: string
}

/**
 * Checks the MANIFEST, each table that it names, and each log that an open would read. The database must not be open.
 * @param onFile called with the bytes of each file that was read
 */
export async function checkFiles(databaseDir: string, onFile: (bytes: number) => void): Promise<DamagedFile[]> {
  const damaged: DamagedFile[] = []
  const current = await readFile(join(databaseDir, 'CURRENT'), 'utf8').catch((error: unknown) => {
    if (isMissing(error)) return undefined
    throw error
  })
  const manifest = manifestNameIn(current)
  if (manifest === undefined) {
    return [{ name: 'CURRENT', kind: 'manifest', damage: 'it is missing, or names no MANIFEST' }]
  }
  const read = async (name: string) => {
    const bytes = await readFile(join(databaseDir, name)).catch((error: unknown) => {
      if (isMissing(error)) return undefined
      throw error
    })
    onFile(bytes?.length ?? 0)
    return bytes
  }
  const manifestBytes = await read(manifest)
  if (!manifestBytes) return [{ name: manifest, kind: 'manifest', damage: 'it is missing' }]
  const { tables, firstLog, damage } = readManifest(manifestBytes)
  if (damage !== undefined) damaged.push({ name: manifest, kind: 'manifest', damage })
  for (const [number, size] of tables) {
    const base = String(number).padStart(6, '0')
    const name = `${base}.ldb`
    const bytes = (await read(name)) ?? (await read(`${base}.sst`))
    const found =
      bytes === undefined
        ? 'it is missing'
        : bytes.length === size
          ? tableDamage(bytes)
          : `it has ${bytes.length} bytes, and ${size} were written`
    if (found !== undefined) damaged.push({ name, kind: 'table', damage: found })
  }
  for (const name of (await readdir(databaseDir)).sort()) {
    const number = /^(\d+)\.log$/.exec(name)?.[1]
    if (number === undefined || Number(number) < firstLog) continue
    const bytes = await read(name)
    const found = bytes && readLogFile(bytes, false).damage
    if (found !== undefined) damaged.push({ name, kind: 'log', damage: found })
  }
  return damaged
}
