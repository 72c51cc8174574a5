/**
 * What is kept of a request that is not answered yet, in memory and on disk: what it takes to answer it, and no more. Its
 * parameters may take megabytes, and its client may hang up at once.
 */
import {
  type JSONRPCRequest,
  type ProgressToken,
  RELATED_TASK_META_KEY,
  type RequestId,
} from '@modelcontextprotocol/sdk/types.js'
import { isLongName } from '../../access/client-names.js'

/** A request as it is kept. It takes less than 1 KiB together with its call. */
export interface KeptRequest {
  readonly id: RequestId
  readonly method: string
  /** Of a request that waits for a task. */
  readonly taskId?: string | undefined
  readonly progressToken?: ProgressToken | undefined
}

// A longer one is the name of no method, or of no task, of ours. It is shown to the client at most.
const METHOD_LENGTH_MAX = 64
const TASK_ID_LENGTH_MAX = 100

// These wait for the end of a task, and read `taskId` and nothing else.
const WAITS = new Set(['tasks/result', 'tasks/getResult'])

/** True if the request waits for the end of a task. It does nothing else, so it may be dropped. */
export function isWait(method: string): boolean {
  return WAITS.has(method)
}

/** What of a request is longer than a client may choose it, if anything is. */
export function longNameIn({ id, params }: JSONRPCRequest): 'request ID' | 'progress token' | undefined {
  if (isLongName(id)) return 'request ID'
  return isLongName(params?._meta?.progressToken) ? 'progress token' : undefined
}

/** What is kept of a request. */
export function keptOf({ id, method, params }: JSONRPCRequest): KeptRequest {
  const taskId = isWait(method) ? params?.['taskId'] : undefined
  const progressToken = params?._meta?.progressToken
  return {
    id,
    method: method.slice(0, METHOD_LENGTH_MAX),
    ...(typeof taskId === 'string' ? { taskId: taskId.slice(0, TASK_ID_LENGTH_MAX) } : {}),
    ...(progressToken === undefined || isLongName(progressToken) ? {} : { progressToken }),
  }
}

/** A request that waits for a task, without what nobody reads. */
export function withoutRest(request: JSONRPCRequest): JSONRPCRequest {
  const kept = requestOf(keptOf(request))
  const taskId = request.params?.['taskId']
  if (taskId === undefined || typeof taskId === 'string') return kept
  // What is no ID is refused with its type.
  return { ...kept, params: { ...kept.params, taskId: typeof taskId === 'object' ? null : taskId } }
}

/** A call whose task is made of its arguments already: without them. */
export function withoutArguments(request: JSONRPCRequest): JSONRPCRequest {
  const { name, task, _meta } = request.params ?? {}
  const kept = requestOf(keptOf(request), { name: name as string, isTask: task !== undefined })
  const related = _meta?.[RELATED_TASK_META_KEY]?.taskId
  if (related === undefined || related.length > TASK_ID_LENGTH_MAX) return kept
  return {
    ...kept,
    params: { ...kept.params, _meta: { ...kept.params?._meta, [RELATED_TASK_META_KEY]: { taskId: related } } },
  }
}

/** The request again, as far as it is kept; of a call the name of its tool, and whether it asks for a task. */
export function requestOf(
  { id, method, taskId, progressToken }: KeptRequest,
  call?: { readonly name: string | undefined; readonly isTask: boolean },
): JSONRPCRequest {
  const params = {
    ...(taskId === undefined ? {} : { taskId }),
    ...(progressToken === undefined ? {} : { _meta: { progressToken } }),
    ...(call ? { name: call.name } : {}),
    ...(call?.isTask ? { task: {} } : {}),
  }
  return { jsonrpc: '2.0', id, method, params }
}
