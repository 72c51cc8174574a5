/** `MultiServerMCPClient` of @langchain/mcp-adapters. */
import { MultiServerMCPClient } from '@langchain/mcp-adapters'
import { serve } from './adapter.mjs'

serve(async ({ url, token, command, args }, on) => {
  const client = new MultiServerMCPClient({
    mcpServers: {
      holdfast: url
        ? { transport: 'http', url, headers: { Authorization: `Bearer ${token}` } }
        : { transport: 'stdio', command, args },
    },
    onProgress: ({ progress }) => on.progress(progress),
    useStandardContentBlocks: false,
  })
  const tools = await client.getTools()
  return {
    era: '2025-11-25',
    list: async () => tools.map(({ name }) => name),
    call: async (name, given) => {
      const said = await tools.find((tool) => tool.name === name).invoke(given)
      return typeof said === 'string' ? said : JSON.stringify(said)
    },
    close: () => client.close(),
  }
})
