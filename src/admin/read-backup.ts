/** Reads a backup file, and verifies it. */
import { type FileHandle, open } from 'node:fs/promises'
import { checkFunction, checkOptionsOf, expected, type Names } from '../base/expected.js'
import { explain } from '../store/disk/damage.js'
import { hasCode, isMissing } from '../store/disk/files.js'
import { unseal } from '../store/integrity/envelope.js'
import { invalidBackup, readBackup } from './backup-format.js'
import type { BackupFooter, BackupHeader, BackupPart } from './backup-parts.js'

/** The options of `verifyBackup`. */
export interface VerifyBackupOptions {
  /** File of a backup. */
  readonly file: string
  /** Receives the number of records that were read, now and then. */
  readonly onProgress?: ((progress: { readonly records: number }) => void) | undefined
}

const VERIFY_BACKUP_OPTIONS: Names<VerifyBackupOptions> = { file: true, onProgress: true }

/** Header and footer of a whole backup. */
export interface BackupInfo extends BackupHeader, BackupFooter {
  /** Number of records whose own checksum does not fit. Only a backup that was made with `acceptDamage` has some. */
  readonly damagedRecords: number
}

/**
 * Reads a backup from its beginning to its end, and checks that it is what was written: each checksum, and the order and
 * the number of the records.
 * @throws HoldfastError `BACKUP_INVALID` with the reason
 * @throws TypeError for options of the wrong type
 */
export async function verifyBackup(options: VerifyBackupOptions): Promise<BackupInfo> {
  checkOptionsOf('verifyBackup', options, VERIFY_BACKUP_OPTIONS)
  const { file, onProgress } = options
  if (typeof file !== 'string' || file === '') throw expected('file', 'a non-empty path', file)
  if (onProgress !== undefined) checkFunction('onProgress', onProgress)
  let header: BackupHeader | undefined
  let damagedRecords = 0
  let records = 0
  for await (const part of partsOf(file)) {
    if (part.kind === 'header') header = part.header
    else if (part.kind === 'footer') return { ...(header as BackupHeader), ...part.footer, damagedRecords }
    else {
      for (const [key, text] of part.records) if (!isSealed(key, text)) damagedRecords++
      records += part.records.length
      onProgress?.({ records })
    }
  }
  throw invalidBackup(file, 'it has no end', 'Make the backup again.')
}

function isSealed(key: string, text: string): boolean {
  try {
    unseal(key, text)
    return true
  } catch {
    return false
  }
}

/** The parts of a backup file, checked. @throws HoldfastError `BACKUP_INVALID` */
export async function* partsOf(file: string): AsyncGenerator<BackupPart> {
  let handle: FileHandle
  try {
    handle = await open(file, 'r')
  } catch (error) {
    const reason = isMissing(error) ? 'there is no such file' : explain(error)
    throw invalidBackup(file, reason, 'Name a file that can be read.')
  }
  const read = async (length: number) => {
    const bytes = Buffer.alloc(length)
    let at = 0
    while (at < length) {
      const { bytesRead } = await handle.read(bytes, at, length - at)
      if (bytesRead === 0) break
      at += bytesRead
    }
    return bytes.subarray(0, at)
  }
  try {
    yield* readBackup(file, read)
  } catch (error) {
    if (hasCode(error, 'EISDIR')) throw invalidBackup(file, 'it is a folder', 'Name a file.')
    throw error
  } finally {
    await handle.close()
  }
}
