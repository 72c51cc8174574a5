/** @ai-sdk/mcp, which has a wire layer of its own. */
import { createMCPClient, ElicitationRequestSchema } from '@ai-sdk/mcp'
import { Experimental_StdioMCPTransport as StdioTransport } from '@ai-sdk/mcp/mcp-stdio'
import { serve, textOf } from './adapter.mjs'

serve(async ({ url, token, command, args }, on) => {
  const client = await createMCPClient({
    transport: url
      ? { type: 'http', url, headers: { Authorization: `Bearer ${token}` } }
      : new StdioTransport({ command, args }),
    capabilities: { elicitation: {} },
    onUncaughtError: () => {},
  })
  client.onElicitationRequest(ElicitationRequestSchema, () => on.ask())
  return {
    era: client.initializeResult.protocolVersion,
    list: async () => (await client.listTools()).tools.map(({ name }) => name),
    call: async (name, given) => textOf(await client.callTool({ name, arguments: given })),
    close: () => client.close(),
  }
})
