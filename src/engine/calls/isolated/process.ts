/** Starts and ends the process of an isolated step, and sees to where its output goes. */
import { type ChildProcess, spawn } from 'node:child_process'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import type { TaskError } from '../../../task/log/outcome.js'

const RUNNER = fileURLToPath(new URL('./runner.mjs', import.meta.url))
const HAS_GROUPS = process.platform !== 'win32'

/** What the process says; `runner.mjs` has the other side. */
export type Word =
  | { readonly kind: 'begun'; readonly cpuMs: number }
  | { readonly kind: 'result'; readonly text?: string | undefined }
  | { readonly kind: 'error'; readonly error: TaskError }

/** A process, and the pipes that come from it. */
export interface Child {
  readonly process: ChildProcess
  readonly errors: Readable
  readonly reports: Readable
}

/** Starts one. It leads a group, so that what it starts can be ended with it. */
export function startChild(memoryMb: number): Child {
  const child = spawn(process.execPath, [...childArguments(process.execArgv, memoryMb), RUNNER], {
    // Its standard output is this process's standard error: the first belongs to the protocol of a stdio server.
    stdio: ['ignore', 2, 'pipe', 'pipe', 'ipc'],
    detached: HAS_GROUPS,
    windowsHide: true,
  })
  const [, , errors, reports] = child.stdio as unknown as [null, null, Readable, Readable]
  // A process that could not be started has pipes all the same, and they may fail as well.
  for (const pipe of [errors, reports]) pipe?.on('error', () => {})
  return { process: child, errors, reports }
}

/** Tells the process something. One that has ended hears nothing, and its end says the rest. */
export function tell(child: ChildProcess, message: object): void {
  if (child.connected) child.send(message, () => {})
}

/** Ends the process and all it has started. Of one that has ended: what it left behind. */
export function killGroup(child: ChildProcess, hasEnded = false): void {
  if (child.pid === undefined) return
  try {
    if (HAS_GROUPS) process.kill(-child.pid, 'SIGKILL')
    else if (!hasEnded) child.kill('SIGKILL')
  } catch {
    // There is nobody left.
  }
}

/** Hands its standard error on, a piece at a time, so that a flood of it fills nobody's memory. */
export function passOn(errors: Readable, seen: (text: string) => void): void {
  errors.on('data', (piece: Buffer) => {
    seen(piece.toString('latin1'))
    errors.pause()
    process.stderr.write(piece, () => errors.resume())
  })
}

/** What a message says, if it is one of the runner's. */
export function wordOf(message: unknown): Word | undefined {
  const { kind } = (typeof message === 'object' && message !== null ? message : {}) as { kind?: unknown }
  return kind === 'begun' || kind === 'result' || kind === 'error' ? (message as Word) : undefined
}

// They name another program, or would make the child listen, watch or test as its parent does.
const NOT_FOR_CHILDREN =
  /^(-[epci]|-pe|--(eval|print|check|interactive|input-type|inspect|debug|watch|test|cpu-prof|heap-prof|max-old-space-size|stack-trace-limit).*)$/

/** The arguments of a child that may use so much memory. */
export function childArguments(own: readonly string[], memoryMb: number): string[] {
  let isKept = true
  const kept = own.filter((argument) => {
    // A value that is an argument of its own goes with its option; Node takes none that begins with a dash.
    if (argument.startsWith('-')) isKept = !NOT_FOR_CHILDREN.test(nameOf(argument))
    return isKept
  })
  // JavaScript's own part of the memory: without this a large limit would be of no use, and a small one be no reason to tidy up.
  return [...kept, `--max-old-space-size=${memoryMb}`]
}

/** The option's name, as Node understands it: an underscore is a dash. */
function nameOf(argument: string): string {
  return argument.replace(/=.*/s, '').replaceAll('_', '-')
}
