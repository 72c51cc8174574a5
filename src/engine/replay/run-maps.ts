/**
 * The maps and sets of a run that most runs leave empty. Each is created when it is first used: an empty one has 150 to
 * 240 bytes, and thousands of runs may be in memory.
 */
import type { PendingCall } from './pending-call.js'

export class RunMaps {
  #stepNames: Set<string> | undefined
  #functions: Map<string, Promise<unknown>> | undefined
  #undoing: Map<PendingCall, Promise<unknown>> | undefined

  /** Names of the steps that the body called. Empty for a definition without undos. */
  get stepNames(): Set<string> {
    this.#stepNames ??= new Set()
    return this.#stepNames
  }

  /** Functions of steps with an undo whose result is not on disk, by identity: an undo waits for them. */
  get functions(): Map<string, Promise<unknown>> {
    this.#functions ??= new Map()
    return this.#functions
  }

  /** Running undos of branches that lost, by the call of the branches. */
  get undoing(): Map<PendingCall, Promise<unknown>> {
    this.#undoing ??= new Map()
    return this.#undoing
  }
}
