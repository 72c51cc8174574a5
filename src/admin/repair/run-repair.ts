/** The part of a repair that runs in a worker process, because LevelDB may abort it: makes and repairs the new database. */
import { open } from 'node:fs/promises'
import { openCopy } from '../../store/copies/open-copy.js'
import { FILE_MODE, fsyncDirectory } from '../../store/disk/files.js'
import { checkFiles } from '../../store/files/check-files.js'
import { verifyDatabase } from '../verify/verify-database.js'
import type { RepairedDatabase } from './changes.js'
import { LostFound } from './lost-found.js'
import { type RepairSettings, repairDatabase } from './repair-database.js'
import { type LostPart, type SalvageFolders, salvage } from './salvage.js'

/** Repair of the database in the folder of a job. */
export interface RepairJob extends Omit<RepairSettings, 'lostParts'> {
  /** Set if the database is made of the files of a damaged one first. Its target is the folder of the job. */
  readonly salvage?: Omit<SalvageFolders, 'to'> | undefined
  /** File for the records that leave the store. It must not exist. */
  readonly lostFoundFile: string
}

/** Runs the repair. @throws Error if the database is not sound after it; a system error */
export async function runRepair(
  databaseDir: string,
  { salvage: folders, lostFoundFile, ...settings }: RepairJob,
  progress: (phase: 'salvage' | 'repair') => (records: number) => void,
): Promise<RepairedDatabase> {
  let lostParts: LostPart[] = []
  if (folders) lostParts = await salvage({ ...folders, to: databaseDir }, progress('salvage'))
  const file = await open(lostFoundFile, 'wx', FILE_MODE)
  let repaired: RepairedDatabase
  try {
    const level = await openCopy(databaseDir)
    try {
      repaired = await repairDatabase(level, new LostFound(file), { ...settings, lostParts }, progress('repair'))
    } finally {
      await level.close()
    }
  } finally {
    await file.close()
  }
  await assertSound(databaseDir, settings.identity.storeId, repaired.commit)
  await fsyncDirectory(databaseDir)
  return repaired
}

/** Verifies the new database from its files on. LevelDB reads them again for that. @throws Error */
async function assertSound(databaseDir: string, storeId: string, commit: number): Promise<void> {
  const find = (_: unknown, key: string, message: string) => {
    throw new Error(`the repaired copy is not sound: ${key}: ${message}`)
  }
  for (const { name, damage } of await checkFiles(databaseDir, () => {})) find('', name, damage)
  const level = await openCopy(databaseDir)
  try {
    await verifyDatabase(level, { storeId, anchored: commit }, { find })
  } finally {
    await level.close()
  }
}
