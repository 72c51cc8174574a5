/** `MCPClient` of @mastra/mcp. */
import { MCPClient } from '@mastra/mcp'
import { serve } from './adapter.mjs'

serve(async ({ url, token, command, args }, on) => {
  const common = { enableProgressTracking: true, inputRequests: async () => on.ask() }
  const server = url
    ? { url: new URL(url), requestInit: { headers: { authorization: `Bearer ${token}` } }, ...common }
    : { command, args, ...common }
  const client = new MCPClient({ servers: { holdfast: server }, timeout: 60_000 })
  await client.progress.onUpdate('holdfast', ({ progress }) => on.progress(progress))
  const tools = await client.listTools()
  return {
    era: undefined,
    list: async () => Object.keys(tools).map((name) => name.replace(/^holdfast_/, '')),
    call: async (name, given) => {
      const said = await tools[`holdfast_${name}`].execute(given, {})
      if (said?.isError) throw new Error(JSON.stringify(said))
      return JSON.stringify(said)
    },
    close: () => client.disconnect(),
  }
})
