/**
 * Serves one client over stdio. The first message other than `server/discover` chooses the revision: a request without
 * an envelope of this revision, such as `initialize`, is of an earlier one.
 */
import type { Transport } from '@modelcontextprotocol/server'
import { StdioServerTransport, serveStdio } from '@modelcontextprotocol/server/stdio'
import { checkFunction, checkOptionsOf } from '../../../base/expected.js'
import { faultOf } from '../../../base/fault.js'
import { type StdioHandle, StdioLife } from '../../stdio/life.js'
import { checkStdioOptions, STDIO_OPTIONS, type StdioLifeOptions } from '../../stdio/options.js'
import { ProcessStreams } from '../../stdio/process-streams.js'
import { StdioWire } from '../../stdio/wire.js'
import type { CreateServer, DurableBinding } from '../server/types.js'
import { ListeningTransport } from './listening-transport.js'
import { NegotiatedConnection } from './negotiated-connection.js'

/** The options of `durable.serveStdio`. */
export interface StdioOptions extends StdioLifeOptions {
  /**
   * Connects a server of `holdfast/mcp/2025-11-25` to the transport, for a client of an earlier revision.
   * @default the SDK serves such a client, without tasks
   */
  // biome-ignore lint/suspicious/noExplicitAny: the same transport in the words of another SDK, which is not imported here
  readonly legacy?: ((transport: any) => unknown) | undefined
  /**
   * Transport to use instead of this process's standard input and output. Then nothing exits, no signal is handled, and
   * `console` is not changed. The end of the connection does not close the `Holdfast`; `handle.close()` does.
   */
  readonly transport?: Transport | undefined
}

/**
 * Serves a client over standard input and output, or over a given transport.
 * @throws TypeError for an option of the wrong type, and for `access: 'principal'`
 */
export function serveOverStdio(
  durable: DurableBinding,
  createServer: CreateServer,
  options: StdioOptions = {},
): StdioHandle {
  const { core } = durable
  if (core.options.access === 'principal') {
    throw new TypeError(
      "`access: 'principal'` needs a token with every request, and stdio carries none: use 'local' for its one user",
    )
  }
  checkOptionsOf<StdioOptions>('durable.serveStdio', options, { ...STDIO_OPTIONS, legacy: true, transport: true })
  const { legacy, transport } = options
  if (legacy !== undefined) checkFunction('legacy', legacy)
  const checked = checkStdioOptions(options, transport === undefined)
  const factory = durable.attachedBy(createServer)
  const life = new StdioLife({ core, options: checked })
  const streams = transport ? undefined : new ProcessStreams((reason) => void life.end(reason))
  const inner = transport ?? new StdioServerTransport(streams?.input, streams?.output)
  const wire = new StdioWire(inner as never, {
    onNeed: () => life.open(),
    // The end of a given transport does not begin the shutdown, because the Holdfast may serve other connections.
    onClosed: () => {
      if (!transport) void life.end('stdin')
    },
    mute: streams && (() => streams.mute()),
    flushed: streams && (() => streams.flushed()),
  })
  life.over(wire)
  const onerror = (error: Error) => core.logger.warn('A stdio connection had an error', { error: faultOf(error) })
  const serve = (on: Transport, otherEra: 'serve' | 'reject') =>
    serveStdio(factory, { transport: new ListeningTransport(durable, on), legacy: otherEra, onerror })
  if (!legacy) {
    serve(wire as Transport, 'serve')
    return life.handle
  }
  const servers = {
    this: (on: Transport) => serve(on, 'reject'),
    earlier: async (on: Transport) => {
      try {
        await legacy(on)
      } catch (error) {
        life.fail(error)
      }
    },
  }
  new NegotiatedConnection(wire as Transport, servers, onerror).open().catch(onerror)
  return life.handle
}
