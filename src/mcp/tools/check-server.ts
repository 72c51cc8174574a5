/** Checks that what is attached, or served, is a server that this binding can do something with. Knows no SDK. */

const SDK_OF = { '2025-11-25': '@modelcontextprotocol/sdk', '2026-07-28': '@modelcontextprotocol/server' } as const

/** Protocol revisions, each with an SDK of its own. */
export type Revision = keyof typeof SDK_OF

/** @throws TypeError for anything but a server of the SDK of this revision */
export function checkServer(server: unknown, revision: Revision): void {
  const given = revisionOf(server)
  if (given === revision) return
  const wanted = `Expected a server of ${SDK_OF[revision]}, since durableTasks comes from holdfast/mcp/${revision}`
  if (given === undefined) throw new TypeError(`${wanted}; got ${server === null ? 'null' : typeof server}`)
  throw new TypeError(
    `${wanted}; got one of ${SDK_OF[given]}. Import durableTasks from holdfast/mcp/${given}, or make the server with ${SDK_OF[revision]}.`,
  )
}

/** By what the classes have: an application may have several copies of an SDK, so `instanceof` says too little. */
function revisionOf(server: unknown): Revision | undefined {
  if (typeof server !== 'object' || server === null) return undefined
  const { server: inner = server } = server as { server?: unknown }
  if (typeof (inner as { setRequestHandler?: unknown } | null)?.setRequestHandler !== 'function') return undefined
  return 'experimental' in server ? '2025-11-25' : '2026-07-28'
}

/** Thrown where a server is to be served that durable tasks were not attached to: it would have no durable tools, silently. */
export class NotAttached extends TypeError {
  constructor() {
    super('`createServer` returned a server without durable tasks: return `durable.attach(server)`')
  }
}
