/** What the three ways to mount the example share: a store, the tools, and a server for each session. */
import { mkdirSync } from 'node:fs'
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { Holdfast } from 'holdfast'
import { type Access, type DurableTasks, durableTasks } from 'holdfast/mcp/2025-11-25'
import { bookTrip, busiestRoutes, summariseDelays } from './tools.js'

export async function openDurable(
  dir: string,
  access: Access,
): Promise<{ holdfast: Holdfast; durable: DurableTasks; createServer: () => McpServer }> {
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  const holdfast = await Holdfast.open({ dir, tasks: [summariseDelays, busiestRoutes, bookTrip] })
  const durable = durableTasks(holdfast, { access })
    .tool(summariseDelays, {
      title: 'Summarise delays',
      description: 'Summarises the delays of 2,000 flights, in parts.',
      start: true,
    })
    .tool(busiestRoutes, { title: 'Busiest routes', description: 'Counts which routes are flown most.' })
    .tool(bookTrip, { title: 'Book a trip', description: 'Prices a trip, asks whether to book it, and books it.' })
  const createServer = () => {
    const instructions = 'Long work survives a restart of this server. A call that was lost can simply be made again.'
    const server = durable.attach(
      new McpServer({ name: 'flights', version: '1.0.0' }, durable.serverOptions({ instructions })),
    )
    durable.registerFallbackTools(server)
    return server
  }
  return { holdfast, durable, createServer }
}
