import {
  InMemoryTaskMessageQueue,
  InMemoryTaskStore,
} from '@modelcontextprotocol/sdk/experimental/tasks/stores/in-memory.js'
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js'
import { INFO, input, writePage } from './report.js'

const server = new McpServer(INFO, {
  capabilities: { tasks: { list: {}, cancel: {}, requests: { tools: { call: {} } } } },
  taskStore: new InMemoryTaskStore(),
  taskMessageQueue: new InMemoryTaskMessageQueue(),
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

await server.connect(new StdioServerTransport())
