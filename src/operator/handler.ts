/**
 * The routes of the operator API in an author's server. Owns the feeds and jobs that it has begun.
 *
 * handler-1. A request is authorized before its body is read. Without a caller from `authorize`, nothing is served.
 * handler-2. `authorize` that throws, or that returns anything but a caller, refuses the request.
 */

import type { Holdfast } from '../api/holdfast.js'
import { operatorTarget } from '../api/operator-target.js'
import { checkFunction, checkOptionsOf, expected } from '../base/expected.js'
import { faultOf } from '../base/fault.js'
import { engineOf } from '../engine/recovery/open-engines.js'
import type { FetchContext } from '../http/node.js'
import { checkOrigin } from '../http/reply.js'
import { type Problem, problemResponse } from './contract/problem.js'
import { actorNamed } from './contract/protocol.js'
import { type MountedHandler, mount } from './mount.js'
import {
  bodyBytesMaxOf,
  dispatch,
  headersOf,
  type OperatorCaller,
  refuseVersion,
  type ServedOperator,
} from './server/dispatch.js'
import { Feeds } from './server/feed.js'
import { JobStreams } from './server/job-streams.js'
import { releaseOfPackage } from './server/release.js'

/** A caller that `authorize` lets in. */
export interface AuthorizedOperator {
  /**
   * Name that the audit shows, cut to 100 bytes. A name without a prefix such as `web: ` gets `operator: `, so that it is
   * not taken for an owner, `admin` or `engine`.
   */
  readonly actor: string
  /**
   * True if the caller may only read.
   * @default false
   */
  readonly readOnly?: boolean
  /**
   * True if the caller may see inputs, results, states, questions and payloads, with `values: true` in the request.
   * @default false
   */
  readonly showValues?: boolean
}

/** Options of `operatorHandler`. */
export interface OperatorHandlerOptions {
  /**
   * Decides who is let in. Returns `undefined` to refuse. The request has no body. An error refuses the request with
   * status 500 and one line in the log.
   */
  readonly authorize: (
    request: Request,
    context: FetchContext,
  ) => AuthorizedOperator | undefined | Promise<AuthorizedOperator | undefined>
  /**
   * Path at which the routes are mounted, such as `/operator`. Requests of other paths get status 404.
   * @default '', so that routes begin with `/v1/`
   */
  readonly path?: string
  /**
   * Host names, with or without a port, that requests may be sent to.
   * @default the names of this machine
   */
  readonly allowedHosts?: readonly string[]
  /**
   * Other origins whose pages may send requests.
   * @default none: a page may only call the host that it was loaded from
   */
  readonly allowedOrigins?: readonly string[]
}

/** The operator API in an author's server. Created by `operatorHandler`. */
export interface OperatorHandler extends MountedHandler {
  /** Ends every feed and job. They also end when the store is closed. */
  readonly close: () => void
}

const OPTIONS = { authorize: true, path: true, allowedHosts: true, allowedOrigins: true } as const

/**
 * Creates a handler that serves the routes of the operator API to the callers that `authorize` lets in. Requests have the
 * header `holdfast-protocol: 1`. The body of a request has the limits of the socket, and so has the number of feeds.
 * @throws TypeError without `authorize`, for another option of the wrong type, and for anything but a `Holdfast`
 */
export function operatorHandler(holdfast: Holdfast, options: OperatorHandlerOptions): OperatorHandler {
  const engine = engineOf(holdfast)
  const checked = checkOptions(options)
  const feeds = new Feeds()
  const bodyBytesMax = bodyBytesMaxOf(engine.limits.inputBytesMax)
  const { logger } = engine
  const jobs = new JobStreams(logger)
  const served = { target: operatorTarget(holdfast), feeds, jobs, logger, release: releaseOfPackage(), bodyBytesMax }
  void engine.closingBegan.then(() => {
    feeds.close('closed', 'The server closes its store.')
    return jobs.close()
  })
  return {
    ...mount((request, context) => answer(served, checked, request, context), bodyBytesMax),
    close: () => {
      feeds.close('closed', 'The server ends the feeds of events.')
      void jobs.close()
    },
  }
}

interface Checked {
  readonly authorize: OperatorHandlerOptions['authorize']
  readonly path: string
  readonly allowedHosts: readonly string[] | undefined
  readonly allowedOrigins: readonly string[] | undefined
}

function checkOptions(options: OperatorHandlerOptions): Checked {
  checkOptionsOf<OperatorHandlerOptions>('operatorHandler', options, OPTIONS)
  const { authorize, path = '', allowedHosts, allowedOrigins } = options
  checkFunction('authorize', authorize)
  if (typeof path !== 'string' || (path !== '' && !/^(\/[^/?#]+)+$/.test(path))) {
    throw expected('path', "'' or a path such as '/operator', without a slash at its end", path)
  }
  for (const [name, list] of Object.entries({ allowedHosts, allowedOrigins })) {
    const isList = Array.isArray(list) && list.every((item) => typeof item === 'string')
    if (list !== undefined && !isList) throw expected(name, 'an array of strings', list)
  }
  return { authorize, path, allowedHosts, allowedOrigins }
}

async function answer(
  served: ServedOperator,
  options: Checked,
  request: Request,
  context: FetchContext,
): Promise<Response> {
  const headers = headersOf(served)
  const refuse = (message: string, status?: number) =>
    problemResponse({ code: 'OPERATOR_REFUSED', message }, headers, status)
  const sender = refusalOfSender(request, options)
  if (sender) return problemResponse(sender, headers)
  const { pathname } = new URL(request.url)
  if (!pathname.startsWith(`${options.path}/`)) {
    const message = `There is no route here. Paths begin with ${options.path}/v1/.`
    return problemResponse({ code: 'INVALID_REQUEST', message }, headers, 404)
  }
  let caller: OperatorCaller | undefined
  try {
    caller = callerOf(await options.authorize(withoutBody(request), context))
  } catch (error) {
    served.logger.error('A request to the operator API failed unexpectedly', { error: faultOf(error) })
    return refuse('The server could not find out who sends the request. Its log has one line about the fault.', 500)
  }
  if (!caller) return refuse('The server does not let this caller in.')
  const path = pathname.slice(options.path.length)
  const mismatch = refuseVersion(request, path, served.release)
  if (mismatch) return problemResponse(mismatch, headers)
  return dispatch(served, withParsedBody(request, context), path, caller)
}

/** The refusal of a request that a page of another origin may have sent; `undefined` for any other. */
function refusalOfSender(request: Request, { allowedHosts, allowedOrigins = [] }: Checked): Problem | undefined {
  const code = 'OPERATOR_REFUSED'
  const origin = request.headers.get('origin')
  const host = request.headers.get('host') ?? new URL(request.url).host
  // Origins are checked below: here, a page of another port of this machine would pass.
  if (checkOrigin(request, { allowedHosts, allowedOrigins: origin === null ? [] : [origin] })) {
    return { code, message: 'This host is not served here (option `allowedHosts`).' }
  }
  if (origin !== null && allowedOrigins.includes(origin)) return undefined
  const site = request.headers.get('sec-fetch-site') ?? 'none'
  const isOwn = origin === null || origin === `http://${host}` || origin === `https://${host}`
  if (isOwn && (site === 'none' || site === 'same-origin')) return undefined
  return { code, message: 'Pages of this origin are not served here (option `allowedOrigins`).' }
}

/** @throws TypeError for anything but a caller, and but nothing */
function callerOf(given: unknown): OperatorCaller | undefined {
  if (given === undefined || given === null || given === false) return undefined
  const { actor, readOnly = false, showValues = false } = given as Partial<Record<keyof AuthorizedOperator, unknown>>
  const isCaller = typeof actor === 'string' && typeof readOnly === 'boolean' && typeof showValues === 'boolean'
  if (!isCaller) throw new TypeError('`authorize` returned neither undefined nor { actor, readOnly?, showValues? }')
  return { by: actorNamed(actor), readOnly, hidesValues: !showValues }
}

function withoutBody({ url, method, headers, signal }: Request): Request {
  return new Request(url, { method, headers, signal })
}

/** The request, with the body that the server's framework has read already, if it has. */
function withParsedBody(request: Request, { parsedBody }: FetchContext): Request {
  if (parsedBody === undefined || request.method !== 'POST') return request
  const headers = new Headers(request.headers)
  // The length was that of the body as it was sent.
  headers.delete('content-length')
  const { url, method, signal } = request
  return new Request(url, { method, headers, signal, body: JSON.stringify(parsedBody) })
}
