/** One handler for servers on Node's `http`, and for those with `Request` and `Response`. */
import { type FetchContext, type NodeRequest, type NodeResponse, serveNode } from '../http/node.js'

/** A handler that is mounted in an author's server. */
export interface MountedHandler {
  /** Handler for plain `http` and Express. Uses `req.body` and `req.auth` if they exist. */
  readonly node: (req: NodeRequest, res: NodeResponse) => Promise<void>
  /** Handler for Hono, and for any framework with `Request` and `Response`. */
  readonly fetch: (request: Request, context?: FetchContext) => Promise<Response>
}

/** Makes both forms of a handler. The signal of a request ends when its client disconnects. */
export function mount(
  answer: (request: Request, context: FetchContext) => Promise<Response>,
  bodyBytesMax: number,
): MountedHandler {
  return {
    fetch: (request, context = {}) => answer(request, context),
    node: async (req, res) => {
      const hungUp = new AbortController()
      res.once('close', () => {
        if (!res.writableFinished) hungUp.abort()
      })
      await serveNode(req, res, answer, bodyBytesMax, hungUp.signal)
    },
  }
}
