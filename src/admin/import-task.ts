/** `importTask`: writes a task that was exported into another store, or into the same one after its deletion there. */
import { createReadStream } from 'node:fs'
import { checkCount, checkOptionsOf, expected, InvalidArgument, type Names } from '../base/expected.js'
import { explain } from '../store/disk/damage.js'
import { hasCode, isMissing } from '../store/disk/files.js'
import { withStore } from './export-task.js'
import { invalidExport, readExport } from './portable/format.js'
import { type ImportReport, importTaskInto } from './portable/import-records.js'

const BYTES_MAX = 1024 * 1024 * 1024

/** The options of `importTask`. */
export interface ImportOptions {
  /** Directory of a store that no process has open. Either `dir` or `holdfast` is given. */
  readonly dir?: string | undefined
  /** The open `Holdfast` that is to have the task. */
  readonly holdfast?: object | undefined
  /** File of an exported task. Either `file` or `stream` is given. */
  readonly file?: string | undefined
  /** The bytes of an exported task. */
  readonly stream?: AsyncIterable<Uint8Array> | undefined
  /**
   * Largest size of the file, in bytes.
   * @default 1,073,741,824
   */
  readonly bytesMax?: number | undefined
  /**
   * Actor in the audit.
   * @default 'admin'
   */
  readonly actor?: string | undefined
}

const IMPORT_OPTIONS: Names<ImportOptions> = {
  dir: true,
  holdfast: true,
  file: true,
  stream: true,
  bytesMax: true,
  actor: true,
}

/**
 * Imports a task. An unfinished one is parked as `EXPORTED`, and runs after `resume` only.
 * @throws HoldfastError `EXPORT_INVALID` for a file that is no whole export, is redacted, or of a newer version;
 *   `TASK_EXISTS`; `IDEMPOTENCY_CONFLICT` if another task has its key; `TASK_NOT_PORTABLE` for a task that waits for children;
 *   `LIMIT_EXCEEDED`; `STORE_UNAVAILABLE`; those of an open. No task is imported then, unless `mayBeWritten` is true.
 * @throws TypeError for options of the wrong type
 */
export async function importTask(options: ImportOptions): Promise<ImportReport> {
  checkOptionsOf('importTask', options, IMPORT_OPTIONS)
  const { file, stream, bytesMax = BYTES_MAX, actor = 'admin' } = options
  checkCount('bytesMax', bytesMax)
  if ((file === undefined) === (stream === undefined)) {
    throw new InvalidArgument('Expected the options of `importTask` to have either `file` or `stream`')
  }
  if (stream === undefined && (typeof file !== 'string' || file === ''))
    throw expected('file', 'a non-empty path', file)
  const chunks = stream ?? chunksOf(file as string)
  return withStore('importTask', options, (host) => importTaskInto(host, readExport(chunks, bytesMax), actor))
}

async function* chunksOf(file: string): AsyncGenerator<Uint8Array> {
  try {
    yield* createReadStream(file, { highWaterMark: 256 * 1024 })
  } catch (error) {
    const reason = isMissing(error)
      ? 'there is no such file'
      : hasCode(error, 'EISDIR')
        ? 'it is a folder'
        : explain(error)
    throw invalidExport(reason, 'Name a file that can be read.')
  }
}
