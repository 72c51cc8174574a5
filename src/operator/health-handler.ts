/**
 * Probes and metrics for an orchestrator. Answers have no inputs, results or IDs of tasks.
 *
 * health-1. Requests that come while an answer is being made get the same answer. So many requests cost no more than one
 *   after the other.
 */

import { type Health, readHealth } from '../api/health.js'
import type { Holdfast } from '../api/holdfast.js'
import { checkOptionsOf, expected } from '../base/expected.js'
import { faultOf } from '../base/fault.js'
import { engineOf } from '../engine/recovery/open-engines.js'
import { METRICS_CONTENT_TYPE, metricsText, TypeLabels } from './metrics.js'
import { type MountedHandler, mount } from './mount.js'

/** Options of `healthHandler`. */
export interface HealthHandlerOptions {
  /**
   * Path at which `/live`, `/ready` and `/metrics` are mounted, such as `/health`.
   * @default ''
   */
  readonly path?: string
}

const HEADERS = { 'cache-control': 'no-store' }

/**
 * Creates a handler for `GET /live`, `GET /ready` and `GET /metrics`. It lets every caller in: mount it where only probes and
 * Prometheus reach it. It works while the recovery is held, while the store is down, and after `close`.
 * @throws TypeError for an option of the wrong type, and for anything but a `Holdfast`
 */
export function healthHandler(holdfast: Holdfast, options: HealthHandlerOptions = {}): MountedHandler {
  const engine = engineOf(holdfast)
  checkOptionsOf<HealthHandlerOptions>('healthHandler', options, { path: true })
  const { path: mountedAt = '' } = options
  if (typeof mountedAt !== 'string' || (mountedAt !== '' && !/^(\/[^/?#]+)+$/.test(mountedAt))) {
    throw expected('path', "'' or a path such as '/health', without a slash at its end", mountedAt)
  }
  const labels = new TypeLabels()
  const health = shared(() => readHealth(engine))
  const metrics = shared(() => metricsText(engine, labels))
  const routes: Readonly<Record<string, () => Promise<Response>>> = {
    '/live': async () => probe(await health(), 'live'),
    '/ready': async () => probe(await health(), 'ready'),
    '/metrics': async () =>
      new Response(await metrics(), { headers: { ...HEADERS, 'content-type': METRICS_CONTENT_TYPE } }),
  }
  const answer = async (request: Request) => {
    const { pathname } = new URL(request.url)
    const name = pathname.startsWith(`${mountedAt}/`) ? pathname.slice(mountedAt.length) : ''
    const route = Object.hasOwn(routes, name) ? routes[name] : undefined
    if (!route) return Response.json({ error: 'Not found' }, { status: 404, headers: HEADERS })
    if (request.method !== 'GET') {
      return Response.json({ error: 'Use GET' }, { status: 405, headers: { ...HEADERS, allow: 'GET' } })
    }
    try {
      return await route()
    } catch (error) {
      engine.logger.error('A probe of the health handler failed unexpectedly', { error: faultOf(error) })
      return Response.json({ error: 'Internal error' }, { status: 500, headers: HEADERS })
    }
  }
  return mount(answer, 0)
}

function probe(health: Health, name: 'live' | 'ready'): Response {
  const { live, ready, reasons } = health
  return Response.json({ live, ready, reasons }, { status: health[name] ? 200 : 503, headers: HEADERS })
}

/** Makes calls that begin while one runs share its result. */
function shared<T>(make: () => Promise<T>): () => Promise<T> {
  let running: Promise<T> | undefined
  return () => {
    running ??= make().finally(() => {
      running = undefined
    })
    return running
  }
}
