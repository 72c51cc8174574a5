/** Checks that an attached or served object is a server of the right SDK. Imports no SDK. */

const SDK_OF = { '2025-11-25': '@modelcontextprotocol/sdk', '2026-07-28': '@modelcontextprotocol/server' } as const

/** Protocol revisions, each with an SDK of its own. */
export type Revision = keyof typeof SDK_OF

/**
 * Checks a server.
 * @throws TypeError for anything but a server of the SDK of this revision
 */
export function checkServer(server: unknown, revision: Revision): void {
  const given = revisionOf(server)
  if (given === revision) return
  const wanted = `Expected a server of ${SDK_OF[revision]}, since durableTasks comes from holdfast/mcp/${revision}`
  if (given === undefined) throw new TypeError(`${wanted}; got ${server === null ? 'null' : typeof server}`)
  throw new TypeError(
    `${wanted}; got one of ${SDK_OF[given]}. Import durableTasks from holdfast/mcp/${given}, or make the server with ${SDK_OF[revision]}.`,
  )
}

/**
 * Detects the revision by the members of a server. `instanceof` does not suffice, because an application may have
 * several copies of an SDK.
 */
function revisionOf(server: unknown): Revision | undefined {
  if (typeof server !== 'object' || server === null) return undefined
  const { server: inner = server } = server as { server?: unknown }
  if (typeof (inner as { setRequestHandler?: unknown } | null)?.setRequestHandler !== 'function') return undefined
  return 'experimental' in server ? '2025-11-25' : '2026-07-28'
}

/**
 * Error of a server that is to be served and is not attached. Without this, it would silently have no durable tools.
 */
export class NotAttached extends TypeError {
  constructor() {
    super('`createServer` returned a server without durable tasks: return `durable.attach(server)`')
  }
}

/** The part of a low-level server, of either SDK, that is used. */
interface LowLevelServer {
  assertCanSetRequestHandler(method: string): void
  readonly transport?: unknown
}

const TOO_LATE = 'durable.attach(server) comes too late: the server'
const ORDER =
  'Attach before the first tool is registered, and make the server with `durable.serverOptions(…)`, without `capabilities.tools`.'
const LOW_LEVEL_ORDER =
  'Call `durable.attach(server)` right after `new Server(…)`, and set your handlers of `tools/list` and `tools/call` after that.'

/**
 * Checks that a server has no handler of tools yet, and no connection. `durable.attach` wraps handlers that are set
 * later. A handler that was set before would not be wrapped, and on a low-level server it would be replaced.
 * @param isLowLevel false for the server in an `McpServer`, which sets its handlers with its first tool
 * @throws Error that names the handler and the order to use
 */
export function checkInTime(server: LowLevelServer, isLowLevel: boolean): void {
  for (const method of ['tools/call', 'tools/list']) {
    try {
      server.assertCanSetRequestHandler(method)
    } catch (cause) {
      const order = isLowLevel ? LOW_LEVEL_ORDER : ORDER
      throw new Error(`${TOO_LATE} has a \`${method}\` handler already. ${order}`, { cause })
    }
  }
  if (server.transport) throw new Error(`${TOO_LATE} is connected already`)
}
