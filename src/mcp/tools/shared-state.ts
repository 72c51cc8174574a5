/**
 * What the bindings of two revisions share while they serve one store in one process: a question that a client of one
 * answered is news to the clients of the other, a call that one waits for is not given up, and an owner's limits are not
 * doubled by speaking two revisions.
 */
import type { Binding } from '../../api/binding.js'
import type { Holdfast } from '../../api/holdfast.js'
import { RequestWindows } from '../access/quotas.js'
import { OpenCalls } from './join-call.js'
import { TaskFeed } from './task-feed.js'

/** Of one open store. */
export interface Shared {
  readonly hub: TaskFeed
  readonly openCalls: OpenCalls
  readonly counted: RequestWindows
  /** Tasks whose answer is handed over, and the note of that is on its way to disk. */
  readonly delivered: Set<string>
}

const shared = new WeakMap<Holdfast, Shared>()

export function sharedOf(holdfast: Holdfast, binding: Binding): Shared {
  const there = shared.get(holdfast)
  if (there) return there
  const made = {
    hub: new TaskFeed(holdfast, binding.clock),
    openCalls: new OpenCalls(),
    counted: new RequestWindows(),
    delivered: new Set<string>(),
  }
  shared.set(holdfast, made)
  void binding.closeCalled.then(() => made.hub.noteClose())
  return made
}
