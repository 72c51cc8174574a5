/**
 * Runs a function of a module in a process of its own, watches what it uses, and ends it when it must end. It is called
 * by a step as that step's function, so retries, timeouts, the log and recovery are those of any step.
 *
 * - The process is watched from its start until its last word. It leads a process group (not on Windows, which has
 *     none). Past a limit the group is killed. A process that it started detached has left the group, and continues.
 * - The promise settles with the function's word, or once the process has ended: whoever waits for the function to be
 *     over (a retry, an undo) does not begin beside it.
 * - Nothing that it writes reaches this process's standard output, which belongs to the protocol of a stdio server.
 * - Its word is read once; whatever else it may send is ignored.
 */
import { fromJson, type JsonValue } from '../../../base/json.js'
import { reviveError } from '../../../task/log/outcome.js'
import { killGroup, passOn, startChild, tell, wordOf } from './process.js'
import { groupMeasure } from './process-usage.js'
import { BYTES_PER_MIB, Watch, type Watched } from './watch.js'

/** What is to be run. */
export interface IsolatedCall extends Watched {
  readonly moduleUrl: string
  readonly exportName: string
  readonly argsText: string | undefined
  readonly idempotencyKey: string
  readonly attempt: number
  readonly resultBytesMax: number
}

// For a function that heeds its signal, and for a process that has said its last word.
const END_WITHIN_MS = 500
// What a process said is read within this time of its end; something that escaped may hold its pipes open for ever.
const READ_WITHIN_MS = 250

/**
 * What the function returned, as JSON makes it.
 * @throws what the function threw; HoldfastError `RESOURCE_EXCEEDED`; what `signal` was aborted with
 */
export function runIsolated(
  call: IsolatedCall,
  signal: AbortSignal,
  measureOf: typeof groupMeasure = groupMeasure,
): Promise<JsonValue | undefined> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted()
    const child = startChild(call.limits.memoryMb)
    const { process } = child
    let refusal: unknown
    let killing: NodeJS.Timeout | undefined
    let reading: NodeJS.Timeout | undefined

    const watch = new Watch(child, call, measureOf, (error) => {
      refusal ??= error
      killGroup(process)
    })
    const killSoon = () => {
      killing ??= setTimeout(() => killGroup(process), END_WITHIN_MS)
    }
    const abort = () => {
      refusal ??= signal.reason
      tell(process, { kind: 'abort' })
      killSoon()
    }
    signal.addEventListener('abort', abort, { once: true })
    /** Nothing more is waited for. Settling twice changes nothing. */
    const over = () => {
      watch.stop()
      clearTimeout(reading)
      signal.removeEventListener('abort', abort)
    }
    const endedWith = (code: number | null, killedBy: NodeJS.Signals | null) => {
      over()
      reject(refusal ?? watch.fateOf(code, killedBy))
    }

    passOn(child.errors, (text) => watch.read(text))
    process.on('message', (message) => {
      const word = wordOf(message)
      if (!word) return
      if (word.kind === 'begun') return watch.begin(word.cpuMs)
      over()
      if (word.kind === 'result') resolve(fromJson(word.text))
      else reject(reviveError(word.error))
      // It ends by itself, unless something in it keeps it from that.
      if (process.exitCode === null && process.signalCode === null) killSoon()
    })
    process.on('exit', (code, killedBy) => {
      clearTimeout(killing)
      killGroup(process, true)
      reading = setTimeout(() => endedWith(code, killedBy), READ_WITHIN_MS)
    })
    process.on('close', endedWith)
    process.on('error', (error) => {
      // It could not be started. (What it could not be told, its end will say.)
      if (process.pid !== undefined) return
      over()
      reject(error)
    })
    const { step, moduleUrl, exportName, argsText = '', idempotencyKey, attempt, resultBytesMax: bytesMax } = call
    const what = `The result of step '${step}'`
    const { memoryMb, cpuMs } = call.limits
    const allowed = { memoryBytes: memoryMb * BYTES_PER_MIB, cpuMs }
    const request = { moduleUrl, exportName, argsText, idempotencyKey, attempt, what, bytesMax, ...allowed }
    tell(process, { kind: 'run', request })
  })
}
