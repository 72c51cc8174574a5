/** Starts and ends the process of an isolated step, and redirects its output. */
import { type ChildProcess, spawn } from 'node:child_process'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import type { TaskError } from '../../../task/log/outcome.js'

const RUNNER = fileURLToPath(new URL('./runner.mjs', import.meta.url))
const HAS_GROUPS = process.platform !== 'win32'

/** A message of the process. `runner.mjs` sends it. */
export type RunnerMessage =
  | { readonly kind: 'begun'; readonly cpuMs: number }
  | { readonly kind: 'result'; readonly text?: string | undefined }
  | { readonly kind: 'error'; readonly error: TaskError }

/** A process, and its output pipes. */
export interface Child {
  readonly process: ChildProcess
  readonly errors: Readable
  readonly reports: Readable
}

/** Starts a process as the leader of a group, so that the processes it starts can be ended with it. */
export function startChild(memoryMb: number): Child {
  const child = spawn(process.execPath, [...childArguments(process.execArgv, memoryMb), RUNNER], {
    // The standard output of the child goes to the standard error of this process. The standard output of this process
    // belongs to the protocol of a stdio server.
    stdio: ['ignore', 2, 'pipe', 'pipe', 'ipc'],
    detached: HAS_GROUPS,
    windowsHide: true,
  })
  const [, , errors, reports] = child.stdio as unknown as [null, null, Readable, Readable]
  // A process that could not be started has pipes too, and they may emit errors.
  for (const pipe of [errors, reports]) pipe?.on('error', () => {})
  return { process: child, errors, reports }
}

/** Sends a message to the process. If the process has ended, the message is dropped. */
export function sendMessage(child: ChildProcess, message: object): void {
  if (child.connected) child.send(message, () => {})
}

/** Ends the process and its group. With `hasEnded`, only the rest of the group. */
export function killGroup(child: ChildProcess, hasEnded = false): void {
  if (child.pid === undefined) return
  try {
    if (HAS_GROUPS) process.kill(-child.pid, 'SIGKILL')
    else if (!hasEnded) child.kill('SIGKILL')
  } catch {
    // The signal could not be sent, because the group has no processes left.
  }
}

/** Forwards the standard error of the child in pieces. Without this, a large output would fill the memory. */
export function forwardErrors(errors: Readable, seen: (text: string) => void): void {
  errors.on('data', (piece: Buffer) => {
    seen(piece.toString('latin1'))
    errors.pause()
    process.stderr.write(piece, () => errors.resume())
  })
}

/** The message as a `RunnerMessage`, if `runner.mjs` sent it. */
export function runnerMessageOf(message: unknown): RunnerMessage | undefined {
  const { kind } = (typeof message === 'object' && message !== null ? message : {}) as { kind?: unknown }
  return kind === 'begun' || kind === 'result' || kind === 'error' ? (message as RunnerMessage) : undefined
}

// Options of Node that name another program, or would make the child debug, watch or test like its parent.
const NOT_FOR_CHILDREN =
  /^(-[epci]|-pe|--(eval|print|check|interactive|input-type|inspect|debug|watch|test|cpu-prof|heap-prof|max-old-space-size|stack-trace-limit).*)$/

/**
 * Arguments of Node for a child with a memory limit: those of this process, without the ones that do not fit a child.
 */
export function childArguments(own: readonly string[], memoryMb: number): string[] {
  let isKept = true
  const kept = own.filter((argument) => {
    // The value of an option may be the next argument. It is dropped with its option. A value never begins with a dash.
    if (argument.startsWith('-')) isKept = !NOT_FOR_CHILDREN.test(nameOf(argument))
    return isKept
  })
  // Sets the limit of the JavaScript heap. Without this, a high `memoryMb` has no effect, and a low one does not
  // trigger garbage collection.
  return [...kept, `--max-old-space-size=${memoryMb}`]
}

/** Name of an option as Node reads it: an underscore is a dash. */
function nameOf(argument: string): string {
  return argument.replace(/=.*/s, '').replaceAll('_', '-')
}
