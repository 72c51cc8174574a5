/** The MCP servers of @openai/agents. */
import { MCPServerStdio, MCPServerStreamableHttp } from '@openai/agents'
import { serve, textOf } from './adapter.mjs'

serve(async ({ url, token, command, args }) => {
  // The default of 5 s for the opening is short where a server is started for it.
  const patience = { clientSessionTimeoutSeconds: 60 }
  const server = url
    ? new MCPServerStreamableHttp({ url, requestInit: { headers: { authorization: `Bearer ${token}` } }, ...patience })
    : new MCPServerStdio({ command, args, ...patience })
  await server.connect()
  return {
    era: undefined,
    list: async () => (await server.listTools()).map(({ name }) => name),
    call: async (name, given) => textOf(await server.callToolResult(name, given)),
    close: () => server.close(),
  }
})
