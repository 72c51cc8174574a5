/** Clients of W6 and W7, as far as a bench needs them: they post JSON-RPC, over connections that are kept. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

/** @typedef {'2025-11-25' | '2026-07-28'} Revision */
/** @typedef {'plain' | 'durable'} Kind */
/** @typedef {(method: string, params: object) => Promise<string>} Send sends a request, and returns the text of its answer */

/** Starts the server. @param {string} dir */
export async function startServer(dir) {
  const server = fork(fileURLToPath(new URL('mcp-server.mjs', import.meta.url)), [dir])
  const stop = () => server.kill('SIGKILL')
  process.once('exit', stop)
  const [{ port }] = await once(server, 'message')
  return {
    port: /** @type {number} */ (port),
    /** Runs rounds of tasks that wait, for `ms`. @param {number} tasks @param {number} ms */
    async runTasks(tasks, ms) {
      const answered = once(server, 'message')
      server.send({ tasks, ms })
      const [figures] = await answered
      return /** @type {{ rounds: number, loopDelayP99Ms: number, loopDelayMaxMs: number }} */ (figures)
    },
    async stop() {
      stop()
      await once(server, 'exit')
    },
  }
}

const clientInfo = { name: 'bench', version: '1' }
let ids = 0

/** Makes a client. @param {number} port @param {Revision} revision @param {Kind} kind @returns {Promise<Send>} */
export async function connect(port, revision, kind) {
  const url = `http://127.0.0.1:${port}/${revision}/${kind}`
  /** @param {object} message @param {Record<string, string>} headers */
  const post = async (message, headers) => {
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'application/json, text/event-stream', ...headers },
      body: JSON.stringify({ jsonrpc: '2.0', ...message }),
    })
    return { headers: response.headers, text: await response.text() }
  }
  if (revision === '2026-07-28') {
    const _meta = {
      'io.modelcontextprotocol/protocolVersion': revision,
      'io.modelcontextprotocol/clientInfo': clientInfo,
      'io.modelcontextprotocol/clientCapabilities': {},
    }
    return async (method, params) => {
      const { name } = /** @type {{ name?: string }} */ (params)
      const headers = { 'mcp-protocol-version': revision, 'mcp-method': method, ...(name && { 'mcp-name': name }) }
      return (await post({ id: ++ids, method, params: { ...params, _meta } }, headers)).text
    }
  }
  const params = { protocolVersion: revision, capabilities: {}, clientInfo }
  const opened = await post({ id: 0, method: 'initialize', params }, {})
  const session = { 'mcp-session-id': opened.headers.get('mcp-session-id') ?? '', 'mcp-protocol-version': revision }
  await post({ method: 'notifications/initialized' }, session)
  return async (method, params) => (await post({ id: ++ids, method, params }, session)).text
}

/** Calls a tool, and checks its answer. @param {Send} send @param {string} name @param {number} n */
export async function callTool(send, name, n) {
  const text = await send('tools/call', { name, arguments: { n } })
  if (!text.includes(`"structuredContent":{"n":${n + 1}}`)) throw new Error(`Unexpected: ${text.slice(0, 300)}`)
}
