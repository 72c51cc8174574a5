/** `Client` of @modelcontextprotocol/client, which finds out which revision its server speaks. */
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio'
import { serve, textOf } from './adapter.mjs'

serve(async ({ url, token, command, args }, on) => {
  const client = new Client(
    { name: 'client', version: '1.0.0' },
    { capabilities: { elicitation: { form: {} } }, versionNegotiation: { mode: 'auto' } },
  )
  client.setRequestHandler('elicitation/create', () => on.ask())
  const headers = { authorization: `Bearer ${token}` }
  const transport = url
    ? new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } })
    : new StdioClientTransport({ command, args })
  await client.connect(transport)
  return {
    era: client.getNegotiatedProtocolVersion?.() ?? client.getProtocolEra(),
    list: async () => (await client.listTools()).tools.map(({ name }) => name),
    call: async (name, given) =>
      textOf(
        await client.callTool({ name, arguments: given }, { onprogress: ({ progress }) => on.progress(progress) }),
      ),
    close: () => client.close(),
  }
})
