/** Restate: its server is a process of its own (bench/services.ts), and the steps run in a service that it calls (Node 22). */
import { createServer } from 'node:http2'
import * as restate from '@restatedev/restate-sdk'
import { takeSteps } from '../engines/peer.mjs'

/** @type {import('../engines/peer.mjs').OpenPeer} */
export async function open({ steps, work, service }) {
  const { ingress, admin, servicePort } = service
  const run = (ctx) => takeSteps(steps, (index) => ctx.run(`step-${index}`, async () => work(index)))
  const bench = restate.service({ name: 'bench', handlers: { run } })
  const server = createServer(restate.createEndpointHandler({ services: [bench], logger: () => {} }))
  await new Promise((resolve) => server.listen(servicePort, '127.0.0.1', resolve))
  await call(`${admin}/deployments`, { uri: `http://127.0.0.1:${servicePort}`, force: true })
  return {
    run: () => call(`${ingress}/bench/run`, {}),
    start: async () => (await call(`${ingress}/bench/run/send`, {})).invocationId,
    // The server calls the service again by itself.
    async resume(taskIds) {
      const outputs = await Promise.all(taskIds.map((id) => call(`${ingress}/restate/invocation/${id}/attach`)))
      return async () => outputs.reduce((sum, wrong) => sum + wrong, 0)
    },
    close: async () => server.close(),
  }
}

/** Posts `body`, or gets where there is none. */
async function call(url, body) {
  const response = await fetch(url, {
    method: body === undefined ? 'GET' : 'POST',
    headers: { 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  if (!response.ok) throw new Error(`${url} answered ${response.status}: ${text.slice(0, 300)}`)
  return text === '' ? undefined : JSON.parse(text)
}
