/** Serves one client over this process's standard input and output, on the SDK of 2025-11-25. */
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js'
import { checkFunction, checkOptionsOf } from '../../../base/expected.js'
import { type StdioHandle, StdioLife } from '../../stdio/life.js'
import { checkStdioOptions, STDIO_OPTIONS, type StdioLifeOptions } from '../../stdio/options.js'
import { ProcessStreams } from '../../stdio/process-streams.js'
import { StdioWire } from '../../stdio/wire.js'
import { NotAttached } from '../../tools/check-server.js'
import type { CreateServer } from '../http/session.js'
import type { DurableBinding } from '../server/types.js'

/** The options of `durable.serveStdio`. */
export interface StdioOptions extends StdioLifeOptions {}

/**
 * Serves a client over standard input and output.
 * @throws TypeError for an option of the wrong type, and for `access: 'principal'`; errors of `createServer`
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
  checkFunction('createServer', createServer)
  checkOptionsOf<StdioOptions>('durable.serveStdio', options, STDIO_OPTIONS)
  const checked = checkStdioOptions(options, true)
  const made = createServer()
  const life = new StdioLife({ core, options: checked })
  const streams = new ProcessStreams((reason) => void life.end(reason))
  const wire = new StdioWire(new StdioServerTransport(streams.input, streams.output), {
    onNeed: () => life.open(),
    onClosed: () => void life.end('stdin'),
    mute: () => streams.mute(),
    flushed: () => streams.flushed(),
  })
  life.over(wire)
  connect(durable, made, wire).catch((error: unknown) => life.fail(error))
  return life.handle
}

async function connect(durable: DurableBinding, made: ReturnType<CreateServer>, wire: StdioWire): Promise<void> {
  const server = await made
  // A server with our task store has tasks without being attached.
  if (!durable.attachmentOf.has(server) && !durable.hasTaskStore) {
    throw new NotAttached()
  }
  await server.connect(wire)
}
