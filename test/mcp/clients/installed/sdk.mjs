/** `Client` of @modelcontextprotocol/sdk. */
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { ElicitRequestSchema } from '@modelcontextprotocol/sdk/types.js'
import { serve, textOf } from './adapter.mjs'

serve(async ({ url, token, command, args }, on) => {
  const client = new Client({ name: 'sdk', version: '1.0.0' }, { capabilities: { elicitation: {} } })
  client.setRequestHandler(ElicitRequestSchema, () => on.ask())
  const headers = { authorization: `Bearer ${token}` }
  const transport = url
    ? new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } })
    : new StdioClientTransport({ command, args })
  await client.connect(transport)
  return {
    era: '2025-11-25',
    list: async () => (await client.listTools()).tools.map(({ name }) => name),
    call: async (name, given) =>
      textOf(
        await client.callTool({ name, arguments: given }, undefined, {
          onprogress: ({ progress }) => on.progress(progress),
        }),
      ),
    close: () => client.close(),
  }
})
