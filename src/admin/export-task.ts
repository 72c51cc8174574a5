/**
 * `exportTask`: one task in one file, for another store or a bug report.
 *
 * - The task is read from a linked copy of the store, in a process of low priority. So it may run meanwhile, and every commit
 *   that was acknowledged before the call is in the file.
 * - A move parks the task first, and settles it once the file is whole under its name. So a kill at any point leaves the task
 *   parked or settled here, and parked in the file: it runs in neither store before a `resume`, and is never lost.
 */
import { rm } from 'node:fs/promises'
import { type Duration, durationMs } from '../base/duration.js'
import { HoldfastError } from '../base/errors.js'
import { checkFlag, checkFunctionsOf, checkOptionsOf, expected, InvalidArgument, type Names } from '../base/expected.js'
import { createIds } from '../base/ids.js'
import { isTaskId } from '../engine/checks/arguments.js'
import { taskNotFound } from '../engine/core/consistent-read.js'
import { engineOf } from '../engine/recovery/open-engines.js'
import { explain } from '../store/disk/damage.js'
import { FORMAT_VERSION } from '../store/disk/layout.js'
import type { BackupStream } from './backup-parts.js'
import { packageVersion } from './create-backup.js'
import type { JobEnd } from './job.js'
import type { ExportFooter, ExportHeader } from './portable/format.js'
import { openAtRest, type PortableStore, storeOfEngine } from './portable/hosts.js'
import { endMove, prepareMove } from './portable/move.js'
import { runInto } from './run-job.js'
import { checkSignal } from './verify.js'
import { assertFreeName, exportFailed, wholeFile } from './whole-file.js'

const STREAMED_GRACE_MS = 10_000

/** The options of `exportTask`. */
export interface ExportOptions {
  /** ID of the task. */
  readonly taskId: string
  /** Directory of a store that no process has open. Either `dir` or `holdfast` is given. */
  readonly dir?: string | undefined
  /** The open `Holdfast` that has the task. */
  readonly holdfast?: object | undefined
  /** File to write. It must not exist. Either `file` or `stream` is given. */
  readonly file?: string | undefined
  /** Receives the export. It is ended after the last byte, and destroyed if the export fails. Not with `move`. */
  readonly stream?: BackupStream | undefined
  /**
   * True to move the task to another store: once the file is whole, the task settles here as cancelled, with the reason
   * `moved`. No `onCancel` and no undo runs.
   * @default false
   */
  readonly move?: boolean | undefined
  /**
   * With `move`, the time for which calls that run may end, and be recorded.
   * @default '10s'
   */
  readonly grace?: Duration | undefined
  /**
   * True to leave out inputs, results, states, messages, texts of errors, owners and idempotency keys, for a bug report. Such a
   * file cannot be imported.
   * @default false
   */
  readonly redact?: boolean | undefined
  /**
   * Actor in the audit of a task that is moved.
   * @default 'admin'
   */
  readonly actor?: string | undefined
  /** Signal that ends the export. The call then rejects with its reason. */
  readonly signal?: AbortSignal | undefined
}

const EXPORT_OPTIONS: Names<ExportOptions> = {
  taskId: true,
  dir: true,
  holdfast: true,
  file: true,
  stream: true,
  move: true,
  grace: true,
  redact: true,
  actor: true,
  signal: true,
}

/** An export that was made. */
export interface ExportReport extends ExportHeader, ExportFooter {}

/**
 * Exports a task with its log, checkpoints, messages and audit.
 * @throws HoldfastError `TASK_NOT_FOUND`; `RECORD_DAMAGED` for a task with damage; `EXPORT_FAILED` if the file exists or cannot
 *   be written; with `move` also `TASK_SETTLED`, `TASK_NOT_PORTABLE`, `TASK_IN_USE`; those of an open. No file is left then.
 * @throws TypeError for options of the wrong type
 */
export async function exportTask(options: ExportOptions): Promise<ExportReport> {
  checkOptionsOf('exportTask', options, EXPORT_OPTIONS)
  const { taskId, file, stream, signal, move = false, redact = false, grace = '10s', actor = 'admin' } = options
  checkFlag('move', move)
  checkFlag('redact', redact)
  const graceMs = durationMs(grace, 'grace', { zero: true })
  if (typeof taskId !== 'string') throw expected('taskId', 'a string', taskId)
  if ((file === undefined) === (stream === undefined)) {
    throw new InvalidArgument('Expected the options of `exportTask` to have either `file` or `stream`')
  }
  if (move && (redact || file === undefined)) {
    throw new InvalidArgument(
      'Expected `move` with a `file` and without `redact`: the file is all that is left of the task',
    )
  }
  if (stream !== undefined) checkFunctionsOf('stream', stream, ['write', 'end', 'destroy'])
  else if (typeof file !== 'string' || file === '') throw expected('file', 'a non-empty path', file)
  if (!isTaskId(taskId)) throw taskNotFound(taskId)
  checkSignal(signal)
  const make = (partial: string | undefined) =>
    withStore('exportTask', options, (host) => writeExport(host, taskId, { partial, stream, move, redact, signal }))
  if (stream === undefined && !move) return wholeFile(file as string, make, exportFailed)
  if (move) return withStore('exportTask', options, (host) => moveInto(host, taskId, file as string))
  try {
    return await make(undefined)
  } catch (error) {
    stream?.destroy()
    throw error
  }

  async function moveInto(host: PortableStore, taskId: string, file: string): Promise<ExportReport> {
    assertFreeName(file, exportFailed)
    await prepareMove(host, taskId, graceMs)
    const write = (partial: string) => writeExport(host, taskId, { partial, stream, move, redact, signal })
    const report = await wholeFile(file, write, exportFailed)
    try {
      await endMove(host, taskId, report.commits, actor)
    } catch (error) {
      // The file is of an earlier state of the task. After an unknown write, it may be all that is left.
      const mayBeMoved = error instanceof HoldfastError && error.mayBeWritten
      if (!mayBeMoved) await rm(file, { force: true }).catch(() => {})
      throw error
    }
    return report
  }
}

/** A task for a client of a server. */
interface StreamedTask extends Pick<ExportOptions, 'taskId' | 'redact' | 'move' | 'signal'> {
  readonly stream: BackupStream
}

/**
 * Exports a task of an open `Holdfast` for a client. A task that is moved is parked; `endMove` settles it once the client has
 * the whole file.
 */
export async function streamTask(
  holdfast: object,
  { taskId, redact = false, move = false, stream, signal }: StreamedTask,
): Promise<ExportReport> {
  if (move && redact)
    throw new HoldfastError('INVALID_REQUEST', 'A redacted file cannot be imported, so a move has none')
  if (!isTaskId(taskId)) throw taskNotFound(taskId)
  const host = storeOfEngine(engineOf(holdfast))
  if (move) await prepareMove(host, taskId, STREAMED_GRACE_MS)
  return writeExport(host, taskId, { partial: undefined, stream, move, redact, signal })
}

/** Runs `act` with the store that `dir` or `holdfast` names. */
export async function withStore<T>(
  call: string,
  { dir, holdfast }: Pick<ExportOptions, 'dir' | 'holdfast'>,
  act: (host: PortableStore) => Promise<T>,
): Promise<T> {
  if ((dir === undefined) === (holdfast === undefined)) {
    throw new InvalidArgument(`Expected the options of \`${call}\` to have either \`dir\` or \`holdfast\``)
  }
  if (holdfast !== undefined) return act(storeOfEngine(engineOf(holdfast)))
  if (typeof dir !== 'string' || dir === '') throw expected('dir', 'a non-empty path', dir)
  const host = await openAtRest(dir)
  try {
    return await act(host)
  } finally {
    await host.close()
  }
}

interface Output extends Pick<ExportOptions, 'stream' | 'signal'> {
  /** File to write, which gets its name at the end; `undefined` for a stream. */
  readonly partial: string | undefined
  readonly move: boolean
  readonly redact: boolean
}

/** Writes the export of a task, which a move has parked. */
export async function writeExport(
  { store, now }: PortableStore,
  taskId: string,
  { partial, stream, move, redact, signal }: Output,
): Promise<ExportReport> {
  const copy = await store.linkedCopy(createIds().seed()).catch((error: unknown) => {
    if (error instanceof HoldfastError || error instanceof TypeError) throw error
    throw exportFailed(`the files of the store could not be copied: ${explain(error)}`, error)
  })
  try {
    const { path: databaseDir, storeId, anchored } = copy
    const about = {
      format: FORMAT_VERSION,
      version: packageVersion(),
      storeId,
      exportedAt: now(),
      move,
      redacted: redact,
    }
    const job = { databaseDir, storeId, anchored, task: { taskId, about, file: partial ?? null } }
    const isWhole = (end: JobEnd) => end.kind === 'done' && end.exported !== undefined
    const end = await runInto(job, stream, { signal }, { isWhole, failed: exportFailed })
    if (end.kind !== 'done' || !end.exported) throw failureOf(end)
    const { header, ...footer } = end.exported
    return { ...header, ...footer }
  } finally {
    await copy.remove()
  }
}

function failureOf(end: JobEnd): HoldfastError {
  if (end.kind === 'crashed') return exportFailed(`LevelDB ended the process that read the store (${end.how})`)
  if (end.kind !== 'failed') return exportFailed('the process that reads the store wrote nothing')
  const { code, message } = end
  if (code === 'TASK_NOT_FOUND' || code === 'RECORD_DAMAGED') return new HoldfastError(code, message)
  return exportFailed(message)
}
