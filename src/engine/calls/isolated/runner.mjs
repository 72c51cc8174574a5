/**
 * The process of an isolated step: imports a module, calls one of its functions, and sends the result.
 *
 * - The process ends with its parent and at its limits. The end of the channel to the parent ends it. If the function
 *     keeps the main thread busy, or the parent is too busy to measure, the watchdog ends it.
 * - It sends one result as JSON text, or one error. A result that is too large is refused here, so that the memory of
 *     the parent does not depend on the function.
 * - The parent connects the standard output of the process to its own standard error.
 */
import { types } from 'node:util'
import { Worker } from 'node:worker_threads'

/**
 * @typedef {object} IsolatedRequest
 * @property {string} moduleUrl
 * @property {string} exportName
 * @property {string} argsText JSON text, or empty text for `undefined`
 * @property {string} idempotencyKey
 * @property {number} attempt
 * @property {string} what `the result of step 'x'`, for errors
 * @property {number} bytesMax of the result
 * @property {number} memoryBytes memory limit
 * @property {number} [cpuMs]
 */

/**
 * An error as text. The parent creates an `Error` from it.
 * @typedef {object} ErrorText
 * @property {string} name
 * @property {string} message
 * @property {string | number} [code]
 * @property {true} [ours] one of the library's codes
 * @property {string} [stack]
 * @property {number} [retryAfterMs]
 * @property {ErrorText} [cause]
 */

/**
 * @typedef {{ kind: 'begun', cpuMs: number } | { kind: 'result', text?: string } | { kind: 'error', error: ErrorText }} Report
 */

const WATCHDOG_FD = 3
const TEXT_CHARS_MAX = 8_192
// The same limit as in `task/log/outcome.ts`, which cuts longer words.
const WORD_BYTES_MAX = 200
const CAUSES_MAX = 8
const OPAQUE = [Map, Set, WeakMap, WeakSet, WeakRef, Promise, ArrayBuffer, RegExp, Error]

const send = process.send?.bind(process)
if (!send) throw new Error('Only `task.isolated` starts this file')
// Hides the channel. Without this, a message of the user's function could look like one of this file.
Object.defineProperty(process, 'send', { value: undefined })

const aborter = new AbortController()
let hasSent = false

/** @param {Report} report */
function sendLast(report) {
  if (hasSent) return
  hasSent = true
  send?.(report, undefined, undefined, () => process.exit(0))
}

process.on('disconnect', () => {
  try {
    process.kill(-process.pid, 'SIGKILL')
  } catch {
    process.kill(process.pid, 'SIGKILL')
  }
})
process.on('uncaughtException', (error) => sendLast({ kind: 'error', error: describe(error) }))
process.on('message', (/** @type {{ kind: 'run', request: IsolatedRequest } | { kind: 'abort' }} */ message) => {
  if (message.kind === 'run') void run(message.request)
  else aborter.abort(new DOMException('The step was aborted', 'AbortError'))
})

/** @param {IsolatedRequest} request */
async function run(request) {
  try {
    const { memoryBytes, cpuMs } = request
    const watchdog = new Worker(new URL('./watchdog.mjs', import.meta.url), {
      workerData: { fd: WATCHDOG_FD, memoryBytes, cpuMs },
    })
    // From here on the watchdog runs. No user code has run yet.
    await new Promise((resolve, reject) => watchdog.once('online', resolve).once('error', reject))
    const { user, system } = process.cpuUsage()
    send?.({ kind: 'begun', cpuMs: (user + system) / 1_000 })
    const fn = await load(request)
    const { idempotencyKey, attempt, argsText } = request
    const args = argsText === '' ? undefined : JSON.parse(argsText)
    const value = await fn(args, { idempotencyKey, attempt, signal: aborter.signal })
    sendLast({ kind: 'result', text: textOf(value, request) })
  } catch (error) {
    sendLast({ kind: 'error', error: describe(error) })
  }
}

/** @param {IsolatedRequest} request */
async function load({ moduleUrl, exportName }) {
  const module = await import(moduleUrl)
  const fn = module[exportName]
  if (typeof fn === 'function') return fn
  const names = Object.keys(module).join(', ') || 'nothing'
  throw new TypeError(`Expected ${moduleUrl} to export a function as \`${exportName}\`; it exports ${names}`)
}

/**
 * @param {unknown} value
 * @param {IsolatedRequest} request
 */
function textOf(value, { what, bytesMax }) {
  const text = JSON.stringify(value, carried)
  const bytes = Buffer.byteLength(text ?? '')
  if (bytes <= bytesMax) return text
  const said = `takes ${bytes} bytes as JSON; the limit is ${bytesMax} (option \`limits.resultBytesMax\`)`
  throw coded('TOO_LARGE', `${what} ${said}. Keep large data in a file and return a reference to it.`)

  /**
   * Refuses values that JSON would lose, as `json.ts` does for other steps.
   * @this {unknown}
   * @param {string} key
   * @param {unknown} item
   */
  function carried(key, item) {
    const opaque = OPAQUE.find((type) => item instanceof type)
    if (typeof item === 'number' ? Number.isFinite(item) : !opaque && !isLost(item)) return item
    const shown = opaque?.name ?? (typeof item === 'number' ? String(item) : typeof item)
    throw coded('NOT_SERIALIZABLE', `${key === '' ? what : `\`${key}\` in ${what}`} is a ${shown}, which JSON loses.`)
  }
}

/** @param {unknown} item */
function isLost(item) {
  return ['bigint', 'function', 'symbol'].includes(typeof item) || ArrayBuffer.isView(item)
}

/**
 * @param {string} code
 * @param {string} message
 */
function coded(code, message) {
  return Object.assign(new Error(message), { name: 'HoldfastError', code, ours: true })
}

/**
 * @param {unknown} thrown
 * @param {number} [depth]
 * @returns {ErrorText}
 */
function describe(thrown, depth = 0) {
  try {
    if (!isError(thrown)) return { name: 'NonError', message: cut(showValue(thrown)) }
    /** @type {Error & { code?: unknown, ours?: unknown, retryAfterMs?: unknown }} */
    const { name, message, stack, code, ours, retryAfterMs, cause } = thrown
    return {
      name: cutWord(String(name)),
      message: cut(String(message)),
      ...(typeof code === 'string' ? { code: cutWord(code) } : typeof code === 'number' ? { code } : {}),
      ...(ours === true ? { ours } : {}),
      ...(typeof stack === 'string' ? { stack: cut(stack) } : {}),
      ...(typeof retryAfterMs === 'number' ? { retryAfterMs } : {}),
      ...(cause !== undefined && depth < CAUSES_MAX ? { cause: describe(cause, depth + 1) } : {}),
    }
  } catch {
    return { name: 'NonError', message: 'a value that could not be read was thrown' }
  }
}

/** @param {unknown} value */
function showValue(value) {
  return typeof value === 'object' && value !== null ? (JSON.stringify(value) ?? String(value)) : String(value)
}

/** @param {string} text */
function cut(text) {
  return text.length > TEXT_CHARS_MAX ? `${text.slice(0, TEXT_CHARS_MAX)}…` : text
}

/** @param {string} text */
function cutWord(text) {
  let word = text.slice(0, WORD_BYTES_MAX)
  while (Buffer.byteLength(word) > WORD_BYTES_MAX) word = word.slice(0, -1)
  return word.length < text.length ? word.replace(/[\ud800-\udbff]$/, '') : word
}

/**
 * True if it is an error of this realm or of another one, such as a `vm` context's.
 * @param {unknown} value
 * @returns {value is Error}
 */
function isError(value) {
  return value instanceof Error || types.isNativeError(value)
}
