/** Keeps `console` from writing to standard output, which carries the protocol of a stdio server. */
import { Console } from 'node:console'
import type { Logger } from '../../base/logger.js'

// Methods that write to standard output, and those that keep the state of such methods.
const NAMES = [
  ...(['log', 'info', 'debug', 'dir', 'dirxml', 'table', 'group', 'groupCollapsed', 'groupEnd'] as const),
  ...(['count', 'countReset', 'time', 'timeLog', 'timeEnd'] as const),
] as const
const SILENT = new Set<string>(['groupEnd', 'countReset', 'time'])

/**
 * Sends the lines of `console` to standard error, with a warning at the first one. Returns a function that undoes this.
 */
export function redirectConsole(logger: Logger): () => void {
  const toStderr = new Console(process.stderr, process.stderr)
  let warned = false
  const undo = NAMES.map((name) => {
    const before = console[name]
    const write = toStderr[name].bind(toStderr) as (...given: unknown[]) => void
    const redirected = (...given: unknown[]) => {
      if (!warned && !SILENT.has(name)) {
        warned = true
        logger.warn(
          `console.${name} was called in a stdio server, where standard output carries the protocol. The line goes to standard error. Use console.error, or set the option console to 'keep'.`,
        )
      }
      write(...given)
    }
    console[name] = redirected as never
    return () => {
      // A method that other code has replaced since is not restored.
      if (console[name] === redirected) console[name] = before as never
    }
  })
  return () => {
    for (const undoOne of undo) undoOne()
  }
}
