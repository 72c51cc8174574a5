import { randomUUID } from 'node:crypto'
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js'
import { z } from 'zod'
import { INFO, input, writePage } from './report.js'

interface Job {
  status: 'working' | 'done' | 'failed'
  done: number
  text?: string
}
const jobs = new Map<string, Job>()

async function work(job: Job, { month, pages }: z.output<typeof input>): Promise<void> {
  try {
    const written: string[] = []
    for (let page = 1; page <= pages; page++) {
      written.push(await writePage(month, page))
      job.done = page
    }
    job.text = written.join('\n')
    job.status = 'done'
  } catch {
    job.status = 'failed'
  }
}

const server = new McpServer(INFO)

server.registerTool(
  'start_report',
  { description: 'Starts the report of a month. Poll get_report_status.', inputSchema: input },
  async (args) => {
    const id = randomUUID()
    const job: Job = { status: 'working', done: 0 }
    jobs.set(id, job)
    void work(job, args)
    return { content: [{ type: 'text', text: id }] }
  },
)

server.registerTool(
  'get_report_status',
  { description: 'How a report is doing.', inputSchema: z.object({ id: z.string() }) },
  async ({ id }) => {
    const job = jobs.get(id)
    if (!job) return { content: [{ type: 'text', text: 'No such report' }], isError: true }
    return { content: [{ type: 'text', text: JSON.stringify(job) }] }
  },
)

await server.connect(new StdioServerTransport())
