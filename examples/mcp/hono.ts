/** The same server under Hono. */
import { Hono } from 'hono'
import { openDurable } from './durable.js'

/** The app; whoever verifies tokens sets `authInfo` before. */
export async function flightsApp(dir: string) {
  const { holdfast, durable, createServer } = await openDurable(dir, 'open')
  const handler = durable.httpHandler(createServer)
  const app = new Hono()
  app.all('/mcp', (context) => handler.fetch(context.req.raw))
  return { app, handler, holdfast }
}
