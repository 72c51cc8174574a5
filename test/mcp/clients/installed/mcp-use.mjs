/** `MCPClient` of mcp-use 1: from 2 on that package is for servers, and its client is not on npm. */
import { MCPClient } from 'mcp-use/client'
import { serve, textOf } from './adapter.mjs'

serve(async ({ url, token, command, args }, on) => {
  const server = url ? { url, headers: { Authorization: `Bearer ${token}` } } : { command, args, env: process.env }
  const client = new MCPClient({ mcpServers: { holdfast: server } }, { onElicitation: async () => on.ask() })
  const session = await client.createSession('holdfast')
  return {
    era: '2025-11-25',
    list: async () => (await session.listTools()).map(({ name }) => name),
    call: async (name, given) =>
      textOf(await session.callTool(name, given, { onprogress: ({ progress }) => on.progress(progress) })),
    close: () => client.closeAllSessions(),
  }
})
