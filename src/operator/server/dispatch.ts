/**
 * Answers one request of the operator API: finds the route, checks the request with its schemas, calls the handler, and
 * makes the response. Holds no state. The caller was let in before.
 */
import { HoldfastError } from '../../base/errors.js'
import { faultOf } from '../../base/fault.js'
import type { Logger } from '../../base/logger.js'
import { readBody } from '../../http/reply.js'
import { IMPORT_PATH, JOBS, type JobControl, type JobName, type JobRoute } from '../contract/jobs.js'
import { type Problem, problemOf, problemResponse } from '../contract/problem.js'
import {
  PATH_PREFIX,
  PROTOCOL_HEADER,
  PROTOCOL_VERSION,
  RELEASE_HEADER,
  versionSentence,
} from '../contract/protocol.js'
import type { Route } from '../contract/route.js'
import { FEED_PATH, FeedQuery, type OperatorTarget, ROUTES, type RouteName } from '../contract/routes.js'
import type { Feeds } from './feed.js'
import type { JobStreams } from './job-streams.js'

/** A caller that was let in. */
export interface OperatorCaller {
  /** Name that the audit shows. */
  readonly by: string
  /** True if only routes that read are served. */
  readonly readOnly?: boolean | undefined
  /** True if `values: true` of a request has no effect. */
  readonly hidesValues?: boolean | undefined
}

/** Parts of a server that a request needs. */
export interface ServedOperator {
  readonly target: OperatorTarget
  readonly feeds: Feeds
  readonly jobs: JobStreams
  readonly logger: Logger
  readonly release: string
  readonly bodyBytesMax: number
}

// A request has few values apart from an input. An input has its own limit in bytes.
const JSON_VALUES_MAX = 1_000_000

// Bytes of a refused file that are read, and thrown away.
const REFUSED_BYTES_MAX = 1024 * 1024 * 1024

const BODY_BYTES_MIN = 4 * 1024 * 1024
const ROOM_AROUND_INPUT = 65_536

/** Largest body of a request. It has room for the largest input of a task and for what surrounds the input. */
export function bodyBytesMaxOf(inputBytesMax: number): number {
  return Math.max(BODY_BYTES_MIN, inputBytesMax + ROOM_AROUND_INPUT)
}

const SEGMENTS_OF = Object.entries(ROUTES).map(([name, route]) => ({
  name: name as RouteName,
  route: route as Route,
  segments: route.path.split('/'),
}))

const JOB_NAMES = Object.keys(JOBS) as JobName[]

/** Answers a request whose path begins after the mount point. */
export async function dispatch(
  served: ServedOperator,
  request: Request,
  path: string,
  caller: OperatorCaller,
): Promise<Response> {
  const headers = headersOf(served)
  try {
    const response = await answer(served, request, path, caller)
    if (response instanceof Response) {
      for (const [name, value] of Object.entries(headers)) response.headers.set(name, value)
      return response
    }
    return Response.json(response ?? null, { headers })
  } catch (error) {
    const problem = problemOf(error)
    if (problem) return problemResponse(problem, headers)
    served.logger.error('A request to the operator API failed unexpectedly', { error: faultOf(error) })
    const message = 'The server failed while it answered. Its log has one line about the fault.'
    return problemResponse({ code: 'INVALID_REQUEST', message, mayBeWritten: true }, headers, 500)
  }
}

/** Headers of every response. */
export function headersOf({ release }: Pick<ServedOperator, 'release'>): Record<string, string> {
  return { [PROTOCOL_HEADER]: String(PROTOCOL_VERSION), [RELEASE_HEADER]: release, 'cache-control': 'no-store' }
}

/** The refusal of a client of another version; `undefined` for one of this version. */
export function refuseVersion(request: Request, path: string, release: string): Problem | undefined {
  const given = request.headers.get(PROTOCOL_HEADER)
  const inPath = /^\/v(\d{1,6})\//.exec(path)?.[1]
  const version = Number(inPath !== undefined && Number(inPath) !== PROTOCOL_VERSION ? inPath : (given ?? Number.NaN))
  if (version === PROTOCOL_VERSION) return undefined
  if (!Number.isSafeInteger(version)) {
    const message = `The header '${PROTOCOL_HEADER}' is missing. A client of this server sends '${PROTOCOL_VERSION}'.`
    return { code: 'OPERATOR_MISMATCH', message, details: { server: PROTOCOL_VERSION } }
  }
  const message = versionSentence(version, PROTOCOL_VERSION, release)
  return { code: 'OPERATOR_MISMATCH', message, details: { client: version, server: PROTOCOL_VERSION } }
}

async function answer(
  served: ServedOperator,
  request: Request,
  path: string,
  caller: OperatorCaller,
): Promise<unknown> {
  if (path === FEED_PATH && request.method === 'GET') {
    const { taskId } = checked(FeedQuery, queryOf(request), 'query') as { taskId?: string }
    return served.feeds.open(served.target, taskId, request.signal)
  }
  const job = JOB_NAMES.find((name) => JOBS[name].path === path)
  if (job && request.method === 'POST') return openJob(served, request, job, caller)
  if (path === IMPORT_PATH && request.method === 'POST') return importFrom(served.target, request, path, caller)
  const found = findRoute(request.method, path)
  if (!found) return notFound(request.method, path)
  const { name, route, params } = found
  if (route.method !== 'GET' && caller.readOnly) {
    return problemResponse(onlyReads(request.method, path))
  }
  const query = checked(route.query, queryOf(request), 'query')
  const body = route.method === 'POST' ? await bodyOf(request, served.bodyBytesMax) : {}
  if (body instanceof Response) return body
  const given = { ...checked(route.body, body, 'body'), ...query, ...checked(route.params, params, 'path') }
  if (caller.hidesValues) delete (given as { values?: boolean }).values
  const handler = served.target.handlers[name] as (given: object, caller: OperatorCaller) => Promise<unknown>
  return handler(given, caller)
}

/** Begins a job, and answers with its stream. */
async function openJob(
  { target, jobs, bodyBytesMax }: ServedOperator,
  request: Request,
  name: JobName,
  { readOnly, hidesValues }: OperatorCaller,
): Promise<Response> {
  const { path, body: schema, hasValues }: JobRoute = JOBS[name]
  if (readOnly) return problemResponse(onlyReads(request.method, path))
  const body = await bodyOf(request, bodyBytesMax)
  if (body instanceof Response) return body
  const given = checked(schema, body, 'body')
  if (hidesValues && hasValues(given)) {
    const message = `The answer of ${path} has inputs, results and states, and this caller may not see them.`
    return problemResponse({ code: 'OPERATOR_REFUSED', message })
  }
  const act = target.jobs[name] as (given: object, control: JobControl) => Promise<unknown>
  return jobs.open((control) => act(given, control), request.signal)
}

/** Imports the task whose file is the body. After a refusal, the rest is read, so that the client gets the answer. */
async function importFrom(
  target: OperatorTarget,
  request: Request,
  path: string,
  { readOnly, by }: OperatorCaller,
): Promise<unknown> {
  if (readOnly) return problemResponse(onlyReads(request.method, path))
  const reader = request.body?.getReader()
  const chunks = async function* () {
    for (let next = await reader?.read(); next && !next.done; next = await reader?.read()) yield next.value
  }
  try {
    return await target.importTask(chunks(), by)
  } catch (error) {
    let left = REFUSED_BYTES_MAX
    for await (const { length } of chunks()) {
      left -= length
      if (left < 0) break
    }
    await reader?.cancel()
    throw error
  }
}

function onlyReads(method: string, path: string): Problem {
  const message = `${method} ${path} changes something or is work for the server, and this caller may only read.`
  return { code: 'OPERATOR_REFUSED', message }
}

function findRoute(method: string, path: string) {
  const parts = path.split('/')
  for (const { name, route, segments } of SEGMENTS_OF) {
    if (route.method !== method || segments.length !== parts.length) continue
    const params: Record<string, string> = {}
    const fits = segments.every((segment, at) => {
      if (!segment.startsWith(':')) return segment === parts[at]
      const value = decoded(parts[at] as string)
      if (value === undefined || value === '') return false
      params[segment.slice(1)] = value
      return true
    })
    if (fits) return { name, route, params }
  }
  return undefined
}

function decoded(part: string): string | undefined {
  try {
    return decodeURIComponent(part)
  } catch {
    return undefined
  }
}

function queryOf(request: Request): Record<string, string | string[]> {
  const query: Record<string, string | string[]> = {}
  const { searchParams } = new URL(request.url)
  for (const name of new Set(searchParams.keys())) {
    const all = searchParams.getAll(name)
    query[name] = all.length === 1 ? (all[0] as string) : all
  }
  return query
}

/** Reads the body as JSON. An empty body stands for `{}`. */
async function bodyOf(request: Request, bodyBytesMax: number): Promise<unknown> {
  // A body that its header calls too long is not handed on.
  const isTooLong = Number(request.headers.get('content-length')) > bodyBytesMax
  if (request.body === null && !isTooLong) return {}
  const body = await readBody(request, { bodyBytesMax, jsonValuesMax: JSON_VALUES_MAX })
  if (!(body instanceof Response)) return body
  if (body.status === 413) {
    const message = `The body of the request takes more than ${bodyBytesMax} bytes, or holds more than ${JSON_VALUES_MAX} values. Send less.`
    return problemResponse({ code: 'TOO_LARGE', message, details: { bodyBytesMax } })
  }
  return problemResponse({ code: 'INVALID_REQUEST', message: 'The body of the request is not JSON, or was cut off.' })
}

/** @throws HoldfastError `INVALID_REQUEST` */
function checked(schema: Route['query'], given: unknown, where: string): Record<string, unknown> {
  const result = schema.safeParse(given)
  if (result.success) return result.data
  const [issue] = result.error.issues
  const at = issue?.path.length ? ` at '${issue.path.join('.').slice(0, 100)}'` : ''
  const message = `The ${where} of the request does not fit${at}: ${issue?.message.slice(0, 200)}.`
  throw new HoldfastError('INVALID_REQUEST', message)
}

function notFound(method: string, path: string): Response {
  const hint = path.startsWith(PATH_PREFIX) ? '' : ` Paths begin with ${PATH_PREFIX}.`
  const message = `There is no route ${method} ${path.slice(0, 100)}.${hint}`
  return problemResponse({ code: 'INVALID_REQUEST', message }, {}, 404)
}
