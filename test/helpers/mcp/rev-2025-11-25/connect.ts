/** What the tests of the binding share: a real client of the SDK's on a server, in memory. */
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { InMemoryTransport } from '@modelcontextprotocol/sdk/inMemory.js'
import type { AuthInfo } from '@modelcontextprotocol/sdk/server/auth/types.js'
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import type { JSONRPCMessage } from '@modelcontextprotocol/sdk/types.js'
import type { DurableTasks } from 'holdfast/mcp/2025-11-25'

export const INFO = { name: 'test', version: '1.0.0' }

/** The token of a principal, as a verifier hands it on. */
export const tokenOf = (sub: string, clientId = 'app'): AuthInfo => ({
  token: `secret-${sub}`,
  clientId,
  scopes: [],
  extra: { sub },
})

/** A client on a new server of `durable`. */
export async function connect(
  durable: DurableTasks,
  {
    authInfo,
    setUp,
    capabilities = {},
  }: { authInfo?: AuthInfo; setUp?: (server: McpServer) => void; capabilities?: Record<string, object> } = {},
) {
  const server = durable.attach(new McpServer(INFO, durable.serverOptions()))
  setUp?.(server)
  const client = new Client(INFO, { capabilities })
  const [ours, theirs] = InMemoryTransport.createLinkedPair()
  if (authInfo) {
    const send = theirs.send.bind(theirs)
    theirs.send = (message: JSONRPCMessage, options = {}) => send(message, { ...options, authInfo })
  }
  await server.connect(ours)
  await client.connect(theirs)
  return { client, server }
}
