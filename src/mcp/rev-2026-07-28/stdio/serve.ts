/**
 * Serves one client over stdio. Its first message that is no `server/discover` chooses the revision: a request without an
 * envelope of this revision, such as `initialize`, is an earlier one's.
 */
import type { Transport } from '@modelcontextprotocol/server'
import { StdioServerTransport, serveStdio } from '@modelcontextprotocol/server/stdio'
import { checkFunction } from '../../../expected.js'
import type { CreateServer, DurableBinding } from '../types.js'
import { ListeningTransport } from './listening-transport.js'
import { NegotiatedConnection } from './negotiated-connection.js'

/** The options of `durable.serveStdio`. */
export interface StdioOptions {
  /**
   * Connects a server of `holdfast/mcp/2025-11-25` to the transport, for a client of an earlier revision.
   * @default the SDK serves such a client, without tasks
   */
  // biome-ignore lint/suspicious/noExplicitAny: the same transport in the words of another SDK, which is not imported here
  readonly legacy?: (transport: any) => unknown
  /** In place of this process's standard input and output. */
  readonly transport?: Transport
}

/** A connection that is served. */
export interface StdioHandle {
  /** Closes the connection. Tasks go on. */
  readonly close: () => Promise<void>
}

/** @throws TypeError for an option of the wrong type, and for `access: 'principal'` */
export function serveOverStdio(
  durable: DurableBinding,
  createServer: CreateServer,
  { legacy, transport }: StdioOptions = {},
): StdioHandle {
  const { options, binding } = durable.core
  if (options.access === 'principal') {
    throw new TypeError(
      "`access: 'principal'` needs a token with every request, and stdio carries none: use 'local' for its one user",
    )
  }
  if (legacy !== undefined) checkFunction('legacy', legacy)
  const onerror = (error: Error) => binding.logger.warn('A stdio connection had an error', { error: String(error) })
  const factory = durable.attachedBy(createServer)
  const wire = transport ?? new StdioServerTransport()
  const serve = (on: Transport, otherEra: 'serve' | 'reject') =>
    serveStdio(factory, { transport: new ListeningTransport(durable, on), legacy: otherEra, onerror })
  if (!legacy) return serve(wire, 'serve')

  let handle: StdioHandle | undefined
  const servers = {
    this: (on: Transport) => {
      handle = serve(on, 'reject')
    },
    earlier: legacy,
  }
  const connection = new NegotiatedConnection(wire, servers, onerror)
  connection.open().catch(onerror)
  return { close: () => handle?.close() ?? connection.close() }
}
