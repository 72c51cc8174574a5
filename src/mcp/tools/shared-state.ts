/**
 * State that the bindings of two revisions share while they serve one store in one process. So the clients of one
 * revision receive the answers of the other's, a call that waits in one is not given up in the other, and an owner's
 * limits hold for both revisions together.
 */
import type { Binding } from '../../api/binding.js'
import type { Holdfast } from '../../api/holdfast.js'
import { RequestWindows } from '../access/quotas.js'
import { OpenCalls, UndeliveredCalls } from './join-call.js'
import { TaskFeed } from './task-feed.js'

/** Name under which the binding keeps its records. */
export const RECORDS_OF_MCP = 'mcp'

/** Shared state of one open store. */
export interface Shared {
  readonly hub: TaskFeed
  readonly openCalls: OpenCalls
  readonly counted: RequestWindows
  readonly undelivered: UndeliveredCalls
}

const shared = new WeakMap<Holdfast, Shared>()

export function sharedOf(holdfast: Holdfast, binding: Binding): Shared {
  const there = shared.get(holdfast)
  if (there) return there
  const openCalls = new OpenCalls()
  const undelivered = new UndeliveredCalls({
    records: binding.records(RECORDS_OF_MCP),
    logger: binding.logger,
    now: () => binding.clock.now(),
    isUnfinished: (taskId) => binding.liveTask(taskId) !== undefined,
  })
  const hub = new TaskFeed(holdfast, binding.clock, (taskId) => {
    undelivered.noteSettled(taskId)
    const view = openCalls.has(taskId) ? binding.settledView(taskId) : undefined
    if (view) openCalls.keep(view)
  })
  const made = { hub, openCalls, counted: new RequestWindows(), undelivered }
  shared.set(holdfast, made)
  void binding.closeCalled.then(() => made.hub.noteClose())
  return made
}
