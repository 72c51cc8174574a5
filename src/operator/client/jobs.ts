/** The client's side of jobs: reads the frames of an answer, and writes the bytes into a stream. */
import type { Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { BackupStream } from '../../admin/backup-parts.js'
import { backupFailed, type Failed } from '../../admin/whole-file.js'
import { HoldfastError } from '../../base/errors.js'
import { explain } from '../../store/disk/damage.js'
import { readFrames } from '../contract/frames.js'
import { JOBS, type JobName, type JobReport, type JobRequest } from '../contract/jobs.js'
import { errorOfProblem } from '../contract/problem.js'
import type { OperatorJobOptions } from './job-options.js'
import type { OperatorConnection } from './requests.js'

interface StreamOptions {
  readonly stream?: BackupStream | undefined
  /** Creates the error of a stream that fails. */
  readonly failed?: Failed | undefined
}

/** Has the server do a job. @throws HoldfastError that the server threw, or `OPERATOR_UNAVAILABLE`; `BACKUP_FAILED` if the stream fails */
export async function callJob<Name extends JobName>(
  connection: OperatorConnection,
  name: Name,
  request: JobRequest<Name>,
  { onProgress, signal, stream, failed = backupFailed }: OperatorJobOptions & StreamOptions,
): Promise<JobReport<Name>> {
  const { path, changesStore } = JOBS[name]
  const sending = { method: 'POST', path, body: JSON.stringify(request), signal, onlyReads: !changesStore } as const
  let report: { readonly value: unknown } | undefined
  // Yields the bytes of the file. An end without a report is an error, so that the stream is not ended then.
  async function* bytes(): AsyncGenerator<Buffer> {
    const response = await connection.open(sending)
    try {
      for await (const frame of readFrames(response)) {
        if (Buffer.isBuffer(frame)) yield frame
        else if (frame.kind === 'progress') onProgress?.({ phase: frame.phase, done: frame.done, total: frame.total })
        else if (frame.kind === 'done') report = { value: frame.report }
        else if (frame.kind === 'failed') throw errorOfProblem(frame) ?? connection.lost(sending, undefined)
      }
    } catch (error) {
      signal?.throwIfAborted()
      throw error instanceof HoldfastError ? error : connection.lost(sending, error)
    } finally {
      response.destroy()
    }
    signal?.throwIfAborted()
    if (!report) throw connection.lost(sending, undefined)
  }
  if (stream) await write(bytes(), stream, signal, failed)
  else for await (const _ of bytes());
  return report?.value as JobReport<Name>
}

async function write(
  bytes: AsyncGenerator<Buffer>,
  stream: BackupStream,
  signal: AbortSignal | undefined,
  failed: Failed,
) {
  let failure: unknown
  const source = async function* () {
    try {
      yield* bytes
    } catch (error) {
      failure = error
      throw error
    }
  }
  try {
    await pipeline(source, stream as Writable)
  } catch (error) {
    if (failure !== undefined) throw failure
    signal?.throwIfAborted()
    throw failed(`the stream failed: ${explain(error)}`, error)
  }
}
