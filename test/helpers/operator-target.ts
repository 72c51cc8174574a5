/** A made-up target of the operator API, for tests of the server alone: its events are those that the test publishes. */
import type { JobHandlers } from '../../src/operator/contract/jobs.js'
import type { FeedEvent, Handlers, OperatorTarget } from '../../src/operator/contract/routes.js'

export class FakeTarget implements OperatorTarget {
  readonly #listeners = new Set<(event: FeedEvent) => void>()
  readonly handlers: Handlers
  readonly jobs: JobHandlers
  /** Called while the snapshot is read. */
  onSnapshot = () => {}

  constructor(handlers: Partial<Handlers> = {}, jobs: Partial<JobHandlers> = {}) {
    this.handlers = handlers as Handlers
    this.jobs = jobs as JobHandlers
  }

  get listeners(): number {
    return this.#listeners.size
  }

  publish(name: string, data: Record<string, unknown> = {}): void {
    for (const listener of this.#listeners) listener({ name, data })
  }

  subscribe(_taskId: string | undefined, listener: (event: FeedEvent) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  async importTask(): Promise<never> {
    throw new Error('This target imports nothing')
  }

  async snapshot(): Promise<Record<string, unknown>> {
    this.onSnapshot()
    return { state: 1 }
  }
}
