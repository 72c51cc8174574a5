/**
 * Runs a function of a module in a process of its own, measures its usage, and ends the process at its limits. A step
 * calls this as its function, so retries, timeouts, the log and recovery are those of any step.
 *
 * - The process is measured from its start until its last message. It leads a process group (except on Windows, which
 *     has none). Past a limit the group is killed. A process that it started detached has left the group, and
 *     continues.
 * - Nothing that it writes reaches this process's standard output, which belongs to the protocol of a stdio server.
 * - One message with a result or an error is read. Later messages are ignored.
 */
import { fromJson, type JsonValue } from '../../../base/json.js'
import { reviveError } from '../../../task/log/outcome.js'
import { forwardErrors, killGroup, runnerMessageOf, sendMessage, startChild } from './process.js'
import { groupMeasure } from './process-usage.js'
import { BYTES_PER_MIB, Watch, type Watched } from './watch.js'

/** The function to run, with its arguments and limits. */
export interface IsolatedCall extends Watched {
  readonly moduleUrl: string
  readonly exportName: string
  readonly argsText: string | undefined
  readonly idempotencyKey: string
  readonly attempt: number
  readonly resultBytesMax: number
}

// Time for a function to end after its signal is aborted, and for a process to end after its last message.
const END_WITHIN_MS = 500
// Time to read the last output after the end of a process. A detached process may keep its pipes open forever.
const READ_WITHIN_MS = 250

/**
 * Runs the function, and resolves with its result after a round trip through JSON.
 * @throws the error of the function, or the reason of `signal`
 * @throws HoldfastError `RESOURCE_EXCEEDED` if the process passed a limit
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
      sendMessage(process, { kind: 'abort' })
      killSoon()
    }
    signal.addEventListener('abort', abort, { once: true })
    /** Stops the watch and the timers. The promise may settle again without effect. */
    const over = () => {
      watch.stop()
      clearTimeout(reading)
      signal.removeEventListener('abort', abort)
    }
    const endedWith = (code: number | null, killedBy: NodeJS.Signals | null) => {
      over()
      reject(refusal ?? watch.errorOfEnd(code, killedBy))
    }

    forwardErrors(child.errors, (text) => watch.read(text))
    process.on('message', (message) => {
      const word = runnerMessageOf(message)
      if (!word) return
      if (word.kind === 'begun') return watch.begin(word.cpuMs)
      over()
      if (word.kind === 'result') resolve(fromJson(word.text))
      else reject(reviveError(word.error))
      // The process ends by itself, unless a handle of the function keeps it alive. Then it is killed.
      if (process.exitCode === null && process.signalCode === null) killSoon()
    })
    process.on('exit', (code, killedBy) => {
      clearTimeout(killing)
      killGroup(process, true)
      reading = setTimeout(() => endedWith(code, killedBy), READ_WITHIN_MS)
    })
    process.on('close', endedWith)
    process.on('error', (error) => {
      // The process could not be started. Other errors of the channel are followed by the end of the process.
      if (process.pid !== undefined) return
      over()
      reject(error)
    })
    const { step, moduleUrl, exportName, argsText = '', idempotencyKey, attempt, resultBytesMax: bytesMax } = call
    const what = `The result of step '${step}'`
    const { memoryMb, cpuMs } = call.limits
    const allowed = { memoryBytes: memoryMb * BYTES_PER_MIB, cpuMs }
    const request = { moduleUrl, exportName, argsText, idempotencyKey, attempt, what, bytesMax, ...allowed }
    sendMessage(process, { kind: 'run', request })
  })
}
