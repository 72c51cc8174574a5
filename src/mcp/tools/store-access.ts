/** Access of a binding to its store. The parts of the store exist once it is open; `ready` waits for that. */
import { type Binding, bindingOf } from '../../api/binding.js'
import type { Holdfast } from '../../api/holdfast.js'
import type { Logger } from '../../base/logger.js'
import type { Telemetry } from '../../task/telemetry.js'
import { notOpened } from '../access/not-open.js'
import type { McpLimits } from '../access/options.js'
import { RequestQuotas } from '../access/quotas.js'
import type { OpenCalls, UndeliveredCalls } from './join-call.js'
import type { Opening } from './opening.js'
import { RECORDS_OF_MCP, sharedOf } from './shared-state.js'
import type { TaskFeed } from './task-feed.js'
import { McpRecords } from './tool-records.js'

interface OpenParts {
  readonly holdfast: Holdfast
  readonly binding: Binding
  readonly records: McpRecords
  readonly counts: RequestQuotas
  readonly hub: TaskFeed
  readonly openCalls: OpenCalls
  readonly undelivered: UndeliveredCalls
}

export class StoreAccess {
  /** Logger of the store once it is open. */
  readonly logger: Logger
  #parts: OpenParts | undefined

  constructor(
    readonly opening: Opening,
    limits: McpLimits,
  ) {
    const say = (level: keyof Logger) => (message: string, fields?: Record<string, unknown>) =>
      opening.logger[level](message, fields)
    this.logger = { debug: say('debug'), info: say('info'), warn: say('warn'), error: say('error') }
    opening.whenOpen((holdfast) => {
      const binding = bindingOf(holdfast)
      const { counted, ...shared } = sharedOf(holdfast, binding)
      const counts = new RequestQuotas(binding.clock, limits, counted)
      this.#parts = { holdfast, binding, records: new McpRecords(binding.records(RECORDS_OF_MCP)), counts, ...shared }
    })
  }

  /**
   * Opens the store if it is not open. Every request that needs the store waits for this first.
   * @throws StoreHeld; HoldfastError; ProtocolError
   */
  async ready(): Promise<void> {
    if (this.#parts) return
    await this.opening.begin().catch((error: unknown) => {
      throw notOpened(error)
    })
  }

  /** True if the store is open. */
  get isOpen(): boolean {
    return this.#parts !== undefined
  }

  /** Telemetry of the store. `undefined` if it is off, or before the store is open. */
  get telemetry(): Telemetry | undefined {
    return this.#parts?.binding.telemetry
  }

  get holdfast(): Holdfast {
    return this.#open.holdfast
  }

  get binding(): Binding {
    return this.#open.binding
  }

  get records(): McpRecords {
    return this.#open.records
  }

  get counts(): RequestQuotas {
    return this.#open.counts
  }

  get hub(): TaskFeed {
    return this.#open.hub
  }

  get openCalls(): OpenCalls {
    return this.#open.openCalls
  }

  get undelivered(): UndeliveredCalls {
    return this.#open.undelivered
  }

  get #open(): OpenParts {
    if (!this.#parts) throw new Error('The store is used before it is open: wait for `ready()` first')
    return this.#parts
  }
}
