/**
 * The part of an unanswered request that is kept in memory and on disk: only the fields that an answer needs. The
 * parameters of a request may take megabytes, and its client may disconnect at once.
 */
import {
  type JSONRPCRequest,
  type ProgressToken,
  RELATED_TASK_META_KEY,
  type RequestId,
} from '@modelcontextprotocol/sdk/types.js'
import { isLongName } from '../../access/client-names.js'

/** The kept part of a request. It takes less than 1 KiB together with its call. */
export interface KeptRequest {
  readonly id: RequestId
  readonly method: string
  /** ID of the task that the request waits for. */
  readonly taskId?: string | undefined
  readonly progressToken?: ProgressToken | undefined
}

// The names of our methods and the IDs of tasks are shorter. A longer text is only shown to the client.
const METHOD_LENGTH_MAX = 64
const TASK_ID_LENGTH_MAX = 100

// Methods that wait for the end of a task. They read only `taskId`.
const WAITS = new Set(['tasks/result', 'tasks/getResult'])

/** True if the request only waits for the end of a task. Such a request may be dropped. */
export function isWait(method: string): boolean {
  return WAITS.has(method)
}

/** Name of the field of a request that exceeds the length limit; `undefined` if none does. */
export function longNameIn({ id, params }: JSONRPCRequest): 'request ID' | 'progress token' | undefined {
  if (isLongName(id)) return 'request ID'
  return isLongName(params?._meta?.progressToken) ? 'progress token' : undefined
}

/** Makes the kept part of a request. */
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

/** Reduces a request that waits for a task to the fields that are read. */
export function withoutRest(request: JSONRPCRequest): JSONRPCRequest {
  const kept = requestOf(keptOf(request))
  const taskId = request.params?.['taskId']
  if (taskId === undefined || typeof taskId === 'string') return kept
  // An ID of a wrong type is refused by its type, so only the type is kept.
  return { ...kept, params: { ...kept.params, taskId: typeof taskId === 'object' ? null : taskId } }
}

/** Reduces a call to the fields that are read, after its task was created from its arguments. */
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

/** Makes a request from its kept part. For a call, adds the name of its tool and whether it is for a task. */
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
