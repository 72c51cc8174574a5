import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js'
import { defineTask, Holdfast } from 'holdfast'
import { durableTasks } from 'holdfast/mcp/2025-11-25'
import { INFO, input, writePage } from './report.js'

const report = defineTask({ name: 'report', input }, async (task, { month, pages }) => {
  const written: string[] = []
  for (let page = 1; page <= pages; page++) {
    written.push(await task.step('page', () => writePage(month, page)))
    task.progress({ done: page, total: pages })
  }
  return written.join('\n')
})

const holdfast = await Holdfast.open({ dir: process.argv[2] ?? '/var/lib/reports', tasks: [report] })
const durable = durableTasks(holdfast, { access: 'local' })
durable.tool(report, { description: 'Makes the report of a month.', start: true })

const server = durable.attach(new McpServer(INFO, durable.serverOptions()))
durable.registerFallbackTools(server, { only: ['get_task_status', 'wait_for_task', 'cancel_task'] })
await server.connect(new StdioServerTransport())
