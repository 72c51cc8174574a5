/**
 * State that the bindings of two revisions share while they serve one store in one process. So the clients of one
 * revision receive the answers of the other's, a call that waits in one is not given up in the other, and an owner's
 * limits hold for both revisions together.
 */
import type { Binding } from '../../api/binding.js'
import type { Holdfast } from '../../api/holdfast.js'
import { RequestWindows } from '../access/quotas.js'
import { OpenCalls } from './join-call.js'
import { TaskFeed } from './task-feed.js'

/** Shared state of one open store. */
export interface Shared {
  readonly hub: TaskFeed
  readonly openCalls: OpenCalls
  readonly counted: RequestWindows
  /** Tasks whose answer is delivered, while the deletion of their record is being written. */
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
