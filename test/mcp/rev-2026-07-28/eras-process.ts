/** Starts and kills the server of eras-child.ts, and sends it requests of 2026-07-28. */
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ServerUnderTest } from '../../helpers/mcp/killing-proxy.js'
import { type Answer, KNOWS_TASKS, metaOf, VERSION } from '../../helpers/mcp/rev-2026-07-28/modern-client.js'
import { checkSent } from '../../helpers/mcp/rev-2026-07-28/wire.js'
import { freePort } from '../../helpers/mcp/server-process.js'

const SCRIPT = fileURLToPath(new URL('./eras-child.ts', import.meta.url))

export class ErasProcess {
  readonly dir = mkdtempSync(join(tmpdir(), 'holdfast-eras-'))
  readonly journal = join(this.dir, 'journal.txt')
  readonly #server: ServerUnderTest
  #count = 0

  private constructor(readonly port: number) {
    writeFileSync(this.journal, '')
    this.#server = new ServerUnderTest(this.command(port))
  }

  static async start(): Promise<ErasProcess> {
    const server = new ErasProcess(await freePort())
    await server.start()
    return server
  }

  get url(): URL {
    return new URL(`http://127.0.0.1:${this.port}/mcp`)
  }

  /** What runs it; over stdio without a port. */
  command(port?: number): [string, ...string[]] {
    const job = JSON.stringify({ dir: join(this.dir, 'store'), journal: this.journal, port })
    return [process.execPath, '--import', import.meta.resolve('tsx'), SCRIPT, job]
  }

  start(): Promise<void> {
    return this.#server.start()
  }

  kill(): Promise<void> {
    return this.#server.kill()
  }

  /** Whose steps began. */
  get tasks(): Set<string> {
    const lines = readFileSync(this.journal, 'utf8').split('\n').filter(Boolean)
    return new Set(lines.map((line) => line.split(' ')[0] as string))
  }

  /** Which step of which task began, in the order of their beginnings. */
  steps(taskId: string): string[] {
    const lines = readFileSync(this.journal, 'utf8').split('\n')
    return lines.filter((line) => line.startsWith(taskId)).map((line) => line.slice(taskId.length + 1))
  }

  async request(method: string, params: Record<string, unknown> = {}, knows: object = KNOWS_TASKS): Promise<Answer> {
    const name = params['name'] ?? params['taskId']
    const response = await fetch(this.url, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
        'mcp-protocol-version': VERSION,
        'mcp-method': method,
        ...(typeof name === 'string' ? { 'mcp-name': name } : {}),
        connection: 'close',
      },
      body: JSON.stringify({
        jsonrpc: '2.0',
        id: ++this.#count,
        method,
        params: { ...params, _meta: metaOf(knows as Record<string, unknown>) },
      }),
    })
    const answer = (await response.json()) as Answer
    checkSent(method, answer)
    return answer
  }

  async settled(taskId: string) {
    for (;;) {
      const { result } = await this.request('tasks/get', { taskId })
      if (!['working', 'input_required'].includes(result.status)) return result
      await new Promise((resolve) => setTimeout(resolve, 25))
    }
  }
}
