import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
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

const dir = process.argv[2] ?? '/var/lib/reports'
const durable = durableTasks((given) => Holdfast.open({ dir, ...given }), { access: 'local' })
durable.tool(report, { description: 'Makes the report of a month.', start: true })

const server = durable.attach(new McpServer(INFO, durable.serverOptions()))
durable.registerFallbackTools(server, { only: ['get_task_status', 'wait_for_task', 'cancel_task'] })
durable.serveStdio(() => server)
