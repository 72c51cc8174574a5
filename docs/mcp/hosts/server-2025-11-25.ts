import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { durableTasks } from 'holdfast/mcp/2025-11-25'
import { holdfast, importFlights } from './tasks.js'

export const durable = durableTasks(holdfast, { access: 'principal' })
durable.tool(importFlights, { description: 'Imports flights, page by page.' })

export const createServer = () =>
  durable.attach(new McpServer({ name: 'flights', version: '1.0.0' }, durable.serverOptions()))
