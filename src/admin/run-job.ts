/** Runs a job in a worker process. */
import { spawn } from 'node:child_process'
import { createRequire } from 'node:module'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import type { FoundSoFar, Job, JobEnd, JobMessage, JobProgress } from './job.js'

// From source, as the tests of this repository run, the worker is TypeScript.
const IS_SOURCE = import.meta.url.endsWith('.ts')
const WORKER = fileURLToPath(new URL(IS_SOURCE ? './worker.ts' : './worker.js', import.meta.url))
const LOADER = IS_SOURCE ? ['--import', createRequire(import.meta.url).resolve('tsx')] : []
const STDERR_CHARS_MAX = 2_000

/**
 * Runs a job. Never rejects.
 * @param onStream receives the backup, if it is streamed
 */
export function runJob(
  job: Job,
  { onProgress, onStream }: { onProgress?: (progress: JobProgress) => void; onStream?: (backup: Readable) => void },
): Promise<JobEnd> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [...LOADER, WORKER, JSON.stringify(job)], {
      // Inside Electron, the executable is a Node only with this variable.
      env: { ...process.env, ELECTRON_RUN_AS_NODE: '1' },
      stdio: ['ignore', 'ignore', 'pipe', 'pipe', onStream ? 'pipe' : 'ignore'],
      windowsHide: true,
    })
    let said = ''
    let rest = ''
    let found: FoundSoFar = { findings: [], findingCounts: {} }
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
    child.on('error', (error) => resolve({ kind: 'failed', message: error.message }))
    child.on('close', (code, signal) => {
      const how = /Assertion .*/.exec(said)?.[0] ?? said.trim().split('\n').at(-1) ?? ''
      resolve(end ?? { kind: 'crashed', how: `${signal ?? `exit code ${code}`}: ${how}`, ...found })
    })
  })
}
