/** The same server under Express, behind the SDK's own app and its bearer authentication. */
import { requireBearerAuth } from '@modelcontextprotocol/sdk/server/auth/middleware/bearerAuth.js'
import type { OAuthTokenVerifier } from '@modelcontextprotocol/sdk/server/auth/provider.js'
import { createMcpExpressApp } from '@modelcontextprotocol/sdk/server/express.js'
import type { HttpOptions } from 'holdfast/mcp/2025-11-25'
import { openDurable } from './durable.js'

/** The app; `verifier` is yours, and puts the subject of the token into `extra.sub`. */
export async function flightsApp(dir: string, verifier: OAuthTokenVerifier, options: HttpOptions = {}) {
  const { holdfast, durable, createServer } = await openDurable(dir, 'principal')
  const handler = durable.httpHandler(createServer, options)
  const app = createMcpExpressApp()
  app.all('/mcp', requireBearerAuth({ verifier }), handler.node)
  return { app, handler, holdfast }
}
