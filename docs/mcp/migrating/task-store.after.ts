import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { Holdfast } from 'holdfast'
import { durableTasks } from 'holdfast/mcp/2025-11-25'
import { INFO, input, writePage } from './report.js'

const dir = process.argv[2] ?? '/var/lib/reports'
const durable = durableTasks((given) => Holdfast.open({ dir, ...given }), { access: 'local' })

const server = new McpServer(INFO, {
  capabilities: { tasks: { list: {}, cancel: {}, requests: { tools: { call: {} } } } },
  taskStore: durable.taskStore,
  taskMessageQueue: durable.taskMessageQueue,
})

server.experimental.tasks.registerToolTask(
  'make_report',
  { description: 'Makes the report of a month.', inputSchema: input.shape },
  {
    createTask: async ({ month, pages }, { taskStore, taskRequestedTtl }) => {
      const task = await taskStore.createTask({ ttl: taskRequestedTtl ?? null })
      const work = async () => {
        const written: string[] = []
        for (let page = 1; page <= pages; page++) written.push(await writePage(month, page))
        return written.join('\n')
      }
      const settle = (status: 'completed' | 'failed', text: string) =>
        taskStore.storeTaskResult(task.taskId, status, { content: [{ type: 'text', text }] })
      void work().then(
        (text) => settle('completed', text),
        (error) => settle('failed', String(error)),
      )
      return { task }
    },
    getTask: async (_args, { taskStore, taskId }) => taskStore.getTask(taskId),
    getTaskResult: async (_args, { taskStore, taskId }) => (await taskStore.getTaskResult(taskId)) as never,
  },
)

durable.serveStdio(() => server)
