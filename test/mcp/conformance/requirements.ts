/**
 * What the protocol demands of a server with tasks, as data: L are revision 2025-11-25's, E those of the tasks extension
 * under 2026-07-28. A test fails when one of these has no test (requirements.test.ts); tests name them at the beginning
 * of their titles.
 */
const TASKS = 'https://modelcontextprotocol.io/specification/2025-11-25/basic/utilities/tasks'
const EXTENSION = 'https://modelcontextprotocol.github.io/ext-tasks/specification/2026-07-28/tasks.html'
const SUBSCRIPTIONS = 'https://modelcontextprotocol.io/specification/2026-07-28/basic/utilities/subscriptions'

/** One requirement. */
export interface Requirement {
  readonly level: 'MUST' | 'MUST NOT' | 'SHOULD' | 'SHOULD NOT' | 'none'
  readonly source: string
  readonly behaviour: string
}

const of = (level: Requirement['level'], section: string, behaviour: string): Requirement => ({
  level,
  source: `${TASKS}#${section}`,
  behaviour,
})

const extension = (level: Requirement['level'], section: string, behaviour: string): Requirement => ({
  level,
  source: `${EXTENSION}#${section}`,
  behaviour,
})

export const REQUIREMENTS: Readonly<Record<string, Requirement>> = {
  L01: of('MUST', 'capabilities', 'the tasks capability is declared at initialize'),
  L02: of('SHOULD', 'tool-level-negotiation', 'task on a tool that forbids it, or says nothing, is -32601'),
  L03: of('MUST', 'tool-level-negotiation', 'a tool that requires a task, called without, is -32601'),
  L04: of('MUST', 'capabilities', 'task metadata on a request type without the capability is ignored'),
  L05: of('MUST', 'task-id-requirements', 'a task ID is a string'),
  L06: of('MUST', 'task-id-requirements', 'a task ID is made by the receiver'),
  L07: of('MUST', 'task-id-requirements', 'a task ID is unique'),
  L08: of('MUST', 'task-status-lifecycle', 'a task begins as working'),
  L09: of('MUST', 'task-status-lifecycle', 'only the allowed changes of status happen'),
  L10: of('MUST NOT', 'task-status-lifecycle', 'a terminal status is never left'),
  L11: of('SHOULD', 'input-required-status', 'a task that needs something of its requestor is input_required'),
  L12: of('MUST', 'input-required-status', 'requests of a task carry the related-task hint'),
  L13: of('SHOULD', 'input-required-status', 'input_required is left once all input is there'),
  L14: of('SHOULD NOT', 'getting-tasks', 'tasks/get is not answered with an event stream'),
  L15: of('MUST', 'task', 'createdAt is an ISO 8601 instant in every task'),
  L16: of('MUST', 'task', 'lastUpdatedAt is an ISO 8601 instant in every task'),
  L17: of('MUST', 'ttl-and-resource-management', 'tasks/get says the actual ttl'),
  L18: of('MUST', 'creating-tasks', 'an accepted task request is answered with the task, soon'),
  L19: of('MUST', 'result-retrieval', 'tasks/result of a terminal task is its result or its error'),
  L20: of('MUST', 'result-retrieval', 'tasks/result of an unfinished task waits for its end'),
  L21: of('MUST', 'result-retrieval', 'tasks/result is exactly what the request would have answered'),
  L22: of('MUST', 'associating-task-related-messages', 'related-task is in all messages of a task'),
  L23: of('MUST', 'associating-task-related-messages', 'params.taskId is the truth, whatever the hint says'),
  L24: of('SHOULD NOT', 'associating-task-related-messages', 'get, list, cancel and status messages have no hint'),
  L25: of('SHOULD', 'task-listing', 'tasks/list has pages'),
  L26: of('MUST', 'task-listing', 'nextCursor is there if there is more'),
  L27: of('MUST', 'task-listing', 'what get finds is in the list'),
  L28: of('MUST', 'task-cancellation', 'cancelling a terminal task is -32602'),
  L29: of('MUST', 'task-cancellation', 'a task is cancelled before the cancel is answered'),
  L30: of('MUST', 'task-cancellation', 'a cancelled task stays cancelled'),
  L31: of('MUST', 'protocol-errors', 'an unknown or invalid task ID is -32602'),
  L32: of('MUST', 'protocol-errors', 'an invalid cursor is -32602'),
  L33: of('MUST', 'protocol-errors', 'an internal error is -32603'),
  L34: of('SHOULD', 'protocol-errors', 'error messages say what is wrong'),
  L35: of('SHOULD', 'task-execution-errors', 'a failed task has a statusMessage'),
  L36: of('SHOULD', 'task-execution-errors', 'a tool result with isError makes the task failed'),
  L37: of('MUST', 'task-isolation-and-access-control', 'a task belongs to the authorization context that made it'),
  L38: of('MUST', 'task-isolation-and-access-control', 'get, result and cancel of others are refused'),
  L39: of('MUST', 'task-isolation-and-access-control', 'a list has the requestor’s own tasks only'),
  L40: of('SHOULD', 'task-isolation-and-access-control', 'it is documented when tasks cannot be bound'),
  L41: of('MUST', 'task-isolation-and-access-control', 'task IDs have enough entropy then'),
  L42: of('SHOULD NOT', 'task-isolation-and-access-control', 'tasks.list is not declared then'),
  L43: of('SHOULD', 'task-isolation-and-access-control', 'operations on tasks are rate limited'),
  L44: of('SHOULD', 'resource-management', 'tasks per requestor and ttl are limited'),
  L45: of('SHOULD', 'audit-and-logging', 'creation, end and retrieval are logged with who asked'),
  L46: of('none', 'task-progress', 'a progress token is valid for the whole task'),
  E01: extension(
    'MUST NOT',
    'capability-negotiation',
    'a request that does not declare the extension gets no task, whatever was declared before',
  ),
  E02: extension('MUST', 'capability-negotiation', 'what cannot be served without a task is -32021 then'),
  E03: extension('MUST', 'capability-negotiation', 'that error names the extension in its data'),
  E04: extension('MUST', 'task-creation', 'a created task has resultType task'),
  E05: extension('MUST NOT', 'task-creation', 'nothing else has'),
  E06: extension(
    'MUST NOT',
    'task-status',
    'failed is for JSON-RPC errors only; a tool that says isError has completed',
  ),
  E07: extension('MUST NOT', 'task-creation', 'a task is not answered before it is durable'),
  E08: extension('SHOULD', 'task-creation', 'input before the task is asked for in rounds of the call'),
  E09: extension('MUST', 'task-polling', 'tasks/get of a working task'),
  E10: extension('MUST', 'task-polling', 'tasks/get of a task that asks has all outstanding requests'),
  E11: extension('MUST', 'task-polling', 'tasks/get of a completed task has the result'),
  E12: extension('MUST', 'task-polling', 'tasks/get of a cancelled task'),
  E13: extension('MUST', 'task-polling', 'tasks/get of a failed task has the error'),
  E14: extension('MUST', 'task-polling', 'tasks/get has resultType complete'),
  E15: extension('MUST', 'task-update-requests', 'tasks/update has resultType complete'),
  E16: extension('MUST', 'task-cancellation', 'tasks/cancel has resultType complete'),
  E17: extension('MUST', 'task-update-requests', 'keys of input requests are unique over the task’s life'),
  E18: extension(
    'MUST NOT',
    'task-update-requests',
    'a key is not used again after its response, nor for another request',
  ),
  E19: extension('MUST', 'task-update-requests', 'tasks/update is answered with an empty result'),
  E20: extension('SHOULD', 'task-update-requests', 'tasks/update of an unknown task is an error'),
  E21: extension('SHOULD', 'task-cancellation', 'tasks/cancel of an unknown task is an error'),
  E22: extension('SHOULD', 'task-update-requests', 'responses to keys that are not outstanding are ignored'),
  E23: extension(
    'MUST',
    'task-cancellation',
    'tasks/cancel is answered with an empty result, also of a task that is over',
  ),
  E24: extension('MUST NOT', 'task-cancellation', 'notifications/cancelled does not cancel a task'),
  E25: extension('MUST', 'task-status-notifications', 'listening for tasks without the extension is -32021'),
  E26: extension('none', 'task-status-notifications', 'a notification is what tasks/get would say'),
  E27: extension('MUST NOT', 'task-status-notifications', 'no progress and no log messages on the stream'),
  E28: extension(
    'MUST',
    'streamable-http-routing-headers',
    'an Mcp-Name that is missing or not the task’s ID is refused',
  ),
  E29: extension('MUST', 'error-handling', 'tasks/get of an unknown task is -32602'),
  E30: extension('MUST', 'error-handling', 'an internal error is -32603'),
  E31: extension('MUST', 'capability-negotiation', 'get, update and cancel without the extension are -32021'),
  E32: extension('MUST', 'task-status', 'a failed task has a statusMessage and an error'),
  E33: extension('MUST', 'task-polling', 'a task’s result is what its call would have answered'),
  E34: extension('MUST', 'security-considerations', 'task IDs have enough entropy'),
  E35: extension('MUST', 'security-considerations', 'every request about a task is authorized'),
  E36: extension('MUST', 'migration', 'nothing of 2025-11-25’s tasks is served, declared or understood'),
  E37: extension('MUST NOT', 'migration', 'the extension means nothing to clients of 2025-11-25'),
  E38: extension('SHOULD', 'error-handling', 'messages say what is wrong'),
  E39: extension(
    'none',
    'task-polling',
    'the inlined result has resultType complete: the official client takes no other',
  ),
  E40: {
    level: 'MUST',
    source: SUBSCRIPTIONS,
    behaviour: 'the acknowledgement comes first, only what it names follows, each with its subscription ID',
  },
}
