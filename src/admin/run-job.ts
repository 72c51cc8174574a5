/** Runs a job in a worker process, and puts its bytes into a file or a stream. */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import type { Readable, Writable } from 'node:stream'
import { finished, pipeline } from 'node:stream/promises'
import { fileURLToPath } from 'node:url'
import { checkFunctionsOf, expected } from '../base/expected.js'
import { explain } from '../store/disk/damage.js'
import type { BackupStream } from './backup-parts.js'
import type { FoundSoFar, Job, JobEnd, JobMessage, JobProgress } from './job.js'
import { type Failed, wholeFile } from './whole-file.js'

// From source, as the tests of this repository run, the worker is TypeScript. In the package, it is a file of dist itself,
// and this code is in an entry in a folder of dist, or in a file that entries share.
const IS_SOURCE = import.meta.url.endsWith('.ts')
const LOADER = IS_SOURCE ? ['--import', createRequire(import.meta.url).resolve('tsx')] : []

function workerPath(): string {
  const places = IS_SOURCE ? ['./worker.ts'] : ['./admin-worker.js', '../admin-worker.js']
  const paths = places.map((place) => fileURLToPath(new URL(place, import.meta.url)))
  return paths.find((path) => existsSync(path)) ?? (paths[0] as string)
}

const STDERR_CHARS_MAX = 2_000

/** Options of `runJob`. */
export interface RunJobOptions {
  readonly onProgress?: ((progress: JobProgress) => void) | undefined
  /** Receives the backup, if it is streamed. */
  readonly onStream?: ((backup: Readable) => void) | undefined
  /** Ends the process when it aborts. */
  readonly signal?: AbortSignal | undefined
}

/**
 * Runs a job. The process has ended when this settles.
 * @throws the reason of `signal`, once it has aborted; nothing else
 */
export async function runJob(job: Job, options: RunJobOptions = {}): Promise<JobEnd> {
  const { signal } = options
  signal?.throwIfAborted()
  const end = await startJob(job, options)
  signal?.throwIfAborted()
  return end
}

function startJob(job: Job, { onProgress, onStream, signal }: RunJobOptions): Promise<JobEnd> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [...LOADER, workerPath(), JSON.stringify(job)], {
      // Inside Electron, the executable is a Node only with this variable.
      env: { ...process.env, ELECTRON_RUN_AS_NODE: '1' },
      stdio: ['ignore', 'ignore', 'pipe', 'pipe', onStream ? 'pipe' : 'ignore'],
      windowsHide: true,
    })
    let said = ''
    let rest = ''
    let found: FoundSoFar | undefined
    let end: JobEnd | undefined
    const receive = (message: JobMessage) => {
      if (message.kind === 'progress') onProgress?.({ phase: message.phase, done: message.done })
      else if (message.kind === 'files-checked') found = message
      else end = message
    }
    const [, , errors, messages, backup] = child.stdio as unknown as (Readable | null)[]
    errors?.on('data', (text: Buffer) => {
      said = (said + String(text)).slice(-STDERR_CHARS_MAX)
    })
    messages?.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) receive(JSON.parse(line) as JobMessage)
    })
    if (backup) onStream?.(backup)
    const kill = () => void child.kill('SIGKILL')
    signal?.addEventListener('abort', kill, { once: true })
    child.on('error', (error) => resolve({ kind: 'failed', message: error.message }))
    child.on('close', (code, killedBy) => {
      signal?.removeEventListener('abort', kill)
      const text = /Assertion .*|^\w*Error\b.*$/m.exec(said)?.[0] ?? said.trim().split('\n').at(-1) ?? ''
      const how = `${killedBy ?? `exit code ${code}`}: ${text}`
      // Before LevelDB opens the copy, nothing in the store can end the process.
      const crash = found && ({ kind: 'crashed', how, ...found } as const)
      resolve(end ?? crash ?? { kind: 'failed', message: `the process that reads the store ended with ${how}` })
    })
  })
}

/** Where the output of a job goes: either a file or a stream. */
export interface OutputOption {
  readonly file?: string | undefined
  readonly stream?: BackupStream | undefined
}

/**
 * Has `make` write a file, or into the stream. The stream is destroyed if it fails.
 * @param make gets the path to write, which gets its name at the end; `undefined` for a stream
 * @throws TypeError for options that name neither or both
 */
export async function intoOutput<T>(
  call: string,
  { file, stream }: OutputOption,
  make: (partial: string | undefined) => Promise<T>,
  failed: Failed,
): Promise<T> {
  if ((file === undefined) === (stream === undefined)) {
    throw new TypeError(`Expected the options of \`${call}\` to have either \`file\` or \`stream\``)
  }
  if (stream === undefined) {
    if (typeof file !== 'string' || file === '') throw expected('file', 'a non-empty path', file)
    return wholeFile(file, make, failed)
  }
  checkFunctionsOf('stream', stream, ['write', 'end', 'destroy'])
  try {
    return await make(undefined)
  } catch (error) {
    stream.destroy()
    throw error
  }
}

/**
 * Runs a job whose bytes go into `stream`, if there is one. The stream is ended once `isWhole` accepts the end of the job, so an
 * ended stream is a whole one.
 */
export async function runInto(
  job: Job,
  stream: BackupStream | undefined,
  options: Omit<RunJobOptions, 'onStream'>,
  { isWhole, failed }: { readonly isWhole: (end: JobEnd) => boolean; readonly failed: Failed },
): Promise<JobEnd> {
  if (!stream) return runJob(job, options)
  let streaming: Promise<void> = Promise.resolve()
  const onStream = (bytes: Readable) => {
    streaming = pipeline(bytes, stream as Writable, { end: false })
    streaming.catch(() => {}) // Awaited below, once the process has ended.
  }
  const end = await runJob(job, { ...options, onStream })
  const streamFailed = (error: unknown): never => {
    throw failed(`the stream failed: ${explain(error)}`, error)
  }
  await streaming.catch(streamFailed)
  if (isWhole(end)) await ended(stream as Writable).catch(streamFailed)
  return end
}

async function ended(stream: Writable): Promise<void> {
  const over = finished(stream, { readable: false })
  stream.end()
  await over
}
